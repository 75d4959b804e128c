// Which device computes and in what precision.
#pragma once

#include "engine/tape.h"
#include "tools/model_flags.h"
#include "tools/program.h"

namespace fjord {

struct Compute {
  Backend backend = Backend::cpu;
  Precision precision = Precision::fp32;
};

/// Throws Error{usage} for what this build does not compute, before anything is started.
void check_compute_flags(const ComputeFlags& flags, const CommonFlags& common);

/// Starts what --device and --precision ask for, and says what `auto` means. `auto` is a card that
/// can be used, else the CPU; the precision is bf16 on a card that has it, fp32 elsewhere. Throws
/// Error{device} for a device that is not there.
Compute start_compute(const CommonFlags& common, const ComputeFlags& flags);

/// By the names that --precision takes.
Precision precision_of(const std::string& name);
std::string_view to_string(Precision precision);

}  // namespace fjord
