// Each CPU kernel file fills its own slots; enable_cpu_kernels calls them all.
#pragma once

namespace fjord {

void fill_pointwise_kernels();
void fill_norm_kernels();
void fill_spatial_kernels();
void fill_gate_kernels();
void fill_matrix_kernels();
void fill_optimizer_kernels();
void fill_conv_kernels();
void fill_upsample_conv_kernels();
void fill_conv_inference_kernels();
void fill_conv_norm_kernels();
void fill_loss_kernels();
void fill_loss_gradient_kernels();
void fill_lovasz_kernels();
void fill_formula_loss_kernels();
void fill_confusion_kernels();

}  // namespace fjord
