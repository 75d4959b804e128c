// The backend's kernels around a library's convolutions, for a program that plans and never runs;
// and no tail kernels, so that the library is asked about every layer.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/tail.h"

namespace fjord {

namespace {

[[noreturn]] void throw_unplanned(const char* what) {
  throw Error(ExitCode::bug, "plans", what, "this program plans and never runs", "remove the call");
}

}  // namespace

void throw_cuda(cudaError_t, const char* what) { throw_unplanned(what); }

namespace cuda {

void convert(Typed, TypedOut, std::int64_t, Stream&) { throw_unplanned("convert"); }
void add_bias(const float*, TypedOut, Shape, Stream&) { throw_unplanned("add_bias"); }
void channel_sums(Typed, Shape, Out, Stream&) { throw_unplanned("channel_sums"); }
void split_filter(Typed, FilterParts, void*, void*, Stream&) { throw_unplanned("split_filter"); }
void join_filter(Typed, Typed, FilterParts, Out, Stream&) { throw_unplanned("join_filter"); }

bool tail_fits(const ConvShape&) { return false; }
void prepare_tail_forward(const ConvShape&, ConvForward&) { throw_unplanned("tail"); }
void prepare_tail_backward_data(const ConvShape&, ConvBackwardData&) { throw_unplanned("tail"); }
void prepare_tail_backward_filter(const ConvShape&, ConvBackwardFilter&) {
  throw_unplanned("tail");
}

}  // namespace cuda
}  // namespace fjord
