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
template <class From>
__device__ float packed_value(const From* weight, const float* scale, const Packing& p, int i) {
  const int groups = p.output_block / 8, pair = groups == 1 ? 1 : 2;
  Digits digits{i};
  const int odd = digits.take(2), half = digits.take(2), in_pair = digits.take(pair);
  const int lane = digits.take(32), group = digits.take(groups / pair) * pair + in_pair;
  const int tap = digits.take(3), step = digits.take(p.steps), turn = digits.rest;

  const int output = turn * p.output_block + output_channel(p.output_block, group, lane / 4);
  const int k = half * 8 + lane % 4 * 2 + odd, per_shift = p.input_block / 16;
  const int shift = p.input_block == 8 ? 2 * step + half : step / per_shift;
  const int input = p.input_block == 8 ? k % 8 : step % per_shift * 16 + k;
  if (shift > 2 || input >= p.inputs || output >= p.outputs) return 0;
  const int at = p.turned ? ((input * 3 + 2 - tap) * 3 + 2 - shift) * p.outputs + output
                          : ((output * 3 + tap) * 3 + shift) * p.inputs + input;
  return to_float(weight[at]) * (scale ? scale[output] : 1.0f);
}

// Floor in bytes: the filter twice, 74 KB each way at most; 2 us.
template <class From, class T>
__global__ void __launch_bounds__(kThreads)
    tail_pack(const From* weight, const float* scale, Packing packing, T* packed) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < packing.count) packed[i] = from_float<T>(packed_value(weight, scale, packing, i));
}

}  // namespace

void pack_tail_filter(const FilterPacking& p, In weight, In scale, TypedOut packed,
                      Stream& stream) {
  const Packing packing{p.inputs,  p.outputs, p.input_block, p.output_block,
                        p.steps(), p.count(), p.turned};
  const auto blocks = static_cast<unsigned>(divide_up(packing.count, kThreads));
  const float* factors = optional_data<float>(scale);
  with_half(packed.dtype, [&]<class T>() {
    const auto pack = [&]<class From>(const From* from) {
      launch(tail_pack<From, T>, dim3(blocks), dim3(kThreads), 0, stream, from, factors, packing,
             packed.data);
    };
    weight.dtype() == DType::f32 ? pack(weight.as<float>()) : pack(weight.as<T>());
  });
}

}  // namespace fjord::cuda
