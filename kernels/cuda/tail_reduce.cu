// Adds the rows of partial sums of the tail's filter gradient in a fixed order.
#include "kernels/cuda/tail_reduce.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace fjord::cuda {

namespace {

constexpr int kWarps = 8;

struct Reduction {
  const float* partial;
  int rows, values;
  int inputs, outputs, output_block, input_parts, output_parts, fragments;  // see FilterPartials
  float *dweight, *dbias;                                                   // may be null
  bool add, add_bias;
};

// Value i of a row belongs to dweight, or to dbias, or (padding of a head) to neither.
__device__ void write_value(const Reduction& r, int i, float sum) {
  const auto take = [&](int size) {
    const int digit = i % size;
    i /= size;
    return digit;
  };
  const int lane = take(32), word = take(4), fragment = take(r.fragments);
  const int input_part = take(r.input_parts), output_part = take(r.output_parts), turn = i;
  const int groups = r.output_block == 8 ? 1 : 2, tap = fragment / groups;
  const int input = input_part * 16 + lane / 4 + word / 2 * 8;
  const int column = fragment % groups * 8 + lane % 4 * 2 + word % 2;
  const int output = turn * r.output_block + output_part * 16 + column;
  if (output >= r.outputs) return;
  if (tap < 9 && r.dweight) {
    float& target = r.dweight[(output * 9 + tap) * r.inputs + input];
    target = r.add ? target + sum : sum;
  } else if (tap == 9 && r.dbias && input == 0) {
    r.dbias[output] = r.add_bias ? r.dbias[output] + sum : sum;
  }
}

// 32 values a block; its warps share the rows, and the first adds what they found, in their order.
// Floor in bytes: every partial sum once, at most 396 x 36 CK, from the second-level cache: 3 us.
__global__ void __launch_bounds__(kWarps * 32) tail_reduce(Reduction r) {
  float* const found = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int value = static_cast<int>(blockIdx.x) * 32 + lane;
  float sum = 0;
#pragma unroll 4
  for (int row = warp; row < r.rows; row += kWarps)
    sum += r.partial[static_cast<std::int64_t>(row) * r.values + value];
  found[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int i = 1; i < kWarps; ++i) sum += found[i * 32 + lane];
  write_value(r, value, sum);
}

}  // namespace

void reduce_tail_filter(const FilterPartials& p, const float* partial, Out dweight, Out dbias,
                        Stream& stream) {
  const Reduction reduction{.partial = partial,
                            .rows = p.rows,
                            .values = p.values(),
                            .inputs = p.inputs,
                            .outputs = p.outputs,
                            .output_block = p.output_block,
                            .input_parts = p.input_parts(),
                            .output_parts = p.output_parts(),
                            .fragments = p.fragments,
                            .dweight = dweight ? dweight.as<float>() : nullptr,
                            .dbias = dbias ? dbias.as<float>() : nullptr,
                            .add = dweight && dweight.write == Write::add,
                            .add_bias = dbias && dbias.write == Write::add};
  launch(tail_reduce, dim3(static_cast<unsigned>(p.values() / 32)), dim3(kWarps * 32),
         kWarps * 32 * sizeof(float), stream, reduction);
}

}  // namespace fjord::cuda
