// The backend's kernels around a library's convolutions, for a program that plans and never runs;
// and no tail kernels, so that the library is asked about every layer.
#include "kernels/cuda/conv_sums.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_norm.h"

namespace fjord {

namespace {

[[noreturn]] void throw_unplanned(const char* what) {
  throw Error(ExitCode::bug, "plans", what, "this program plans and never runs", "remove the call");
}

}  // namespace

void throw_cuda(cudaError_t, const char* what) { throw_unplanned(what); }

namespace cuda {

void convert(Typed, TypedOut, std::int64_t, Stream&) { throw_unplanned("convert"); }
void end_conv(const ConvEnd&, TypedOut, Shape, Stream&) { throw_unplanned("end_conv"); }
void fold_filter(In, In, TypedOut, Stream&) { throw_unplanned("fold_filter"); }
void fold_split_filter(In, In, FilterParts, DType, void*, void*, Stream&) {
  throw_unplanned("fold_split_filter");
}
void channel_sums(Typed, Shape, Out, Stream&) { throw_unplanned("channel_sums"); }
void split_filter(Typed, FilterParts, void*, void*, Stream&) { throw_unplanned("split_filter"); }
void join_filter(Typed, Typed, FilterParts, Out, Stream&) { throw_unplanned("join_filter"); }

void moments_of_sums(const ConvSumOperands&, std::int64_t, Out, Out, Stream&) {
  throw_unplanned("moments_of_sums");
}
void gradients_of_sums(const ConvSumOperands&, In, const NormGradientOutputs&, Stream&) {
  throw_unplanned("gradients_of_sums");
}

FilterPacking TailPass::packing() const { throw_unplanned("tail"); }
std::size_t TailPass::packed_bytes() const { throw_unplanned("tail"); }
void TailPass::run_packed(In, const void*, const TailEnd&, Out, Stream&) const {
  throw_unplanned("tail");
}
void pack_tail_filter(const FilterPacking&, In, In, TypedOut, Stream&) { throw_unplanned("tail"); }

bool tail_fits(const ConvShape&) { return false; }
bool tail_norm_fits(const ConvNormShape&) { return false; }
void prepare_tail_norm_forward(const ConvNormShape&, ConvNormForward&) { throw_unplanned("tail"); }
void prepare_tail_norm_backward_filter(const ConvNormShape&, ConvNormBackwardFilter&) {
  throw_unplanned("tail");
}
void prepare_tail_norm_backward_data(const ConvNormShape&, ConvNormBackwardData&) {
  throw_unplanned("tail");
}
void prepare_tail_forward(const ConvShape&, ConvForward&) { throw_unplanned("tail"); }
void prepare_tail_backward_data(const ConvShape&, ConvBackwardData&) { throw_unplanned("tail"); }
void prepare_tail_backward_filter(const ConvShape&, ConvBackwardFilter&) {
  throw_unplanned("tail");
}

}  // namespace cuda
}  // namespace fjord
