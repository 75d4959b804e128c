// Convolution between batch normalisations: the card has none (docs/design.md, "Epilogues that
// sum"), so that the operations run one by one.
#include "kernels/conv_norm.h"

namespace fjord::cuda {

void fill_conv_norm() {
  prepare_conv_norm_forward.cuda = [](const ConvNormShape&, ConvNormForward&, Stream&) {};
  prepare_conv_norm_backward_filter.cuda = [](const ConvNormShape&, ConvNormBackwardFilter&,
                                              Stream&) {};
  prepare_conv_norm_backward_data.cuda = [](const ConvNormShape&, ConvNormBackwardData&, Stream&) {
  };
}

}  // namespace fjord::cuda
