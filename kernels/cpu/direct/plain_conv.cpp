// The loops run over rows, images or filters that share no result, so that threads change no bit.
#include "kernels/cpu/direct/plain_conv.h"

#include <vector>

#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

std::int64_t pixel(Shape shape, std::int64_t n, std::int64_t y, std::int64_t x) {
  return ((n * shape.h + y) * shape.w + x) * shape.c;
}

/// Calls body(tap, output pixel, image pixel) for the taps of one row of outputs that lie in the
/// image: the filter's tap, and where the pixels' channels begin.
template <class Body>
void for_row(const ConvShape& s, std::int64_t n, std::int64_t oy, const Body& body) {
  const auto read = [&s](std::int64_t output, std::int64_t tap) {
    return output * s.conv.stride - s.conv.padding + tap * s.conv.dilation;
  };
  for (std::int64_t r = 0; r < s.weight.h; ++r) {
    const std::int64_t iy = read(oy, r);
    if (iy < 0 || iy >= s.x.h) continue;
    for (std::int64_t ox = 0; ox < s.y.w; ++ox)
      for (std::int64_t t = 0; t < s.weight.w; ++t) {
        const std::int64_t ix = read(ox, t);
        if (ix < 0 || ix >= s.x.w) continue;
        body(r * s.weight.w + t, pixel(s.y, n, oy, ox), pixel(s.x, n, iy, ix));
      }
  }
}

/// The first input channel of filter k's group.
std::int64_t first_channel(const ConvShape& s, std::int64_t k) {
  return k / (s.y.c / s.conv.groups) * s.weight.c;
}

const float* taps_of(const ConvShape& s, const float* weight, std::int64_t k, std::int64_t tap) {
  return weight + (k * s.weight.h * s.weight.w + tap) * s.weight.c;
}

void store(const std::vector<double>& sums, Write write, float* target) {
  for (std::size_t i = 0; i < sums.size(); ++i)
    target[i] = static_cast<float>(write == Write::add ? target[i] + sums[i] : sums[i]);
}

void forward(const ConvShape& s, const float* x, const float* weight, const float* bias, Out y) {
  const std::int64_t row = s.y.w * s.y.c;
  parallel_for(s.y.n * s.y.h, [&](std::int64_t i) {
    const std::int64_t begin = i * row;
    std::vector<double> sums(static_cast<std::size_t>(row));
    for (std::int64_t j = 0; bias && j < row; ++j) sums[j] = bias[j % s.y.c];
    for_row(s, i / s.y.h, i % s.y.h, [&](std::int64_t tap, std::int64_t to, std::int64_t from) {
      for (std::int64_t k = 0; k < s.y.c; ++k) {
        const float* filter = taps_of(s, weight, k, tap);
        const float* image = x + from + first_channel(s, k);
        double sum = 0;
        for (std::int64_t c = 0; c < s.weight.c; ++c) sum += double{image[c]} * filter[c];
        sums[to - begin + k] += sum;
      }
    });
    store(sums, y.write, y.as<float>() + begin);
  });
}

// One image a thread: rows of outputs share rows of the image.
void backward_data(const ConvShape& s, const float* dy, const float* weight, Out dx) {
  const std::int64_t image = s.x.h * s.x.w * s.x.c;
  parallel_for(s.x.n, [&](std::int64_t n) {
    std::vector<double> sums(static_cast<std::size_t>(image));
    for (std::int64_t oy = 0; oy < s.y.h; ++oy)
      for_row(s, n, oy, [&](std::int64_t tap, std::int64_t from, std::int64_t to) {
        for (std::int64_t k = 0; k < s.y.c; ++k) {
          const float* filter = taps_of(s, weight, k, tap);
          double* target = sums.data() + to - n * image + first_channel(s, k);
          for (std::int64_t c = 0; c < s.weight.c; ++c)
            target[c] += double{dy[from + k]} * filter[c];
        }
      });
    store(sums, dx.write, dx.as<float>() + n * image);
  });
}

void backward_filter(const ConvShape& s, const float* x, const float* dy, Out dweight) {
  const std::int64_t count = s.weight.h * s.weight.w * s.weight.c;
  parallel_for(s.y.c, [&](std::int64_t k) {
    std::vector<double> sums(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < s.y.n * s.y.h; ++i)
      for_row(s, i / s.y.h, i % s.y.h, [&](std::int64_t tap, std::int64_t at, std::int64_t from) {
        const float* image = x + from + first_channel(s, k);
        double* target = sums.data() + tap * s.weight.c;
        for (std::int64_t c = 0; c < s.weight.c; ++c) target[c] += double{dy[at + k]} * image[c];
      });
    store(sums, dweight.write, dweight.as<float>() + k * count);
  });
}

}  // namespace

ConvForward plain_forward(const ConvShape& shape) {
  return {"plain", 0, [shape](In x, In weight, In bias, Out y, void*, Stream&) {
            forward(shape, x.as<float>(), weight.as<float>(), bias.as<float>(), y);
          }};
}

ConvBackwardData plain_backward_data(const ConvShape& shape) {
  return {"plain", 0, [shape](In dy, In weight, Out dx, void*, Stream&) {
            backward_data(shape, dy.as<float>(), weight.as<float>(), dx);
          }};
}

ConvBackwardFilter plain_backward_filter(const ConvShape& shape) {
  return {"plain", 0, [shape](In x, In dy, Out dweight, Out, void*, Stream&) {
            backward_filter(shape, x.as<float>(), dy.as<float>(), dweight);
          }};
}

}  // namespace fjord
