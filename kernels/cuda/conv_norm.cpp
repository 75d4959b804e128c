// Convolution between batch normalisations: what the library adds up beside it where that is asked
// for (docs/design.md, "Epilogues that sum"); elsewhere the operations run one by one.
#include "kernels/cuda/conv_norm_library.h"

namespace fjord::cuda {

void fill_conv_norm() {
  prepare_conv_norm_forward.cuda = [](const ConvNormShape& shape, ConvNormForward& pass, Stream&) {
    prepare_library_norm_forward(shape, pass);
  };
  prepare_conv_norm_backward_filter.cuda = [](const ConvNormShape&, ConvNormBackwardFilter&,
                                              Stream&) {};
  prepare_conv_norm_backward_data.cuda = [](const ConvNormShape& shape, ConvNormBackwardData& pass,
                                            Stream&) {
    prepare_library_norm_backward_data(shape, pass);
  };
}

}  // namespace fjord::cuda
