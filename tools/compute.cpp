// Which device computes and in what precision.
#include "tools/compute.h"

#include <cstdlib>

#include "kernels/cpu/backend.h"
#include "kernels/plugin.h"
#include "kernels/threads.h"
#include "tools/log.h"

namespace fjord {

namespace {

void say_cpu(std::string_view why) {
  say("device: cpu ({}, {} threads; {})", to_string(cpu_isa()), threads(), why);
}

// A card that can be used, else the CPU and why.
Backend automatic() {
  if (!find_cuda_library()) {
    say_cpu("this build has no CUDA backend");
  } else if (!has_cuda_driver()) {
    say_cpu("no NVIDIA driver");
  } else {
    try {
      start_card();
      return Backend::cuda;
    } catch (const Error& error) {
      if (error.exit != ExitCode::device) throw;
      say_cpu(fmt::format("CUDA cannot be used: {}", error.what()));
    }
  }
  return Backend::cpu;
}

[[noreturn]] void refuse_on_cpu(const std::string& precision, std::string_view who) {
  throw Error(ExitCode::usage, "not-yet", "--precision " + precision,
              fmt::format("{} computes in fp32 only", who), "use --precision fp32");
}

void demand_on_card(Precision precision) {
  Device& card = device(Backend::cuda);
  const bool has = precision == Precision::bf16   ? card.fast_in(DType::bf16)
                   : precision == Precision::fp16 ? card.fast_in(DType::f16)
                   : precision == Precision::tf32 ? card.has_tf32()
                                                  : true;
  if (!has)
    throw Error(
        ExitCode::device, "device-precision", fmt::format("--precision {}", to_string(precision)),
        fmt::format("{} has no such arithmetic", card.name()), "use --precision fp16 or fp32");
}

}  // namespace

ConvTuning tuning_of_environment() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  const std::string asked = variable("FJORD_CUDNN_TUNE");
  if (asked.empty() || asked == "0") return {};
  if (asked != "1")
    throw Error(ExitCode::usage, "environment", "FJORD_CUDNN_TUNE=" + printable(asked),
                "it is 1 to time convolutions on the card, 0 or unset not to",
                "set it to 1 or unset it");
  const std::string cache = variable("XDG_CACHE_HOME"), home = variable("HOME");
  return {.timed = true,
          .folder = !cache.empty()  ? cache + "/fjord"
                    : !home.empty() ? home + "/.cache/fjord"
                                    : ""};
}

void start_card() {
  const ConvTuning tuning = tuning_of_environment();
  enable_cuda();
  say("device: {}", device(Backend::cuda).name());
  if (!tuning.timed) return;
  set_conv_tuning(tuning);
  say("convolutions: timed on this card (FJORD_CUDNN_TUNE=1){}; another choice gives other last "
      "bits",
      tuning.folder.empty() ? "" : ", kept in " + printable(tuning.folder));
}

void check_compute_flags(const ComputeFlags& flags, const CommonFlags& common) {
  if (flags.precision && *flags.precision != "fp32") {
    if (common.device == "cpu") refuse_on_cpu(*flags.precision, "the CPU");
    if (common.device == "auto" && !find_cuda_library())
      refuse_on_cpu(*flags.precision, "this build");
  }
}

void demand_normal_memory(const ComputeFlags& flags) {
  if (flags.memory != "normal")
    throw Error(ExitCode::usage, "not-yet", "--memory " + flags.memory,
                "this build trains with the normal plan only",
                "use --memory normal with a smaller --batch or --size");
}

Compute start_compute(const CommonFlags& common, const ComputeFlags& flags) {
  Compute compute;
  if (flags.memory == "low") compute.filters = FilterMemory::low;
  if (flags.exact) compute.algorithm = ConvAlgorithm::direct;
  if (common.device == "auto") compute.backend = automatic();
  if (common.device == "cuda") compute.backend = Backend::cuda;
  if (compute.backend == Backend::cpu) {
    if (flags.precision && *flags.precision != "fp32") refuse_on_cpu(*flags.precision, "the CPU");
    return compute;
  }
  compute.precision = flags.precision                              ? precision_of(*flags.precision)
                      : device(Backend::cuda).fast_in(DType::bf16) ? Precision::bf16
                                                                   : Precision::fp32;
  demand_on_card(compute.precision);
  return compute;
}

}  // namespace fjord
