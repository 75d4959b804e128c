// Element-wise kernels: loops shared out over the threads.
#include "kernels/pointwise.h"

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

void relu(In x, Out y, Stream&) {
  const Chunks chunks = value_chunks(x.shape().count());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i);
    loops().relu(x.as<float>() + at, y.as<float>() + at, chunks.length(i), y.write == Write::add);
  });
}

void relu_gradient(In y, In dy, Out dx, Stream&) {
  const Chunks chunks = value_chunks(y.shape().count());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i);
    loops().relu_backward(y.as<float>() + at, dy.as<float>() + at, dx.as<float>() + at,
                          chunks.length(i), dx.write == Write::add);
  });
}

void add(In a, In b, Out y, Stream&) {
  const Chunks chunks = value_chunks(a.shape().count());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i);
    loops().add(a.as<float>() + at, b.as<float>() + at, y.as<float>() + at, chunks.length(i),
                y.write == Write::add);
  });
}

void copy(In x, Out y, Stream&) {
  const Chunks chunks = value_chunks(x.shape().count());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i);
    loops().copy(x.as<float>() + at, y.as<float>() + at, chunks.length(i), y.write == Write::add);
  });
}

void activate(In x, Out y, Act act, Stream&) {
  const Chunks chunks = value_chunks(x.shape().count());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i);
    loops().activate(x.as<float>() + at, y.as<float>() + at, chunks.length(i), act,
                     y.write == Write::add);
  });
}

void activate_gradient(In x, In dy, Out dx, Act act, Stream&) {
  const Chunks chunks = value_chunks(x.shape().count());
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    const std::int64_t at = chunks.begin(i);
    loops().activate_backward(x.as<float>() + at, dy.as<float>() + at, dx.as<float>() + at,
                              chunks.length(i), act, dx.write == Write::add);
  });
}

void mask(In steps, Out y, RandomMask mask, Stream&) {
  const auto step = static_cast<std::uint32_t>(*steps.as<std::int64_t>());
  for (std::int64_t i = 0; i < y.shape().count(); ++i) {
    float& target = y.as<float>()[i];
    target = (y.write == Write::add ? target : 0.0f) + mask_value(mask, step, i);
  }
}

}  // namespace

void fill_pointwise_kernels() {
  relu_forward.cpu = relu;
  relu_backward.cpu = relu_gradient;
  add_forward.cpu = add;
  copy_forward.cpu = copy;
  activate_forward.cpu = activate;
  activate_backward.cpu = activate_gradient;
  random_mask.cpu = mask;
}

}  // namespace fjord
