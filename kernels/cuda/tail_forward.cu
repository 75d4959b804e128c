// The tail's convolution: forward, and backward-data with the filter turned.
//
// A thread block loads a tile of x with its border once and keeps it for all nine taps; the filter
// lies in shared memory in the order of the instruction's operands. One block loads while others on
// the same multiprocessor multiply.
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_launch.h"
#include "kernels/cuda/tail_store.h"

namespace fjord::cuda {

namespace {

// The numbers that follow from `inputs` channels of x and `outputs` channels of y at a time. More
// outputs take several turns over the same tile of x.
template <int inputs, int outputs>
struct TailForm {
  static constexpr int steps = inputs == 8 ? 2 : 3 * inputs / 16;  // see FilterPacking
  static constexpr int groups = outputs / 8;                       // n8 operands
  static constexpr unsigned step_bytes = 3 * groups * 256, filter_bytes = steps * step_bytes;

  static constexpr unsigned shared(unsigned rows) {
    return (rows + 2) * (kTileColumns + 2) * inputs * 2 + filter_bytes;
  }
  static constexpr int rows = shared(16) <= kSharedForTwo ? 16 : 8;
  static constexpr unsigned shared_bytes = shared(rows);
  static constexpr int threads = rows / kBlockRows * kBlocksAcross * 32;
  // On one multiprocessor, as registers allow without spilling.
  static constexpr int warps_that_fit() {
    if (outputs == 8) return 32;
    if (outputs == 16 && inputs == 16) return 24;
    return outputs == 32 && inputs > 16 ? 12 : 16;
  }
  static constexpr int blocks = warps_that_fit() * 32 / threads;

  using Tile = TileLayout<inputs, rows, 1>;
  using Sums = float[kBlockRows][groups][4];
};

template <class T>
struct TailConv {
  const T* x;
  int inputs;  // 1 to 8 when the form's are 8, else equal
  const uint4* filter;
  const float* bias;  // may be null
  const T* added;     // as y: its old values, or a residual; may be null
  T* y;
  int outputs;  // all of them; the kernel takes them a turn at a time
  bool relu;
  TileGrid grid;
  int tiles_per_block;
};

template <class Form>
__device__ void load_filter(char* shared, const uint4* filter, int turn) {
  constexpr unsigned packs = Form::filter_bytes / 16;
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < packs; i += blockDim.x)
    cp_async16(shared + i * 16, filter + static_cast<unsigned>(turn) * packs + i);
}

// The operands of one step for the three taps of a column of the filter.
template <int groups>
__device__ void read_filter(std::uint32_t (&filter)[3][groups][2], const char* step, Lane lane) {
  constexpr int words = groups == 1 ? 2 : 4, parts = groups * 2 / words;
  using Words = Pack<std::uint32_t, words>;
#pragma unroll
  for (int tap = 0; tap < 3; ++tap)
#pragma unroll
    for (int part = 0; part < parts; ++part) {
      const Words read =
          reinterpret_cast<const Words*>(step)[(tap * parts + part) * 32 + lane.index];
#pragma unroll
      for (int i = 0; i < words; ++i) filter[tap][part * words / 2 + i / 2][i % 2] = read[i];
    }
}

// Where this thread's row of the pixel operand of a step begins, in the first row of the block.
template <int inputs, class Tile>
__device__ const char* pixel_operand(const char* tile, unsigned block, unsigned step, Lane lane) {
  const unsigned pixel = lane.index % 16, half = lane.index / 16;
  const unsigned per_shift = inputs == 8 ? 1 : inputs / 16;
  const unsigned shift = inputs == 8 ? min(2 * step + half, 2u) : step / per_shift;
  const unsigned octet = inputs == 8 ? 0 : step % per_shift * 2 + half;
  return tile + Tile::offset(block / kBlocksAcross * kBlockRows,
                             block % kBlocksAcross * kBlockColumns + pixel + shift, octet);
}

// sums[row][group] += x * filter for a block of 4 x 16 pixels. A row of x with its border meets
// three rows of y, one for each tap of the column.
template <class T, int inputs, int outputs>
__device__ void accumulate(typename TailForm<inputs, outputs>::Sums& sums, const char* tile,
                           const char* filter, unsigned block, Lane lane) {
  using Form = TailForm<inputs, outputs>;
#pragma unroll 1
  for (unsigned step = 0; step < Form::steps; ++step) {
    std::uint32_t taps[3][Form::groups][2];
    read_filter(taps, filter + step * Form::step_bytes, lane);
    const char* operand = pixel_operand<inputs, typename Form::Tile>(tile, block, step, lane);
#pragma unroll
    for (int halo_row = 0; halo_row < kBlockRows + 2; ++halo_row) {
      std::uint32_t pixels[4];
      ldmatrix_x4(pixels, operand + halo_row * Form::Tile::row_bytes);
#pragma unroll
      for (int tap = 0; tap < 3; ++tap) {
        const int row = halo_row - tap;
        if (row < 0 || row >= kBlockRows) continue;
#pragma unroll
        for (int group = 0; group < Form::groups; ++group)
          mma16816(sums[row][group], pixels, taps[tap][group], T{});
      }
    }
  }
}

// Zero, or the bias of `count` channels.
template <int groups>
__device__ void begin_sums(float (&sums)[kBlockRows][groups][4], const float* bias, int count,
                           Lane lane) {
#pragma unroll
  for (int i = 0; i < groups * 2; ++i) {
    const int group = i / 2, odd = i % 2;
    const int channel = output_channel(groups * 8, group, static_cast<int>(lane.member) * 2 + odd);
    const float value = bias && channel < count ? bias[channel] : 0;
#pragma unroll
    for (int row = 0; row < kBlockRows; ++row)
      sums[row][group][odd] = sums[row][group][odd + 2] = value;
  }
}

template <class T>
__device__ BlockTarget<T> target_of(const TailConv<T>& a, TilePosition block, int first_channel) {
  const std::int64_t row = static_cast<std::int64_t>(block.image) * a.grid.height + block.row;
  const std::int64_t corner = (row * a.grid.width + block.column) * a.outputs + first_channel;
  return {.data = a.y + corner,
          .added = a.added ? a.added + corner : nullptr,
          .channels = a.outputs,
          .row_values = a.grid.width * a.outputs,
          .rows = a.grid.height - block.row,
          .columns = a.grid.width - block.column,
          .relu = a.relu};
}

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

// Enough blocks to fill a large card about twice; more tiles a block then read the filter less
// often.
int tiles_per_block(int tiles) {
  constexpr int enough = 1024;
  return std::clamp(tiles / enough, 1, 8);
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

}  // namespace

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
