// Instance normalisation in double, an image and a channel at a time.
#include "kernels/instance_norm.h"

#include <cmath>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

double value(In tensor, std::int64_t i) { return tensor.as<double>()[i]; }

/// Index of pixel p of an image's channel.
struct Plane {
  std::int64_t image, channel, pixels, channels;
  std::int64_t operator()(std::int64_t p) const {
    return (image * pixels + p) * channels + channel;
  }
  std::int64_t vector(std::int64_t row, std::int64_t rows) const {
    return (image * rows + row) * channels + channel;
  }
};

template <class F>
void for_each_plane(Shape s, F f) {
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t c = 0; c < s.c; ++c) f(Plane{n, c, s.h * s.w, s.c});
}

void forward(In x, In gamma, In beta, Out y, Out vectors, Act act, BatchNorm norm, Stream&) {
  for_each_plane(x.shape(), [&](Plane at) {
    double mean = 0, variance = 0;
    for (std::int64_t p = 0; p < at.pixels; ++p) mean += value(x, at(p));
    mean /= static_cast<double>(at.pixels);
    for (std::int64_t p = 0; p < at.pixels; ++p) variance += std::pow(value(x, at(p)) - mean, 2);
    variance /= static_cast<double>(at.pixels);
    const double inverse = 1 / std::sqrt(variance + norm.eps);
    const double slope = value(gamma, at.channel) * inverse;
    const double rows[] = {mean, variance, slope, value(beta, at.channel) - mean * slope, inverse};
    for (std::int64_t r = 0; r < 5; ++r) put(vectors, at.vector(r, 5), rows[r]);
    for (std::int64_t p = 0; p < at.pixels; ++p) {
      const double z = (value(x, at(p)) - mean) * slope + value(beta, at.channel);
      put(y, at(p), act == Act::relu ? std::fmax(z, 0) : z);
    }
  });
}

void backward(In x, In dy, In vectors, Out sums, Out dgamma, Out dbeta, Out dx, Act act, Stream&) {
  std::vector<double> gammas(x.shape().c), betas(x.shape().c);
  for_each_plane(x.shape(), [&](Plane at) {
    const double mean = value(vectors, at.vector(0, 5)), scale = value(vectors, at.vector(2, 5));
    const double shift = value(vectors, at.vector(3, 5));
    const double inverse = value(vectors, at.vector(4, 5));
    const auto dz = [&](std::int64_t i) {
      return act == Act::relu && value(x, i) * scale + shift <= 0 ? 0 : value(dy, i);
    };
    double sum = 0, product = 0;
    for (std::int64_t p = 0; p < at.pixels; ++p) {
      sum += dz(at(p));
      product += dz(at(p)) * (value(x, at(p)) - mean) * inverse;
    }
    put(sums, at.vector(0, 2), sum);
    put(sums, at.vector(1, 2), product);
    gammas[at.channel] += product;
    betas[at.channel] += sum;
    const double count = static_cast<double>(at.pixels);
    for (std::int64_t p = 0; dx && p < at.pixels; ++p) {
      const double xhat = (value(x, at(p)) - mean) * inverse;
      put(dx, at(p), scale * (dz(at(p)) - sum / count - xhat * product / count));
    }
  });
  for (std::int64_t c = 0; c < x.shape().c; ++c) {
    if (dgamma) put(dgamma, c, gammas[c]);
    if (dbeta) put(dbeta, c, betas[c]);
  }
}

}  // namespace

void fill_instance_norm() {
  instance_norm_forward.reference = forward;
  instance_norm_backward.reference = backward;
}

}  // namespace fjord::reference
