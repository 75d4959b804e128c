// The drivers: a few rows of an image at a time, shared out over the threads; of a gradient then
// the sums of all pieces in order, in double.
#include "kernels/cpu/direct/depthwise.h"

#include <algorithm>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

constexpr char kName[] = "depthwise";

/// Pixels that are added up in float before a double takes them up.
constexpr std::int64_t kPixels = 512;

/// Outputs of a piece: 256 KiB, a quarter of a second-level cache.
constexpr std::int64_t kCachedFloats = 1 << 16;

/// Piece i of all images' rows of outputs.
Depthwise piece_of(const ConvShape& s, In x, Chunks rows, std::int64_t i) {
  const std::int64_t image = i / rows.pieces(), piece = i % rows.pieces();
  return {.x = x.as<float>() + image * s.x.h * s.x.w * s.x.c,
          .h = s.x.h,
          .w = s.x.w,
          .channels = s.x.c,
          .out_w = s.y.w,
          .begin = rows.begin(piece),
          .end = rows.begin(piece) + rows.length(piece),
          .kernel = s.conv.kernel,
          .stride = s.conv.stride,
          .padding = s.conv.padding};
}

/// Where the outputs of piece i's image begin.
std::int64_t image_offset(const ConvShape& s, Chunks rows, std::int64_t i) {
  return i / rows.pieces() * s.y.h * s.y.w * s.y.c;
}

// Filters tap by tap, times `scale` (absent: 1).
void order_by_tap(const ConvShape& s, In weight, In scale, float* filters) {
  const std::int64_t channels = s.x.c, taps = s.weight.count() / channels;
  const Chunks lines{channels, 16};
  parallel_for(lines.pieces(), [&](std::int64_t i) {
    const std::int64_t begin = lines.begin(i), end = begin + lines.length(i);
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t c = begin; c < end; ++c)
        filters[tap * channels + c] =
            weight.as<float>()[c * taps + tap] * (scale ? scale.as<float>()[c] : 1.0f);
  });
}

// At least eight pieces of an image, where it has as many rows, of outputs that the cache holds
// until they are activated; the same for any number of threads.
void forward(const ConvShape& s, In x, const float* filters, In bias, Act act, Out y) {
  const std::int64_t row = s.y.w * s.y.c, eighth = std::max<std::int64_t>(1, s.y.h / 8);
  const Chunks rows{s.y.h, std::clamp<std::int64_t>(kCachedFloats / row, 1, eighth)};
  parallel_for(s.y.n * rows.pieces(), [&](std::int64_t i) {
    Depthwise piece = piece_of(s, x, rows, i);
    piece.filters = filters;
    piece.bias = bias.as<float>();
    piece.y = y.as<float>() + image_offset(s, rows, i);
    loops().depthwise(piece);
    if (act == Act::none) return;
    float* values = piece.y + piece.begin * row;
    loops().activate(values, values, (piece.end - piece.begin) * row, act, false);
  });
}

void backward_filter(const ConvShape& s, In x, In dy, Out dweight) {
  const std::int64_t count = s.weight.count();
  const Chunks rows{s.y.h, std::max<std::int64_t>(1, kPixels / s.y.w)};
  const std::int64_t pieces = s.y.n * rows.pieces();
  double* sums = partial_sums(pieces * count);
  parallel_for(pieces, [&](std::int64_t i) {
    Depthwise piece = piece_of(s, x, rows, i);
    piece.dy = dy.as<float>() + image_offset(s, rows, i);
    loops().depthwise_gradient(piece, sums + i * count);
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

ConvForward depthwise_forward(const ConvShape& shape) {
  const std::size_t bytes = static_cast<std::size_t>(shape.weight.count()) * sizeof(float);
  return {kName, bytes, [shape](In x, In weight, In bias, Out y, void* scratch, Stream&) {
            float* filters = static_cast<float*>(scratch);
            order_by_tap(shape, weight, {}, filters);
            forward(shape, x, filters, bias, Act::none, y);
          }};
}

ConvInference depthwise_inference(const ConvInferenceShape& s) {
  const std::size_t bytes = static_cast<std::size_t>(s.conv.weight.count()) * sizeof(float);
  return {kName,
          "tap by tap",
          bytes,
          0,
          [shape = s.conv](In weight, In scale, void* kept, Stream&) {
            order_by_tap(shape, weight, scale, static_cast<float*>(kept));
          },
          [shape = s.conv, act = s.act](const ConvInferenceInputs& t, Out y, void*, Stream&) {
            forward(shape, t.x, static_cast<const float*>(t.kept), t.shift, act, y);
          }};
}

ConvBackwardFilter depthwise_backward_filter(const ConvShape& shape) {
  return {kName, 0, [shape](In x, In dy, Out dweight, Out, void*, Stream&) {
            backward_filter(shape, x, dy, dweight);
          }};
}

}  // namespace fjord
