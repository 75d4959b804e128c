// Batch normalisation on the CPU: fixed chunks of pixels, their sums combined in order in double.
#include "kernels/norm.h"

#include <cmath>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/instance_norm.h"

namespace fjord {

namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// A chunk's mean and its sum of squared deviations from it; the second pass finds the chunk in the
// cache. The deviations are taken from the mean rounded to float, so the merge uses that too.
void chunk_moments(Rows rows, const float* x, double* mean, double* deviations) {
  thread_local std::vector<float> rounded;
  rounded.resize(index(rows.channels));
  loops().channel_sums(rows, x, mean);
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    mean[c] /= static_cast<double>(rows.pixels);
    rounded[index(c)] = static_cast<float>(mean[c]);
  }
  loops().channel_deviations(rows, x, rounded.data(), deviations);
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    const double off = mean[c] - static_cast<double>(rounded[index(c)]);
    deviations[c] -= off * off * static_cast<double>(rows.pixels);
  }
}

// Chan, Golub and LeVeque 1979: moments of a union from those of its parts.
void merge(const Chunks& chunks, const double* moments, std::int64_t channels, Out mean,
           Out variance) {
  for (std::int64_t c = 0; c < channels; ++c) {
    double count = 0, average = 0, deviations = 0;
    for (std::int64_t i = 0; i < chunks.pieces(); ++i) {
      const double n = static_cast<double>(chunks.length(i)), total = count + n;
      const double delta = moments[2 * i * channels + c] - average;
      deviations += moments[(2 * i + 1) * channels + c] + delta * delta * count * n / total;
      average += delta * n / total;
      count = total;
    }
    put(mean, c, average);
    put(variance, c, deviations / count);
  }
}

void statistics(In x, Out mean, Out variance, Stream&) {
  const std::int64_t channels = x.shape().c;
  const Chunks chunks = pixel_chunks(x.shape());
  double* moments = partial_sums(chunks.pieces() * 2 * channels);
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    double* own = moments + 2 * i * channels;
    chunk_moments({chunks.length(i), channels}, x.as<float>() + chunks.begin(i) * channels, own,
                  own + channels);
  });
  merge(chunks, moments, channels, mean, variance);
}

void update_running(InOut running, std::int64_t c, double batch, double momentum) {
  float& value = running.as<float>()[c];
  value = static_cast<float>((1.0 - momentum) * static_cast<double>(value) + momentum * batch);
}

void finalize(In mean, In variance, In gamma, In beta, InOut running_mean, InOut running_var,
              InOut batches, Out scale, Out shift, Out inv_std, std::int64_t count, BatchNorm norm,
              Stream&) {
  const double unbiased =
      static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(1, count - 1));
  for (std::int64_t c = 0; c < mean.shape().c; ++c) {
    const double mu = mean.as<float>()[c], var = variance.as<float>()[c];
    const double inverse = 1.0 / std::sqrt(var + norm.eps), slope = gamma.as<float>()[c] * inverse;
    put(inv_std, c, inverse);
    put(scale, c, slope);
    put(shift, c, beta.as<float>()[c] - mu * slope);
    if (running_mean) update_running(running_mean, c, mu, norm.momentum);
    if (running_var) update_running(running_var, c, var * unbiased, norm.momentum);
  }
  if (batches) ++*batches.as<std::int64_t>();
}

void fold(In gamma, In beta, In running_mean, In running_var, Out scale, Out shift, BatchNorm norm,
          Stream&) {
  for (std::int64_t c = 0; c < gamma.shape().c; ++c) {
    const double slope = gamma.as<float>()[c] / std::sqrt(running_var.as<float>()[c] + norm.eps);
    put(scale, c, slope);
    put(shift, c, beta.as<float>()[c] - running_mean.as<float>()[c] * slope);
  }
}

void apply(In x, In scale, In shift, In residual, Out y, Act act, Stream&) {
  const std::int64_t channels = x.shape().c;
  const Chunks chunks = pixel_chunks(x.shape());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i) * channels;
    loops().norm_apply({chunks.length(i), channels},
                       {.x = x.as<float>() + at,
                        .scale = scale.as<float>(),
                        .shift = shift.as<float>(),
                        .residual = residual ? residual.as<float>() + at : nullptr,
                        .y = y.as<float>() + at,
                        .relu = act == Act::relu,
                        .add = y.write == Write::add});
  });
}

void run_chunks(Shape shape, const NormBackward& a, void (*loop)(Rows, const NormBackward&)) {
  const Chunks chunks = pixel_chunks(shape);
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    loop({chunks.length(i), shape.c}, moved(a, chunks.begin(i) * shape.c));
  });
}

void backward_reduce(In x, In y, In dy, In scale, In shift, In mean, In inv_std, Out sums,
                     Out dgamma, Out dbeta, Act act, Stream&) {
  const std::int64_t channels = x.shape().c;
  const Chunks chunks = pixel_chunks(x.shape());
  const NormBackward a{.x = x.as<float>(),
                       .y = y.as<float>(),
                       .dy = dy.as<float>(),
                       .scale = scale.as<float>(),
                       .shift = shift.as<float>(),
                       .mean = mean.as<float>(),
                       .relu = act == Act::relu};
  double* partial = partial_sums(chunks.pieces() * 2 * channels);
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    double* own = partial + 2 * i * channels;
    loops().norm_backward_sums({chunks.length(i), channels}, moved(a, chunks.begin(i) * channels),
                               own, own + channels);
  });
  for (std::int64_t i = 1; i < chunks.pieces(); ++i)
    for (std::int64_t c = 0; c < 2 * channels; ++c) partial[c] += partial[2 * i * channels + c];
  for (std::int64_t c = 0; c < channels; ++c)
    put_gradient_sums({sums, dgamma, dbeta}, channels, c, partial[c], partial[channels + c],
                      inv_std);
}

void backward_apply(In x, In y, In dy, In scale, In shift, In mean, In inv_std, In sums, Out dx,
                    Out dresidual, Act act, Stream&) {
  const std::int64_t channels = x.shape().c;
  thread_local std::vector<float> constants;
  constants.resize(index(2 * channels));
  put_means(sums, inv_std, x.shape().pixels(), constants.data(), constants.data() + channels);
  run_chunks(x.shape(),
             {.x = x.as<float>(),
              .y = y.as<float>(),
              .dy = dy.as<float>(),
              .scale = scale.as<float>(),
              .shift = shift.as<float>(),
              .mean = mean.as<float>(),
              .mean_dz = constants.data(),
              .slope = constants.data() + channels,
              .dx = dx.as<float>(),
              .dresidual = dresidual.as<float>(),
              .relu = act == Act::relu,
              .add_dx = dx && dx.write == Write::add,
              .add_dresidual = dresidual && dresidual.write == Write::add},
             loops().norm_backward_apply);
}

void constant_backward(In x, In y, In dy, In scale, In shift, Out dx, Out dresidual, Act act,
                       Stream&) {
  run_chunks(dy.shape(),
             {.x = x.as<float>(),
              .y = y.as<float>(),
              .dy = dy.as<float>(),
              .scale = scale.as<float>(),
              .shift = shift.as<float>(),
              .dx = dx.as<float>(),
              .dresidual = dresidual.as<float>(),
              .relu = act == Act::relu,
              .add_dx = dx && dx.write == Write::add,
              .add_dresidual = dresidual && dresidual.write == Write::add},
             loops().scale_backward);
}

}  // namespace

void fill_norm_kernels() {
  batch_norm_statistics.cpu = statistics;
  batch_norm_finalize.cpu = finalize;
  batch_norm_fold.cpu = fold;
  batch_norm_apply.cpu = apply;
  batch_norm_backward_reduce.cpu = backward_reduce;
  batch_norm_backward_apply.cpu = backward_apply;
  scale_shift_backward.cpu = constant_backward;
  instance_norm_forward.cpu = normalize_images;
  instance_norm_backward.cpu = normalize_images_backward;
}

}  // namespace fjord
