// In a build without oneDNN the CPU's convolutions are plain loops where no other code of ours
// fits: enough for a card's steps to be compared with.
#include "kernels/cpu/direct/plain_conv.h"
#include "kernels/cpu/onednn.h"

namespace fjord {

void limit_onednn(Isa) {}

ConvForward onednn_forward(const ConvShape& shape) { return plain_forward(shape); }

ConvInference onednn_inference(const ConvInferenceShape&) { return {}; }

ConvBackwardData onednn_backward_data(const ConvShape& shape) { return plain_backward_data(shape); }

ConvBackwardFilter onednn_backward_filter(const ConvShape& shape) {
  return plain_backward_filter(shape);
}

}  // namespace fjord
