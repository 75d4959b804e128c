// Batch normalisation in double, from Ioffe and Szegedy 2015, channel by channel.
#include "kernels/norm.h"

#include <cmath>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

double value(In tensor, std::int64_t i) { return tensor.as<double>()[i]; }

void statistics(In x, Out mean, Out variance, Stream&) {
  const std::int64_t channels = x.shape().c, count = x.shape().pixels();
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (std::int64_t p = 0; p < count; ++p) sum += value(x, p * channels + c);
    const double average = sum / static_cast<double>(count);
    for (std::int64_t p = 0; p < count; ++p)
      squares += std::pow(value(x, p * channels + c) - average, 2);
    put(mean, c, average);
    put(variance, c, squares / static_cast<double>(count));
  }
}

void finalize(In mean, In variance, In gamma, In beta, InOut running_mean, InOut running_var,
              InOut batches, Out scale, Out shift, Out inv_std, std::int64_t count, BatchNorm norm,
              Stream&) {
  for (std::int64_t c = 0; c < mean.shape().c; ++c) {
    const double inverse = 1 / std::sqrt(value(variance, c) + norm.eps);
    put(inv_std, c, inverse);
    put(scale, c, value(gamma, c) * inverse);
    put(shift, c, value(beta, c) - value(mean, c) * value(gamma, c) * inverse);
    const double n = static_cast<double>(count);
    const double unbiased = count > 1 ? value(variance, c) * n / (n - 1) : value(variance, c);
    double& old_mean = running_mean.as<double>()[c];
    double& old_var = running_var.as<double>()[c];
    old_mean = (1 - norm.momentum) * old_mean + norm.momentum * value(mean, c);
    old_var = (1 - norm.momentum) * old_var + norm.momentum * unbiased;
  }
  batches.as<std::int64_t>()[0] += 1;
}

void fold(In gamma, In beta, In running_mean, In running_var, Out scale, Out shift, BatchNorm norm,
          Stream&) {
  for (std::int64_t c = 0; c < gamma.shape().c; ++c) {
    const double inverse = 1 / std::sqrt(value(running_var, c) + norm.eps);
    put(scale, c, value(gamma, c) * inverse);
    put(shift, c, value(beta, c) - value(running_mean, c) * value(gamma, c) * inverse);
  }
}

void apply(In x, In scale, In shift, In residual, Out y, Act act, Stream&) {
  const std::int64_t channels = x.shape().c;
  for (std::int64_t i = 0; i < x.shape().count(); ++i) {
    double z = value(x, i) * value(scale, i % channels) + value(shift, i % channels);
    if (residual) z += value(residual, i);
    put(y, i, act == Act::relu ? std::fmax(z, 0) : z);
  }
}

// The gradient of the value before the activation.
double before_activation(In x, In y, In dy, In scale, In shift, Act act, std::int64_t i) {
  if (act == Act::none) return value(dy, i);
  const std::int64_t c = i % dy.shape().c;
  const double out = y ? value(y, i) : value(x, i) * value(scale, c) + value(shift, c);
  return out > 0 ? value(dy, i) : 0;
}

void backward_reduce(In x, In y, In dy, In scale, In shift, In mean, In inv_std, Out sums,
                     Out dgamma, Out dbeta, Act act, Stream&) {
  const std::int64_t channels = x.shape().c;
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, sum_xhat = 0;
    for (std::int64_t i = c; i < x.shape().count(); i += channels) {
      const double dz = before_activation(x, y, dy, scale, shift, act, i);
      sum += dz;
      sum_xhat += dz * (value(x, i) - value(mean, c)) * value(inv_std, c);
    }
    put(sums, c, sum);
    put(sums, channels + c, sum_xhat);
    put(dbeta, c, sum);
    put(dgamma, c, sum_xhat);
  }
}

void backward_apply(In x, In y, In dy, In scale, In shift, In mean, In inv_std, In sums, Out dx,
                    Out dresidual, Act act, Stream&) {
  const std::int64_t channels = x.shape().c;
  const double count = static_cast<double>(x.shape().pixels());
  for (std::int64_t i = 0; i < x.shape().count(); ++i) {
    const std::int64_t c = i % channels;
    const double dz = before_activation(x, y, dy, scale, shift, act, i);
    const double xhat = (value(x, i) - value(mean, c)) * value(inv_std, c);
    put(dx, i,
        value(scale, c) * (dz - value(sums, c) / count - xhat * value(sums, channels + c) / count));
    put(dresidual, i, dz);
  }
}

void constant_backward(In x, In y, In dy, In scale, In shift, Out dx, Out dresidual, Act act,
                       Stream&) {
  for (std::int64_t i = 0; i < dy.shape().count(); ++i) {
    const double dz = before_activation(x, y, dy, scale, shift, act, i);
    put(dx, i, value(scale, i % dy.shape().c) * dz);
    put(dresidual, i, dz);
  }
}

}  // namespace

void fill_norm() {
  batch_norm_statistics.reference = statistics;
  batch_norm_finalize.reference = finalize;
  batch_norm_fold.reference = fold;
  batch_norm_apply.reference = apply;
  batch_norm_backward_reduce.reference = backward_reduce;
  batch_norm_backward_apply.reference = backward_apply;
  scale_shift_backward.reference = constant_backward;
}

}  // namespace fjord::reference
