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

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Whether a variable is 1; `what` it is then to do.
bool asked(const char* name, const char* what) {
  const std::string value = variable(name);
  if (value == "1") return true;
  if (value.empty() || value == "0") return false;
  throw Error(ExitCode::usage, "environment", fmt::format("{}={}", name, printable(value)),
              fmt::format("it is 1 {}, 0 or unset not to", what), "set it to 1 or unset it");
}

}  // namespace

ConvTuning tuning_of_environment() {
  ConvTuning tuning{
      .timed = asked("FJORD_CUDNN_TUNE", "to time convolutions on the card"),
      .library_sums = asked("FJORD_CUDNN_SUMS", "to let cuDNN add up for batch normalisation")};
  const std::string cache = variable("XDG_CACHE_HOME"), home = variable("HOME");
  if (tuning.timed && !cache.empty())
    tuning.folder = cache + "/fjord";
  else if (tuning.timed && !home.empty())
    tuning.folder = home + "/.cache/fjord";
  return tuning;
}

void start_card() {
  const ConvTuning tuning = tuning_of_environment();
  enable_cuda();
  say("device: {}", device(Backend::cuda).name());
  set_conv_tuning(tuning);
  if (tuning.timed)
    say("convolutions: timed on this card (FJORD_CUDNN_TUNE=1){}; another choice gives other last "
        "bits",
        tuning.folder.empty() ? "" : ", kept in " + printable(tuning.folder));
  if (tuning.library_sums)
    say("training in 16 bits: cuDNN sums up for batch normalisation where it can "
        "(FJORD_CUDNN_SUMS=1); two runs may differ in their last bits");
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
