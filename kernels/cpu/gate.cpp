// Squeeze and excite on the CPU; sums of eight pixels in float, of these in double, in an order
// that the shape fixes.
#include "kernels/gate.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

void put(Out y, std::int64_t i, float value) {
  float& target = y.as<float>()[i];
  target = y.write == Write::add ? target + value : value;
}

// One chunk is of one row of s.
struct Groups {
  Chunks chunks;
  std::int64_t groups = 1;

  std::int64_t pieces() const { return groups * chunks.pieces(); }
  std::int64_t group(std::int64_t piece) const { return piece / chunks.pieces(); }
  std::int64_t begin(std::int64_t piece) const {
    return group(piece) * chunks.count + chunks.begin(piece % chunks.pieces());
  }
  std::int64_t length(std::int64_t piece) const { return chunks.length(piece % chunks.pieces()); }
};

Groups groups_of(Shape pixels, Shape rows) {
  Chunks chunks = pixel_chunks(pixels);
  chunks.count /= rows.n;
  return {chunks, rows.n};
}

void scale(In x, In s, Out y, double factor, Stream&) {
  const std::int64_t channels = y.shape().c;
  const Groups groups = groups_of(y.shape(), s.shape());
  parallel_for(groups.pieces(), [&](std::int64_t i) {
    const std::int64_t at = groups.begin(i) * channels;
    loops().channel_scale({groups.length(i), channels}, x ? x.as<float>() + at : nullptr,
                          s.as<float>() + groups.group(i) * channels, static_cast<float>(factor),
                          y.as<float>() + at, y.write == Write::add);
  });
}

void sums(In a, In b, Out y, double factor, Stream&) {
  const std::int64_t channels = y.shape().c;
  const Groups groups = groups_of(a.shape(), y.shape());
  double* partial = partial_sums(groups.pieces() * channels);
  parallel_for(groups.pieces(), [&](std::int64_t i) {
    const std::int64_t at = groups.begin(i) * channels;
    const Rows rows{groups.length(i), channels};
    if (b)
      loops().channel_products(rows, a.as<float>() + at, b.as<float>() + at,
                               partial + i * channels);
    else
      loops().channel_sums(rows, a.as<float>() + at, partial + i * channels);
  });
  const std::int64_t pieces = groups.chunks.pieces();
  for (std::int64_t g = 0; g < groups.groups; ++g)
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (std::int64_t i = g * pieces; i < (g + 1) * pieces; ++i) sum += partial[i * channels + c];
      put(y, g * channels + c, static_cast<float>(factor * sum));
    }
}

void scale_pixels(In x, In s, Out y, Stream&) {
  const std::int64_t channels = y.shape().c;
  const Chunks chunks = pixel_chunks(y.shape());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    for (std::int64_t p = chunks.begin(i); p < chunks.begin(i) + chunks.length(i); ++p)
      for (std::int64_t c = p * channels; c < (p + 1) * channels; ++c)
        put(y, c, x.as<float>()[c] * s.as<float>()[p]);
  });
}

void sum_channels(In a, In b, Out y, Stream&) {
  const std::int64_t channels = a.shape().c;
  const Chunks chunks = pixel_chunks(a.shape());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    for (std::int64_t p = chunks.begin(i); p < chunks.begin(i) + chunks.length(i); ++p) {
      double sum = 0;
      for (std::int64_t c = p * channels; c < (p + 1) * channels; ++c)
        sum += static_cast<double>(a.as<float>()[c] * b.as<float>()[c]);
      put(y, p, static_cast<float>(sum));
    }
  });
}

void fold(In x, Out y, Stream&) {
  const std::int64_t channels = y.shape().c, all = x.shape().c;
  const Chunks chunks = pixel_chunks(x.shape());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    for (std::int64_t p = chunks.begin(i); p < chunks.begin(i) + chunks.length(i); ++p)
      for (std::int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (std::int64_t k = c; k < all; k += channels) sum += x.as<float>()[p * all + k];
        put(y, p * channels + c, sum);
      }
  });
}

void repeat(In dy, Out dx, Stream&) {
  const std::int64_t channels = dy.shape().c, all = dx.shape().c;
  const Chunks chunks = pixel_chunks(dx.shape());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    for (std::int64_t p = chunks.begin(i); p < chunks.begin(i) + chunks.length(i); ++p)
      for (std::int64_t k = 0; k < all; ++k)
        put(dx, p * all + k, dy.as<float>()[p * channels + k % channels]);
  });
}

// Vectors of a number a channel are short: no threads.
void softmax(In x, Out y, SplitSoftmax s, Stream&) {
  const std::int64_t rest = x.shape().c / s.groups / s.splits;
  for (std::int64_t i = 0; i < x.shape().count() / s.splits; ++i) {
    const SplitPlace place(i, s.groups, s.splits, rest);
    float largest = x.as<float>()[place.grouped(0)], sum = 0;
    for (int k = 1; k < s.splits; ++k) largest = std::max(largest, x.as<float>()[place.grouped(k)]);
    for (int k = 0; k < s.splits; ++k) sum += std::exp(x.as<float>()[place.grouped(k)] - largest);
    for (int k = 0; k < s.splits; ++k)
      put(y, place.split(k), std::exp(x.as<float>()[place.grouped(k)] - largest) / sum);
  }
}

void softmax_gradient(In y, In dy, Out dx, SplitSoftmax s, Stream&) {
  const std::int64_t rest = y.shape().c / s.groups / s.splits;
  for (std::int64_t i = 0; i < y.shape().count() / s.splits; ++i) {
    const SplitPlace place(i, s.groups, s.splits, rest);
    float sum = 0;
    for (int k = 0; k < s.splits; ++k)
      sum += y.as<float>()[place.split(k)] * dy.as<float>()[place.split(k)];
    for (int k = 0; k < s.splits; ++k)
      put(dx, place.grouped(k),
          y.as<float>()[place.split(k)] * (dy.as<float>()[place.split(k)] - sum));
  }
}

}  // namespace

void fill_gate_kernels() {
  channel_scale.cpu = scale;
  channel_sums.cpu = sums;
  pixel_scale.cpu = scale_pixels;
  pixel_sums.cpu = sum_channels;
  channel_fold.cpu = fold;
  channel_repeat.cpu = repeat;
  split_softmax_forward.cpu = softmax;
  split_softmax_backward.cpu = softmax_gradient;
}

}  // namespace fjord
