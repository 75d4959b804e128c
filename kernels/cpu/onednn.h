// Convolutions by oneDNN (2.x and 3.x): NHWC images, filters packed into oneDNN's own format in the
// step's scratch. Primitives are built once, for the number of threads at that moment.
#pragma once

#include "kernels/conv.h"
#include "kernels/cpu/backend.h"

namespace fjord {

/// Limits oneDNN's code to an instruction set; must come before its first primitive.
void limit_onednn(Isa isa);

ConvForward onednn_forward(const ConvShape& shape);
ConvBackwardData onednn_backward_data(const ConvShape& shape);

/// dweight by one call over the whole batch, threads inside of oneDNN. No dbias.
ConvBackwardFilter onednn_backward_filter(const ConvShape& shape);

/// dweight from pieces (images, or strips of their rows) of a size fixed by shape, each by one
/// thread, added in order: the same bits for any number of threads. No dbias.
ConvBackwardFilter onednn_backward_filter_in_pieces(const ConvShape& shape);

}  // namespace fjord
