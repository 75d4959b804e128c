// The reference backend: every kernel slot in double, naive loops written from the formulas of the
// papers and PyTorch's documentation. It shares nothing with the backends that it judges.
#pragma once

#include "kernels/view.h"

namespace fjord {

/// Fills the reference slots. Tensors are f64; labels, taps and counters keep their types.
void enable_reference_kernels();

namespace reference {

void fill_conv();
void fill_conv_inference();
void fill_conv_norm();
void fill_conv_upsample();
void fill_norm();
void fill_instance_norm();
void fill_pointwise();
void fill_spatial();
void fill_gate();
void fill_matrix();
void fill_resize();
void fill_optimizer();
void fill_loss();
void fill_lovasz();
void fill_formula_loss();
void fill_confusion();
void fill_augment();

/// Stores or adds one value.
inline void put(Out out, std::int64_t i, double value) {
  if (!out) return;
  double& target = out.as<double>()[i];
  target = out.write == Write::add ? target + value : value;
}

}  // namespace reference
}  // namespace fjord
