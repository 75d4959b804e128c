// Puts a filter into the order of the tensor-core instruction's operands.
#include "kernels/cuda/tail_filter.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/tail_launch.h"
#include "kernels/cuda/tail_store.h"

namespace fjord::cuda {

namespace {

// FilterPacking, and the numbers that follow from it, for the device.
struct Packing {
  int inputs, outputs, input_block, output_block, steps, count;
  bool turned;
};

// Splits a number into digits, the lowest first.
struct Digits {
  int rest;
  __device__ int take(int size) {
    const int digit = rest % size;
    rest /= size;
    return digit;
  }
};

// Value i of the packed filter.
template <class T>
__device__ T packed_value(const T* weight, const Packing& p, int i) {
  const int groups = p.output_block / 8, pair = groups == 1 ? 1 : 2;
  Digits digits{i};
  const int odd = digits.take(2), half = digits.take(2), in_pair = digits.take(pair);
  const int lane = digits.take(32), group = digits.take(groups / pair) * pair + in_pair;
  const int tap = digits.take(3), step = digits.take(p.steps), turn = digits.rest;

  const int output = turn * p.output_block + output_channel(p.output_block, group, lane / 4);
  const int k = half * 8 + lane % 4 * 2 + odd, per_shift = p.input_block / 16;
  const int shift = p.input_block == 8 ? 2 * step + half : step / per_shift;
  const int input = p.input_block == 8 ? k % 8 : step % per_shift * 16 + k;
  if (shift > 2 || input >= p.inputs || output >= p.outputs) return from_float<T>(0);
  return p.turned ? weight[((input * 3 + 2 - tap) * 3 + 2 - shift) * p.outputs + output]
                  : weight[((output * 3 + tap) * 3 + shift) * p.inputs + input];
}

// Floor in bytes: the filter twice, 74 KB each way at most; 2 us.
template <class T>
__global__ void __launch_bounds__(kThreads) tail_pack(const T* weight, Packing packing, T* packed) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < packing.count) packed[i] = packed_value(weight, packing, i);
}

}  // namespace

void pack_tail_filter(const FilterPacking& p, In weight, void* packed, Stream& stream) {
  const Packing packing{p.inputs,  p.outputs, p.input_block, p.output_block,
                        p.steps(), p.count(), p.turned};
  const auto blocks = static_cast<unsigned>(divide_up(packing.count, kThreads));
  with_half(weight.dtype(), [&]<class T>() {
    launch(tail_pack<T>, dim3(blocks), dim3(kThreads), 0, stream, weight.as<T>(), packing,
           static_cast<T*>(packed));
  });
}

}  // namespace fjord::cuda
