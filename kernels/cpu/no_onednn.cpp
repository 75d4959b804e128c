// In a build without oneDNN the CPU has no convolutions; asking for one says so.
#include "kernels/cpu/onednn.h"
#include "kernels/kernel.h"

namespace fjord {

void limit_onednn(Isa) {}

ConvForward onednn_forward(const ConvShape&) { throw_empty_slot("conv_forward", Backend::cpu); }

ConvInference onednn_inference(const ConvInferenceShape&) { return {}; }

ConvBackwardData onednn_backward_data(const ConvShape&) {
  throw_empty_slot("conv_backward_data", Backend::cpu);
}

ConvBackwardFilter onednn_backward_filter(const ConvShape&) {
  throw_empty_slot("conv_backward_filter", Backend::cpu);
}

}  // namespace fjord
