// The driver: a few rows of an image at a time, shared out over the threads; then the sums of all
// pieces in order, in double.
#include "kernels/cpu/direct/depthwise.h"

#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

/// Pixels that are added up in float before a double takes them up.
constexpr std::int64_t kPixels = 512;

void backward_filter(const ConvShape& s, In x, In dy, Out dweight) {
  const std::int64_t count = s.weight.count();
  const Chunks rows{s.y.h, std::max<std::int64_t>(1, kPixels / s.y.w)};
  const std::int64_t pieces = s.y.n * rows.pieces();
  double* sums = partial_sums(pieces * count);
  parallel_for(pieces, [&](std::int64_t i) {
    const std::int64_t image = i / rows.pieces(), piece = i % rows.pieces();
    const Depthwise part{.x = x.as<float>() + image * s.x.h * s.x.w * s.x.c,
                         .dy = dy.as<float>() + image * s.y.h * s.y.w * s.y.c,
                         .h = s.x.h,
                         .w = s.x.w,
                         .channels = s.x.c,
                         .out_w = s.y.w,
                         .begin = rows.begin(piece),
                         .end = rows.begin(piece) + rows.length(piece),
                         .kernel = s.conv.kernel,
                         .stride = s.conv.stride,
                         .padding = s.conv.padding};
    loops().depthwise_gradient(part, sums + i * count);
  });
  const Chunks values{count, 1024};
  parallel_for(values.pieces(), [&](std::int64_t chunk) {
    const std::int64_t begin = values.begin(chunk), end = begin + values.length(chunk);
    for (std::int64_t j = begin; j < end; ++j) {
      float& target = dweight.as<float>()[j];
      double sum = dweight.write == Write::add ? static_cast<double>(target) : 0.0;
      for (std::int64_t i = 0; i < pieces; ++i) sum += sums[i * count + j];
      target = static_cast<float>(sum);
    }
  });
}

}  // namespace

bool depthwise_fits(const ConvShape& s) {
  const Conv2d& c = s.conv;
  return c.groups == s.x.c && s.y.c == s.x.c && s.x.c % 16 == 0 && c.dilation == 1 &&
         (c.kernel == 3 || c.kernel == 5) && c.stride <= 2;
}

ConvBackwardFilter depthwise_backward_filter(const ConvShape& shape) {
  return {"depthwise", 0, [shape](In x, In dy, Out dweight, Out, void*, Stream&) {
            backward_filter(shape, x, dy, dweight);
          }};
}

}  // namespace fjord
