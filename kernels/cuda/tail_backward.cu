// The gradient of the tail's filter, summed in two stages and a fixed order. (Backward-data is the
// forward kernel with the filter turned: tail_forward.cu.)
//
// dweight[k][tap][c] = sum over pixels of dy[k] * x[c]: pixels are the k axis of the instruction,
// so both operands are read transposed from the tiles. A warp keeps 16 x 16 channels for all nine
// taps in registers while its thread block walks over many tiles.
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_launch.h"
#include "kernels/cuda/tail_reduce.h"

namespace fjord::cuda {

namespace {

// The numbers that follow from `inputs` channels of x and `outputs` channels of dy at a time. A
// part is what one warp keeps: 16 inputs by 16 outputs (8 for a head).
template <int inputs, int outputs>
struct FilterForm {
  static constexpr int groups = outputs == 8 ? 1 : 2;  // n8 operands of a part
  static constexpr unsigned input_parts = inputs / 16;
  static constexpr unsigned parts = input_parts * (outputs == 8 ? 1 : outputs / 16);
  // Accumulators of a part: a 16 x 8 for each tap and group, and one for the head's dbias.
  static constexpr int fragments = 9 * groups + (outputs == 8 ? 1 : 0);
  static constexpr unsigned part_values = fragments * 4 * 32;

  static constexpr int rows = 8;
  static constexpr unsigned blocks = rows / kBlockRows * kBlocksAcross;  // of 4 x 16 pixels
  /// Warps that share a part, each with other pixels.
  static constexpr unsigned splits = 4 / parts;
  static constexpr unsigned threads = parts * splits * 32;

  using TileX = TileLayout<inputs, rows, 1>;
  using TileDy = TileLayout<outputs, rows, 0>;
  using Sums = float[fragments][4];
  static constexpr unsigned sums_bytes = splits > 1 ? parts* part_values * 4 : 0;
  static constexpr unsigned shared_bytes = std::max(TileX::bytes + TileDy::bytes, sums_bytes);
};

template <class T>
struct TailFilterSums {
  const T *x, *dy;
  int outputs;     // all of them
  float* partial;  // see FilterPartials
  TileGrid grid;
};

// What a warp works on.
struct Warp {
  unsigned input_part, output_part, part, split;
};

template <class Form>
__device__ Warp this_warp() {
  const unsigned warp = threadIdx.x / 32, part = warp % Form::parts;
  return {part % Form::input_parts, part / Form::input_parts, part, warp / Form::parts};
}

// 1 and 1 in the two halves of an operand's word.
__device__ constexpr std::uint32_t ones(__nv_bfloat16) { return 0x3F803F80u; }
__device__ constexpr std::uint32_t ones(__half) { return 0x3C003C00u; }

// Where this thread's row of the operands begins, in the first row of the block.
template <class Form>
__device__ const char* x_operand(const char* tile, unsigned block, unsigned shift, Warp warp,
                                 Lane lane) {
  const unsigned matrix = lane.index / 8, pixel = lane.index % 8 + matrix / 2 * 8;
  const unsigned column = block % kBlocksAcross * kBlockColumns + pixel + shift;
  return tile + Form::TileX::offset(block / kBlocksAcross * kBlockRows, column,
                                    warp.input_part * 2 + matrix % 2);
}

// A head has one octet: its second pair of matrices repeats the first and is not used.
template <class Form>
__device__ const char* dy_operand(const char* tile, unsigned block, Warp warp, Lane lane) {
  const unsigned matrix = lane.index / 8, pixel = lane.index % 8 + matrix % 2 * 8;
  const unsigned octet = Form::groups == 1 ? 0 : warp.output_part * 2 + matrix / 2;
  return tile + Form::TileDy::offset(block / kBlocksAcross * kBlockRows,
                                     block % kBlocksAcross * kBlockColumns + pixel, octet);
}

// One row of 16 pixels of dy; its sums are the head's dbias.
template <class T, class Form>
__device__ void read_dy(std::uint32_t (&dy)[Form::groups][2], typename Form::Sums& sums,
                        const char* row) {
  std::uint32_t read[4];
  ldmatrix_x4_trans(read, row);
#pragma unroll
  for (int i = 0; i < Form::groups * 2; ++i) dy[i / 2][i % 2] = read[i];
  if constexpr (Form::groups == 1) {
    const std::uint32_t one[4] = {ones(T{}), ones(T{}), ones(T{}), ones(T{})};
    mma16816(sums[9], one, dy[0], T{});
  }
}

// sums += x * dy over a block of 4 x 16 pixels. A row of x meets three rows of dy, one for each row
// of taps.
template <class T, class Form>
__device__ void accumulate(typename Form::Sums& sums, const char* tile_x, const char* tile_dy,
                           unsigned block, Warp warp, Lane lane) {
  const char* const dy_begin = dy_operand<Form>(tile_dy, block, warp, lane);
  std::uint32_t dy[3][Form::groups][2];
#pragma unroll
  for (int halo_row = 0; halo_row < kBlockRows + 2; ++halo_row) {
    if (halo_row < kBlockRows)
      read_dy<T, Form>(dy[halo_row % 3], sums, dy_begin + halo_row * Form::TileDy::row_bytes);
#pragma unroll
    for (int shift = 0; shift < 3; ++shift) {
      std::uint32_t x[4];
      const char* const x_begin = x_operand<Form>(tile_x, block, shift, warp, lane);
      ldmatrix_x4_trans(x, x_begin + halo_row * Form::TileX::row_bytes);
#pragma unroll
      for (int tap = 0; tap < 3; ++tap) {
        const int row = halo_row - tap;
        if (row < 0 || row >= kBlockRows) continue;
#pragma unroll
        for (int group = 0; group < Form::groups; ++group)
          mma16816(sums[(tap * 3 + shift) * Form::groups + group], x, dy[row % 3][group], T{});
      }
    }
  }
}

// Adds the sums of the warps that share a part, in their order, and writes them to global memory.
// `shared` may hold the tiles still.
template <class Form>
__device__ void finish(const typename Form::Sums& sums, float* shared, float* partial, Warp warp,
                       Lane lane) {
  const unsigned begin = warp.part * Form::part_values + lane.index;
#pragma unroll 1
  for (unsigned split = 0; split < Form::splits; ++split) {
    __syncthreads();
    if (warp.split != split) continue;
#pragma unroll
    for (int i = 0; i < Form::fragments * 4; ++i) {
      const unsigned place = begin + i * 32;
      const float sum = split > 0 ? shared[place] + sums[i / 4][i % 4] : sums[i / 4][i % 4];
      (split == Form::splits - 1 ? partial : shared)[place] = sum;
    }
  }
}

// The tiles of a block: equal numbers, neighbours together.
__device__ inline int first_tile(const TileGrid& grid, unsigned block) {
  return static_cast<int>(static_cast<std::int64_t>(grid.count()) * block / gridDim.x);
}

// Floor in bytes: x + dy in 16 bits (x once for every 16 or 32 outputs); beside it at most 396 x 36
// CK of partial sums (3.6 MB for 16 x 16), written here and read by tail_reduce, and 33 % of x for
// its border, from the second-level cache as a rule. Predicted on an H200 (4.3 TB/s; 512 x 512,
// batch 8): 16 > 16 134 MB, 40 us; 32 > 16 201 MB, 58 us; head 16 > 1 71 MB, 22 us; 32 > 32 at 256
// x 256 67 MB, 24 us. Of these the tensor cores need 16, 33, 8 and 16 us.
template <class T, int inputs, int outputs>
__global__ void __launch_bounds__(FilterForm<inputs, outputs>::threads, 3)
    tail_filter_sums(TailFilterSums<T> a) {
  using Form = FilterForm<inputs, outputs>;
  char* const tile_x = dynamic_shared<char>();
  char* const tile_dy = tile_x + Form::TileX::bytes;
  const Lane lane = this_lane();
  const Warp warp = this_warp<Form>();
  const TileSource<T> x{a.x, inputs}, dy{a.dy + blockIdx.y * outputs, a.outputs};

  typename Form::Sums sums = {};
  const int end = first_tile(a.grid, blockIdx.x + 1);
  for (int tile = first_tile(a.grid, blockIdx.x); tile < end; ++tile) {
    const TilePosition position = tile_position(a.grid, tile, Form::rows);
    load_tile<typename Form::TileX>(tile_x, x, a.grid, position);
    load_tile<typename Form::TileDy>(tile_dy, dy, a.grid, position);
    cp_async_wait_all();
    __syncthreads();
#pragma unroll 1
    for (unsigned block = warp.split; block < Form::blocks; block += Form::splits)
      if (inside(a.grid, block_position(position, block)))
        accumulate<T, Form>(sums, tile_x, tile_dy, block, warp, lane);
    __syncthreads();
  }
  const std::int64_t row = blockIdx.x * gridDim.y + blockIdx.y;
  finish<Form>(sums, dynamic_shared<float>(), a.partial + row * Form::parts * Form::part_values,
               warp, lane);
}

// Thread blocks along the tiles; each turn over the outputs has as many. Together three on each of
// the H200's 132 processors, or fewer with eight tiles each, so that partial sums cost little
// beside the images. The same on every card, because the number of partial sums decides the bits of
// their sum.
int filter_blocks(int tiles, int turns) {
  return std::min(tiles, std::clamp(tiles / 8, 132 / turns, 396 / turns));
}

template <int inputs, int outputs>
FilterPartials partials_of(const ConvShape& shape) {
  using Form = FilterForm<inputs, outputs>;
  FilterPartials partials{.inputs = inputs,
                          .outputs = static_cast<int>(shape.y.c),
                          .output_block = outputs,
                          .fragments = Form::fragments};
  partials.rows = filter_blocks(tile_grid(shape.x, Form::rows).count(), partials.turns());
  return partials;
}

template <class T, int inputs, int outputs>
void launch_sums(const ConvShape& shape, const FilterPartials& partials, In x, In dy,
                 float* scratch, Stream& stream) {
  using Form = FilterForm<inputs, outputs>;
  const TailFilterSums<T> a{.x = x.as<T>(),
                            .dy = dy.as<T>(),
                            .outputs = partials.outputs,
                            .partial = scratch,
                            .grid = tile_grid(shape.x, Form::rows)};
  const dim3 grid(static_cast<unsigned>(partials.rows), static_cast<unsigned>(partials.turns()));
  launch(tail_filter_sums<T, inputs, outputs>, grid, dim3(Form::threads), Form::shared_bytes,
         stream, a);
}

// Calls body with the channels of a form as template arguments. 32 outputs by 64 inputs would not
// fit into registers: there x is read once more for the other 16.
template <class Body>
void with_form(const ConvShape& shape, const Body& body) {
  const bool wide = shape.y.c % 32 == 0;
  if (shape.y.c <= 8) return body.template operator()<16, 8>();
  switch (shape.x.c) {
    case 16:
      return wide ? body.template operator()<16, 32>() : body.template operator()<16, 16>();
    case 32:
      return wide ? body.template operator()<32, 32>() : body.template operator()<32, 16>();
    case 48:
      return body.template operator()<48, 16>();
    default:
      return body.template operator()<64, 16>();
  }
}

}  // namespace

bool tail_fits(const ConvShape& shape) {
  const Conv2d& c = shape.conv;
  const bool direct = c.kernel == 3 && c.stride == 1 && c.padding == 1 && c.dilation == 1 &&
                      c.groups == 1 && (shape.dtype == DType::bf16 || shape.dtype == DType::f16);
  const auto few = [](std::int64_t channels) { return channels % 16 == 0 && channels <= 64; };
  const bool body = few(shape.x.c) && few(shape.y.c) && !shape.bias;
  const bool head = shape.x.c == 16 && shape.y.c <= 8;
  // Offsets inside of an image and numbers of tiles are 32 bits.
  const std::int64_t most = std::int64_t{1} << 30;
  return direct && (body || head) && shape.x.count() > 0 && shape.x.h * shape.x.w * 64 < most &&
         shape.x.n * (shape.x.h / 8 + 1) * (shape.x.w / kTileColumns + 1) < most;
}

void prepare_tail_backward_filter(const ConvShape& shape, ConvBackwardFilter& pass) {
  pass.implementation = "tail";
  with_form(shape, [&]<int inputs, int outputs>() {
    const FilterPartials partials = partials_of<inputs, outputs>(shape);
    pass.scratch_bytes = partials.bytes();
    pass.run = [shape, partials](In x, In dy, Out dweight, Out dbias, void* scratch,
                                 Stream& stream) {
      auto* const sums = static_cast<float*>(scratch);
      with_half(shape.dtype, [&]<class T>() {
        launch_sums<T, inputs, outputs>(shape, partials, x, dy, sums, stream);
      });
      reduce_tail_filter(partials, sums, dweight, dbias, stream);
    };
  });
}

}  // namespace fjord::cuda
