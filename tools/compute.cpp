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

void check_on_cpu(const std::string& precision, std::string_view who) {
  if (precision == "fp32" || precision == "bf16") return;
  throw Error(ExitCode::usage, "not-yet", "--precision " + precision,
              fmt::format("{} computes in fp32 and bf16 only", who), "use --precision fp32");
}

void demand(Precision precision, Backend backend) {
  Device& unit = device(backend);
  const bool has = precision == Precision::bf16   ? unit.fast_in(DType::bf16)
                   : precision == Precision::fp16 ? unit.fast_in(DType::f16)
                   : precision == Precision::tf32 ? unit.has_tf32()
                                                  : true;
  if (has) return;
  const bool card = backend == Backend::cuda;
  throw Error(ExitCode::device, "device-precision",
              fmt::format("--precision {}", to_string(precision)),
              card ? fmt::format("{} has no such arithmetic", unit.name())
                   : fmt::format("this CPU has no such arithmetic ({})", to_string(cpu_isa())),
              card ? "use --precision fp16 or fp32" : "use --precision fp32");
}

}  // namespace

Activations activations_of(const ComputeFlags& flags) {
  return flags.memory == "low" ? Activations::recomputed : Activations::kept;
}

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
  const std::string precision = flags.precision.value_or("fp32");
  if (common.device == "cpu") check_on_cpu(precision, "the CPU");
  if (common.device == "auto" && !find_cuda_library()) check_on_cpu(precision, "this build");
}

Compute start_compute(const CommonFlags& common, const ComputeFlags& flags) {
  Compute compute;
  if (flags.memory == "low") compute.filters = FilterMemory::low;
  compute.activations = activations_of(flags);
  if (flags.exact) compute.algorithm = ConvAlgorithm::direct;
  if (common.device == "auto") compute.backend = automatic();
  if (common.device == "cuda") compute.backend = Backend::cuda;
  const bool card = compute.backend == Backend::cuda;
  if (!card) check_on_cpu(flags.precision.value_or("fp32"), "the CPU");
  const bool has_bf16 = card && device(Backend::cuda).fast_in(DType::bf16);
  compute.precision = flags.precision ? precision_of(*flags.precision)
                      : has_bf16      ? Precision::bf16
                                      : Precision::fp32;
  if (card && !flags.precision)
    say("precision: {} (the default on this card)", to_string(compute.precision));
  demand(compute.precision, compute.backend);
  return compute;
}

}  // namespace fjord
