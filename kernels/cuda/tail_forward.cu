// The tail's convolution: forward, and backward-data with the filter turned; and how a filter comes
// into its order.
//
// A thread block loads a tile of x with its border once and keeps it for all nine taps; the filter
// lies in shared memory in the order of the instruction's operands. One block loads while others on
// the same multiprocessor multiply.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_conv.h"

namespace fjord::cuda {

namespace {

// Floor in bytes: x + y in 16 bits. The border, 10 x 34 / (8 x 32) - 1 = 33 % of x (tiles of 16
// rows: 20 %), is read once more, from the second-level cache as a rule. Predicted on an H200 (4.3
// TB/s; 512 x 512, batch 8): 16 > 16 134 MB, 36 us; 32 > 16 201 MB, 55 us; head 16 > 1 71 MB, 20
// us; 32 > 32 at 256 x 256 67 MB, 20 us. Of these the tensor cores need 16, 33, 8 and 16 us, shared
// memory half of that.
template <class T, int inputs, int outputs>
__global__ void __launch_bounds__(TailForm<inputs, outputs>::threads,
                                  TailForm<inputs, outputs>::blocks) tail_conv(TailConv<T> a) {
  using Form = TailForm<inputs, outputs>;
  using Tile = typename Form::Tile;
  char* const tile_memory = dynamic_shared<char>();
  char* const filter = tile_memory + Tile::bytes;
  const Lane lane = this_lane();
  const unsigned block = threadIdx.x / 32;
  const int turns = outputs == 8 ? 1 : a.outputs / outputs;
  const TileSource<T> x{a.x, inputs == 8 ? a.inputs : inputs};
  const int first = static_cast<int>(blockIdx.x) * a.tiles_per_block;
  const int end = min(first + a.tiles_per_block, a.grid.count());

  for (int tile = first; tile < end; ++tile) {
    const TilePosition position = tile_position(a.grid, tile, Form::rows);
    const TilePosition corner = block_position(position, block);
    load_tile<Tile>(tile_memory, x, a.grid, position);
#pragma unroll 1
    for (int turn = 0; turn < turns; ++turn) {
      if (turns > 1 || tile == first) load_filter<Form>(filter, a.filter, turn);
      cp_async_wait_all();
      __syncthreads();
      if (inside(a.grid, corner)) {
        typename Form::Sums sums;
        begin_sums(sums, a.bias ? a.bias + turn * outputs : nullptr, a.outputs - turn * outputs,
                   lane);
        accumulate<T, inputs, outputs>(sums, tile_memory, filter, block, lane);
        store_block(sums, target_of(a, corner, turn * outputs), lane);
      }
      __syncthreads();
    }
  }
}

template <class T, int inputs, int outputs>
void launch_form(const Shape& x, TailConv<T> a, Stream& stream) {
  using Form = TailForm<inputs, outputs>;
  a.grid = tile_grid(x, Form::rows);
  a.tiles_per_block = tiles_per_block(a.grid.count());
  const auto blocks = static_cast<unsigned>(divide_up(a.grid.count(), a.tiles_per_block));
  launch(tail_conv<T, inputs, outputs>, dim3(blocks), dim3(Form::threads), Form::shared_bytes,
         stream, a);
}

template <class T, int inputs>
void launch_wide_or_narrow(const Shape& x, const TailConv<T>& a, bool wide, Stream& stream) {
  if (wide) return launch_form<T, inputs, 32>(x, a, stream);
  launch_form<T, inputs, 16>(x, a, stream);
}

template <class T>
void launch_conv(const Shape& x, const FilterPacking& form, const TailConv<T>& a, Stream& stream) {
  const bool wide = form.output_block == 32;
  switch (form.input_block) {
    case 8:
      return launch_form<T, 8, 16>(x, a, stream);
    case 16:
      if (form.output_block == 8) return launch_form<T, 16, 8>(x, a, stream);
      return launch_wide_or_narrow<T, 16>(x, a, wide, stream);
    case 32:
      return launch_wide_or_narrow<T, 32>(x, a, wide, stream);
    case 48:
      return launch_form<T, 48, 16>(x, a, stream);
    default:
      return launch_wide_or_narrow<T, 64>(x, a, wide, stream);
  }
}

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

FilterPacking TailPass::packing() const {
  const int inputs = static_cast<int>(x.c);
  const bool wide = outputs % 32 == 0 && inputs != 48;
  return {.inputs = inputs,
          .outputs = outputs,
          .input_block = inputs <= 8 ? 8 : inputs,
          .output_block = outputs <= 8 ? 8
                          : wide       ? 32
                                       : 16,
          .turned = turned};
}

std::size_t TailPass::packed_bytes() const {
  return static_cast<std::size_t>(packing().count()) * size_of(dtype);
}

void TailPass::run(In image, In weight, In bias, Out y, void* scratch, Stream& stream) const {
  pack_tail_filter(packing(), weight, {}, {scratch, dtype}, stream);
  run_packed(image, scratch, {.bias = bias}, y, stream);
}

void TailPass::run_packed(In image, const void* packed, const TailEnd& end, Out y,
                          Stream& stream) const {
  check(!end.residual || (outputs > 8 && y.write == Write::store), "tail",
        "a residual is added to what is stored, and not to a head");
  check(!end.relu || outputs > 8, "tail", "a head has no ReLU");
  with_half(dtype, [&]<class T>() {
    const bool add = y.write == Write::add;
    const TailConv<T> a{.x = image.as<T>(),
                        .inputs = static_cast<int>(x.c),
                        .filter = static_cast<const uint4*>(packed),
                        .bias = optional_data<float>(end.bias),
                        .added = add ? y.as<T>() : optional_data<T>(end.residual),
                        .y = y.as<T>(),
                        .outputs = outputs,
                        .relu = end.relu,
                        .grid = {},
                        .tiles_per_block = 1};
    launch_conv(x, packing(), a, stream);
  });
}

void prepare_tail_forward(const ConvShape& shape, ConvForward& pass) {
  const TailPass tail{
      .x = shape.x, .outputs = static_cast<int>(shape.y.c), .dtype = shape.dtype, .turned = false};
  pass.implementation = "tail";
  pass.scratch_bytes = tail.packed_bytes();
  pass.run = [tail](In x, In weight, In bias, Out y, void* scratch, Stream& stream) {
    tail.run(x, weight, bias, y, scratch, stream);
  };
}

void prepare_tail_backward_data(const ConvShape& shape, ConvBackwardData& pass) {
  const TailPass tail{
      .x = shape.y, .outputs = static_cast<int>(shape.x.c), .dtype = shape.dtype, .turned = true};
  pass.implementation = "tail";
  pass.scratch_bytes = tail.packed_bytes();
  pass.run = [tail](In dy, In weight, Out dx, void* scratch, Stream& stream) {
    tail.run(dy, weight, {}, dx, scratch, stream);
  };
}

}  // namespace fjord::cuda
