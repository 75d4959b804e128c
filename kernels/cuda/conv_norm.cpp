// Convolution between batch normalisations: the tail's kernels have it for their layers, beside
// others the library adds up where that is asked for (docs/design.md, "Epilogues that sum").
// Elsewhere the operations run one by one.
#include "kernels/cuda/conv_norm_library.h"
#include "kernels/cuda/conv_rule.h"
#include "kernels/cuda/tail_norm.h"

namespace fjord::cuda {

namespace {

bool by_tail(const ConvNormShape& shape) { return is_tail(shape.conv) && tail_norm_fits(shape); }

void prepare_forward(const ConvNormShape& shape, ConvNormForward& pass, Stream&) {
  if (by_tail(shape)) return prepare_tail_norm_forward(shape, pass);
  prepare_library_norm_forward(shape, pass);
}

void prepare_backward_filter(const ConvNormShape& shape, ConvNormBackwardFilter& pass, Stream&) {
  if (by_tail(shape) && (shape.normalized || shape.makes_dy))
    prepare_tail_norm_backward_filter(shape, pass);
}

void prepare_backward_data(const ConvNormShape& asked, ConvNormBackwardData& pass, Stream&) {
  ConvNormShape shape = asked;
  shape.moments = shape.makes_dy = false;  // of the other passes
  if (by_tail(shape)) return prepare_tail_norm_backward_data(shape, pass);
  prepare_library_norm_backward_data(shape, pass);
}

}  // namespace

void fill_conv_norm() {
  prepare_conv_norm_forward.cuda = prepare_forward;
  prepare_conv_norm_backward_filter.cuda = prepare_backward_filter;
  prepare_conv_norm_backward_data.cuda = prepare_backward_data;
}

}  // namespace fjord::cuda
