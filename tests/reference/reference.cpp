// Fills all reference slots; each file fills its own.
#include "tests/reference/reference.h"

namespace fjord {

void enable_reference_kernels() {
  reference::fill_conv();
  reference::fill_conv_inference();
  reference::fill_conv_norm();
  reference::fill_conv_upsample();
  reference::fill_norm();
  reference::fill_instance_norm();
  reference::fill_pointwise();
  reference::fill_spatial();
  reference::fill_gate();
  reference::fill_matrix();
  reference::fill_resize();
  reference::fill_optimizer();
  reference::fill_loss();
  reference::fill_lovasz();
  reference::fill_formula_loss();
  reference::fill_confusion();
  reference::fill_augment();
}

}  // namespace fjord
