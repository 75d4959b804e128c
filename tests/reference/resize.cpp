// PyTorch's interpolate, one output after the other; the place of an output in the input is
// computed in float, as PyTorch does for tensors of float.
#include <cmath>
#include <vector>

#include "kernels/spatial.h"
#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

std::int64_t inside(std::int64_t i, std::int64_t size) {
  return i < 0 ? 0 : i < size ? i : size - 1;
}

double keys(double d) {
  constexpr double a = -0.75;
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a;
}

/// The weights of all inputs in output o.
std::vector<double> weights(std::int64_t o, std::int64_t in, std::int64_t out, Interpolation mode) {
  std::vector<double> w(static_cast<std::size_t>(in), 0.0);
  const float ratio = static_cast<float>(in) / static_cast<float>(out);
  const float middle = (static_cast<float>(o) + 0.5f) * ratio;
  const double source = static_cast<double>(middle - 0.5f);
  const auto at = [&](double i) -> double& {
    return w[static_cast<std::size_t>(inside(static_cast<std::int64_t>(i), in))];
  };
  switch (mode) {
    case Interpolation::nearest:
      at(std::floor(static_cast<float>(o) * ratio)) = 1;
      break;
    case Interpolation::nearest_exact:
      at(std::floor(middle)) = 1;
      break;
    case Interpolation::bilinear: {
      const double s = std::fmax(source, 0), left = std::floor(s);
      at(left) += 1 - (s - left);
      at(left + 1) += s - left;
      break;
    }
    case Interpolation::bicubic: {
      const double left = std::floor(source), t = source - left;
      at(left - 1) += keys(1 + t);
      at(left) += keys(t);
      at(left + 1) += keys(1 - t);
      at(left + 2) += keys(2 - t);
      break;
    }
    case Interpolation::area: {
      const std::int64_t begin = o * in / out, end = ((o + 1) * in + out - 1) / out;
      for (std::int64_t i = begin; i < end; ++i)
        w[static_cast<std::size_t>(i)] = 1.0 / static_cast<double>(end - begin);
    }
  }
  return w;
}

template <class Body>
void for_each_pair(Shape small, Shape large, Interpolation mode, const Body& body) {
  for (std::int64_t v = 0; v < large.h; ++v)
    for (std::int64_t u = 0; u < large.w; ++u) {
      const auto rows = weights(v, small.h, large.h, mode);
      const auto columns = weights(u, small.w, large.w, mode);
      for (std::int64_t r = 0; r < small.h; ++r)
        for (std::int64_t s = 0; s < small.w; ++s) {
          const double weight =
              rows[static_cast<std::size_t>(r)] * columns[static_cast<std::size_t>(s)];
          if (weight == 0) continue;
          for (std::int64_t n = 0; n < small.n; ++n)
            for (std::int64_t c = 0; c < small.c; ++c)
              body(((n * small.h + r) * small.w + s) * small.c + c,
                   ((n * large.h + v) * large.w + u) * large.c + c, weight);
        }
    }
}

void clear(Out out) {
  if (out.write == Write::add) return;
  for (std::int64_t i = 0; i < out.shape().count(); ++i) out.as<double>()[i] = 0;
}

void resize_values(In x, Out y, Interpolation mode, Stream&) {
  clear(y);
  for_each_pair(x.shape(), y.shape(), mode, [&](std::int64_t i, std::int64_t o, double weight) {
    y.as<double>()[o] += weight * x.as<double>()[i];
  });
}

void resize_gradient(In dy, Out dx, Interpolation mode, Stream&) {
  clear(dx);
  for_each_pair(dx.shape(), dy.shape(), mode, [&](std::int64_t i, std::int64_t o, double weight) {
    dx.as<double>()[i] += weight * dy.as<double>()[o];
  });
}

}  // namespace

void fill_resize() {
  resize_forward.reference = resize_values;
  resize_backward.reference = resize_gradient;
}

}  // namespace fjord::reference
