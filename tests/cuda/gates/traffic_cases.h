// Kernels whose traffic is counted, each on tensors that its floor can be told from, and how much
// it may be. A kernel of kernels/cuda that none of them launches fails the test.
#pragma once

#include <vector>

#include "tests/kernels/op_case.h"

namespace fjord {

/// `moved`: distinct sectors of each launch, as with a cache that keeps them: what memory sees.
/// `asked`: sectors that the instructions ask for. More than 1.1 where neighbours share what they
/// read, or two accesses of 16 bytes lie beside each other: what the first-level cache is for.
struct Bounds {
  double moved = 1.1, asked = 1.1;
};

struct Measured {
  OpCase op_case;
  Bounds bounds = {};
  bool tensor_cores = false;  // launched in 16 bits alone
};

/// A case that nothing is compared in.
OpCase traffic_case(const char* slot, std::string what, std::vector<Operand> tensors,
                    std::vector<std::string> features, std::function<void(Operands&, Stream&)> run);

std::vector<Measured> measured_cases();

// Their parts by subject, a file each.
void add_pass_traffic(std::vector<Measured>& all);       // element by element, norms, optimizers
void add_spatial_traffic(std::vector<Measured>& all);    // pooling, resampling, augmentation
void add_channel_traffic(std::vector<Measured>& all);    // gates, matrices
void add_loss_traffic(std::vector<Measured>& all);       // losses, confusion
void add_conv_traffic(std::vector<Measured>& all);       // the tail, filters' layouts
void add_conv_norm_traffic(std::vector<Measured>& all);  // the tail between normalisations

}  // namespace fjord
