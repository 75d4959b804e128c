// Convolutions by oneDNN (2.x and 3.x) on NHWC images. Each layer is cut into pieces by its shape,
// and each piece is a primitive made for one thread and run by one: oneDNN splits its sums by the
// number of threads, so this gives the same bits for any. Filters are packed into oneDNN's own
// format in the step's scratch. Primitives are made once, for as many threads at a time as there
// are while recording; more threads later stay unused.
#pragma once

#include "kernels/conv_inference.h"
#include "kernels/cpu/backend.h"

namespace fjord {

/// Limits oneDNN's code to an instruction set; must come before its first primitive.
void limit_onednn(Isa isa);

ConvForward onednn_forward(const ConvShape& shape);
ConvBackwardData onednn_backward_data(const ConvShape& shape);
/// Of an image as it is; any activation.
ConvInference onednn_inference(const ConvInferenceShape& shape);
/// dweight alone.
ConvBackwardFilter onednn_backward_filter(const ConvShape& shape);

}  // namespace fjord
