// Element-wise kernels: 16 bytes at a time, what is left over one by one.
#include "kernels/pointwise.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

// A NaN stays a NaN (x < 0 is false for it), so that it is found where it arose.
struct Relu {
  static constexpr bool binary = false;
  __device__ float operator()(float x, float) const { return x < 0 ? 0 : x; }
};
struct ReluGradient {
  static constexpr bool binary = true;
  __device__ float operator()(float y, float dy) const { return y <= 0 ? 0 : dy; }
};
struct Sum {
  static constexpr bool binary = true;
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Copy {
  static constexpr bool binary = false;
  __device__ float operator()(float x, float) const { return x; }
};

template <int W, class Operation, class A, class Y>
__device__ void one_pack(const A* a, const A* b, Y* y, bool add, std::int64_t i) {
  const Floats<W> left = load_floats<W>(a + i);
  Floats<W> right{}, result;
  if constexpr (Operation::binary) right = load_floats<W>(b + i);
#pragma unroll
  for (int k = 0; k < W; ++k) result[k] = Operation{}(left[k], right[k]);
  write_floats<W>(y + i, result, add);
}

/// y = operation(a, b) of `count` values, the first `packs` * W of them W at a time.
template <class Operation, int W, class A, class Y>
__global__ void __launch_bounds__(kThreads)
    pointwise_values(std::int64_t count, std::int64_t packs, const A* __restrict__ a,
                     const A* __restrict__ b, Y* __restrict__ y, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
#pragma unroll 2
  for (std::int64_t i = first; i < packs; i += stride) one_pack<W, Operation>(a, b, y, add, i * W);
  for (std::int64_t i = packs * W + first; i < count; i += stride)
    one_pack<1, Operation>(a, b, y, add, i);
}

template <class Operation, class A, class Y>
void run_typed(In a, In b, Out y, Stream& stream) {
  constexpr int W = Pack<A>::size > Pack<Y>::size ? Pack<A>::size : Pack<Y>::size;
  const A *left = a.as<A>(), *right = optional_data<A>(b);
  const std::int64_t count = a.shape().count();
  const std::int64_t packs = aligned({left, right, y.as<Y>()}) ? count / W : 0;
  launch(pointwise_values<Operation, W, A, Y>, blocks_for(packs > 0 ? packs : count), kThreads, 0,
         stream, count, packs, left, right, y.as<Y>(), y.write == Write::add);
}

template <class Operation>
void run(const char* slot, In a, In b, Out y, Stream& stream) {
  with_type(common_type(slot, a, b, y),
            [&]<class T>() { run_typed<Operation, T, T>(a, b, y, stream); });
}

void relu(In x, Out y, Stream& stream) { run<Relu>("relu_forward", x, {}, y, stream); }

void relu_gradient(In y, In dy, Out dx, Stream& stream) {
  run<ReluGradient>("relu_backward", y, dy, dx, stream);
}

void add(In a, In b, Out y, Stream& stream) { run<Sum>("add_forward", a, b, y, stream); }

// Between any two types: gradients of 16 bits are added to f32 ones, and tensors converted.
void copy(In x, Out y, Stream& stream) {
  with_type(x.dtype(), [&]<class A>() {
    with_type(y.dtype(), [&]<class Y>() { run_typed<Copy, A, Y>(x, {}, y, stream); });
  });
}

}  // namespace

void fill_pointwise() {
  relu_forward.cuda = relu;
  relu_backward.cuda = relu_gradient;
  add_forward.cuda = add;
  copy_forward.cuda = copy;
}

}  // namespace fjord::cuda
