// Squeeze and excite, activations and masks in double.
#include "kernels/gate.h"

#include <cmath>
#include <vector>

#include "kernels/pointwise.h"
#include "kernels/rng.h"
#include "kernels/spatial.h"
#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

double value(In tensor, std::int64_t i) { return tensor ? tensor.as<double>()[i] : 1; }

// The row of s that value i of images belongs to, and its channel.
std::int64_t row_value(Shape images, Shape rows, std::int64_t i) {
  const std::int64_t image = i / (images.h * images.w * images.c);
  return image / (images.n / rows.n) * rows.c + i % images.c;
}

void scale(In x, In s, Out y, double factor, Stream&) {
  for (std::int64_t i = 0; i < y.shape().count(); ++i)
    put(y, i, factor * value(x, i) * value(s, row_value(y.shape(), s.shape(), i)));
}

void sums(In a, In b, Out y, double factor, Stream&) {
  for (std::int64_t k = 0; k < y.shape().count(); ++k) {
    double sum = 0;
    for (std::int64_t i = 0; i < a.shape().count(); ++i)
      if (row_value(a.shape(), y.shape(), i) == k) sum += value(a, i) * value(b, i);
    put(y, k, factor * sum);
  }
}

void scale_pixels(In x, In s, Out y, Stream&) {
  for (std::int64_t i = 0; i < y.shape().count(); ++i)
    put(y, i, value(x, i) * value(s, i / y.shape().c));
}

void sum_channels(In a, In b, Out y, Stream&) {
  const std::int64_t channels = a.shape().c;
  for (std::int64_t p = 0; p < y.shape().count(); ++p) {
    double sum = 0;
    for (std::int64_t c = 0; c < channels; ++c)
      sum += value(a, p * channels + c) * value(b, p * channels + c);
    put(y, p, sum);
  }
}

double act_of(double x, Act act) {
  if (act == Act::relu6) return std::fmin(std::fmax(x, 0), 6);
  const double sigmoid = 1 / (1 + std::exp(-x));
  return act == Act::silu ? x * sigmoid : sigmoid;
}

double slope_of(double x, Act act) {
  if (act == Act::relu6) return x > 0 && x < 6 ? 1 : 0;
  const double e = std::exp(-x), sigmoid = 1 / (1 + e), slope = e / ((1 + e) * (1 + e));
  return act == Act::silu ? sigmoid + x * slope : slope;
}

void activate(In x, Out y, Act act, Stream&) {
  for (std::int64_t i = 0; i < y.shape().count(); ++i) put(y, i, act_of(value(x, i), act));
}

void activate_gradient(In x, In dy, Out dx, Act act, Stream&) {
  for (std::int64_t i = 0; i < dx.shape().count(); ++i)
    put(dx, i, value(dy, i) * slope_of(value(x, i), act));
}

void mask(In steps, Out y, RandomMask mask, Stream&) {
  const Philox random{mask.seed};
  for (std::int64_t i = 0; i < y.shape().count(); ++i) {
    const std::int64_t draw = i / mask.repeats;
    const RandomWords words = random.draw(Draw::dropout, mask.layer,
                                          static_cast<std::uint32_t>(*steps.as<std::int64_t>()),
                                          static_cast<std::uint32_t>(draw / 4));
    put(y, i, uniform(words[static_cast<int>(draw % 4)]) < mask.keep ? 1 / mask.keep : 0);
  }
}

void copy_window(In x, Out y, Window window, Stream&) {
  const Shape from = x.shape(), to = y.shape();
  for (std::int64_t i = 0; i < to.count(); ++i) {
    const std::int64_t c = i % to.c, u = i / to.c % to.w - window.left;
    const std::int64_t v = i / to.c / to.w % to.h - window.top, n = i / to.c / to.w / to.h;
    const bool inside = u >= 0 && u < from.w && v >= 0 && v < from.h;
    put(y, i, inside ? value(x, ((n * from.h + v) * from.w + u) * from.c + c) : 0);
  }
}

void fold(In x, Out y, Stream&) {
  const std::int64_t channels = y.shape().c, all = x.shape().c;
  for (std::int64_t i = 0; i < y.shape().count(); ++i) {
    double sum = 0;
    for (std::int64_t k = i % channels; k < all; k += channels)
      sum += value(x, i / channels * all + k);
    put(y, i, sum);
  }
}

void repeat(In dy, Out dx, Stream&) {
  const std::int64_t channels = dy.shape().c, all = dx.shape().c;
  for (std::int64_t i = 0; i < dx.shape().count(); ++i)
    put(dx, i, value(dy, i / all * channels + i % all % channels));
}

// Channel of group g, split k, place r in x; and of split k, group g, place r in y.
std::int64_t of_x(const SplitSoftmax& s, std::int64_t width, std::int64_t g, std::int64_t k,
                  std::int64_t r) {
  return (g * s.splits + k) * width + r;
}
std::int64_t of_y(const SplitSoftmax& s, std::int64_t width, std::int64_t g, std::int64_t k,
                  std::int64_t r) {
  return (k * s.groups + g) * width + r;
}

template <class Body>
void for_each_sum(Shape shape, const SplitSoftmax& s, const Body& body) {
  const std::int64_t width = shape.c / s.groups / s.splits;
  for (std::int64_t p = 0; p < shape.pixels(); ++p)
    for (std::int64_t g = 0; g < s.groups; ++g)
      for (std::int64_t r = 0; r < width; ++r) {
        std::vector<std::int64_t> x, y;
        for (std::int64_t k = 0; k < s.splits; ++k) {
          x.push_back(p * shape.c + of_x(s, width, g, k, r));
          y.push_back(p * shape.c + of_y(s, width, g, k, r));
        }
        body(x, y);
      }
}

void softmax(In x, Out y, SplitSoftmax s, Stream&) {
  for_each_sum(x.shape(), s, [&](const auto& xs, const auto& ys) {
    double sum = 0;
    for (const std::int64_t i : xs) sum += std::exp(value(x, i));
    for (std::size_t k = 0; k < xs.size(); ++k) put(y, ys[k], std::exp(value(x, xs[k])) / sum);
  });
}

void softmax_gradient(In y, In dy, Out dx, SplitSoftmax s, Stream&) {
  for_each_sum(y.shape(), s, [&](const auto& xs, const auto& ys) {
    double sum = 0;
    for (const std::int64_t i : ys) sum += value(y, i) * value(dy, i);
    for (std::size_t k = 0; k < xs.size(); ++k)
      put(dx, xs[k], value(y, ys[k]) * (value(dy, ys[k]) - sum));
  });
}

// body(image value, pooled value, share) for every pixel of every window.
template <class Body>
void for_each_window(Shape image, Shape pooled, const AvgPool2d& pool, const Body& body) {
  const Pool2d& w = pool.window;
  for (std::int64_t o = 0; o < pooled.count(); ++o) {
    const std::int64_t c = o % pooled.c, n = o / pooled.c / pooled.w / pooled.h;
    const std::int64_t top = o / pooled.c / pooled.w % pooled.h * w.stride - w.padding;
    const std::int64_t left = o / pooled.c % pooled.w * w.stride - w.padding;
    std::vector<std::int64_t> inside;
    std::int64_t counted = 0;
    for (std::int64_t v = top; v < top + w.kernel; ++v)
      for (std::int64_t u = left; u < left + w.kernel; ++u) {
        const bool in_image = v >= 0 && u >= 0 && v < image.h && u < image.w;
        const bool in_padding = v < image.h + w.padding && u < image.w + w.padding;
        counted += pool.count_padding ? in_padding : in_image;
        if (in_image) inside.push_back(((n * image.h + v) * image.w + u) * image.c + c);
      }
    for (const std::int64_t i : inside) body(i, o, 1.0 / static_cast<double>(counted));
  }
}

void clear(Out out) {
  if (out.write == Write::add) return;
  for (std::int64_t i = 0; i < out.shape().count(); ++i) out.as<double>()[i] = 0;
}

void avg_forward(In x, Out y, AvgPool2d pool, Stream&) {
  clear(y);
  for_each_window(x.shape(), y.shape(), pool, [&](std::int64_t i, std::int64_t o, double share) {
    y.as<double>()[o] += share * value(x, i);
  });
}

void avg_backward(In dy, Out dx, AvgPool2d pool, Stream&) {
  clear(dx);
  for_each_window(dx.shape(), dy.shape(), pool, [&](std::int64_t i, std::int64_t o, double share) {
    dx.as<double>()[i] += share * value(dy, o);
  });
}

}  // namespace

void fill_gate() {
  channel_scale.reference = scale;
  channel_sums.reference = sums;
  pixel_scale.reference = scale_pixels;
  pixel_sums.reference = sum_channels;
  activate_forward.reference = activate;
  activate_backward.reference = activate_gradient;
  random_mask.reference = mask;
  window_copy.reference = copy_window;
  channel_fold.reference = fold;
  channel_repeat.reference = repeat;
  split_softmax_forward.reference = softmax;
  split_softmax_backward.reference = softmax_gradient;
  avg_pool_forward.reference = avg_forward;
  avg_pool_backward.reference = avg_backward;
}

}  // namespace fjord::reference
