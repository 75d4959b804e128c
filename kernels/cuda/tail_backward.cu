// The gradient of the tail's filter, summed in two stages and a fixed order; between normalisations
// it reads x through one and makes dy of what the other left. (Backward-data is the forward kernel
// with the filter turned: tail_forward.cu, tail_norm.cu.)
//
// dweight[k][tap][c] = sum over pixels of dy[k] * x[c]: pixels are the k axis of the instruction,
// so both operands are read transposed from the tiles. A warp keeps 16 x 16 channels for all nine
// taps in registers while its thread block walks over many tiles.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_filter_sums.h"
#include "kernels/cuda/tail_launch.h"
#include "kernels/cuda/tail_made_tile.h"
#include "kernels/cuda/tail_norm.h"
#include "kernels/cuda/tail_norm_tile.h"
#include "kernels/cuda/tail_reduce.h"

namespace fjord::cuda {

namespace {

// change(tile of x, tile of dy, their position) changes what this thread has brought of them.
template <class T, int inputs, int outputs, class Change>
__device__ void sum_tiles(const TailFilterSums<T>& a, const Change& change) {
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
    change(tile_x, tile_dy, position);
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

// Floor in bytes: x + dy in 16 bits (x once for every 16 or 32 outputs); beside it at most 396 /
// turns x 36 CK of partial sums (3.6 MB for 16 x 16, 15 MB for 32 x 32 and for 64 x 64), written
// here and read by tail_reduce, and 33 % of x for its border, from the second-level cache as a
// rule. Predicted on an H200 (4.3 TB/s; 512 x 512, batch 8): 16 > 16 134 MB, 40 us; 32 > 16 201 MB,
// 58 us; head 16 > 1 71 MB, 22 us; 32 > 32 at 256 x 256 67 MB, 24 us. Of these the tensor cores
// need 16, 33, 8 and 16 us.
template <class T, int inputs, int outputs>
__global__ void __launch_bounds__(FilterForm<inputs, outputs>::threads, 3)
    tail_filter_sums(TailFilterSums<T> a) {
  sum_tiles<T, inputs, outputs>(a, [](char*, char*, TilePosition) {});
}

// The same bytes and times: x is read through the normalisation that made it, and 64 channels, of
// which a block takes 16 outputs, are normalised four times. Where dy is made here, what it is made
// of is read beside dz, and dy is written: 16 > 16 268 MB, 71 us.
template <class T, int inputs, int outputs>
__global__ void __launch_bounds__(FilterForm<inputs, outputs>::threads, 3)
    tail_filter_norm_sums(TailFilterSums<T> a, TileNorm norm, TileMade<T> made) {
  using Form = FilterForm<inputs, outputs>;
  sum_tiles<T, inputs, outputs>(a, [&](char* x, char* dy, TilePosition position) {
    if (norm.scale) normalize_tile<typename Form::TileX, T>(x, norm, a.grid, position);
    if constexpr (outputs > 8)
      if (made.made)
        make_tile<typename Form::TileDy>(dy, made, static_cast<int>(blockIdx.y) * outputs, a.grid,
                                         position);
  });
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

// What follows the sums' own arguments is the kernel's beside.
template <int inputs, int outputs, class T, class... Beside>
void launch_sums(void (*kernel)(TailFilterSums<T>, Beside...), const ConvShape& shape,
                 const FilterPartials& partials, In x, In dy, float* scratch, Stream& stream,
                 const Beside&... beside) {
  using Form = FilterForm<inputs, outputs>;
  const TailFilterSums<T> a{.x = x.as<T>(),
                            .dy = dy.as<T>(),
                            .outputs = partials.outputs,
                            .partial = scratch,
                            .grid = tile_grid(shape.x, Form::rows)};
  const dim3 grid(static_cast<unsigned>(partials.rows), static_cast<unsigned>(partials.turns()));
  launch(kernel, grid, dim3(Form::threads), Form::shared_bytes, stream, a, beside...);
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

// The same for layers that tail_norm_fits.
template <class Body>
void with_norm_form(const ConvShape& shape, const Body& body) {
  if (shape.y.c <= 8) return body.template operator()<16, 8>();
  switch (shape.x.c) {
    case 16:
      return body.template operator()<16, 16>();
    case 32:
      return body.template operator()<32, 32>();
    case 64:
      return body.template operator()<64, 16>();
    default:
      check(false, "tail", "has no form of {} channels between normalisations", shape.x.c);
  }
}

// The second stage.
constexpr int kReduceWarps = 8;

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
// Floor in bytes: every partial sum once, from the second-level cache: 3 us for 16 x 16.
__global__ void __launch_bounds__(kReduceWarps * 32) tail_reduce(Reduction r) {
  float* const found = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int value = static_cast<int>(blockIdx.x) * 32 + lane;
  float sum = 0;
#pragma unroll 4
  for (int row = warp; row < r.rows; row += kReduceWarps)
    sum += r.partial[static_cast<std::int64_t>(row) * r.values + value];
  found[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int i = 1; i < kReduceWarps; ++i) sum += found[i * 32 + lane];
  write_value(r, value, sum);
}

template <class T>
TileMade<T> made_of(const ConvNormGradient& g, const Shape& y) {
  if (!g.made) return {};
  const NormGradientInputs& n = g.norm;
  return {.made = g.made.as<T>(),
          .raw = n.raw.as<T>(),
          .scale = n.scale.as<float>(),
          .shift = n.shift.as<float>(),
          .mean = n.mean.as<float>(),
          .inv_std = n.inv_std.as<float>(),
          .sums = g.sums.as<float>(),
          .channels = static_cast<int>(y.c),
          .relu = n.act == Act::relu,
          .pixels = static_cast<float>(y.pixels())};
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
  launch(tail_reduce, dim3(static_cast<unsigned>(p.values() / 32)), dim3(kReduceWarps * 32),
         kReduceWarps * 32 * sizeof(float), stream, reduction);
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
        launch_sums<inputs, outputs>(tail_filter_sums<T, inputs, outputs>, shape, partials, x, dy,
                                     sums, stream);
      });
      reduce_tail_filter(partials, sums, dweight, dbias, stream);
    };
  });
}

void prepare_tail_norm_backward_filter(const ConvNormShape& s, ConvNormBackwardFilter& pass) {
  pass.implementation = "tail: between norms";
  with_norm_form(s.conv, [&]<int inputs, int outputs>() {
    const FilterPartials partials = partials_of<inputs, outputs>(s.conv);
    pass.scratch_bytes = partials.bytes();
    pass.run = [s, partials](const ConvNormInputs& t, const ConvNormGradient& g, Out dweight,
                             Out dbias, void* scratch, Stream& stream) {
      auto* const sums = static_cast<float*>(scratch);
      const TileNorm norm{optional_data<float>(t.scale), optional_data<float>(t.shift),
                          s.act == Act::relu};
      with_half(s.conv.dtype, [&]<class T>() {
        launch_sums<inputs, outputs>(tail_filter_norm_sums<T, inputs, outputs>, s.conv, partials,
                                     t.x, g.value, sums, stream, norm, made_of<T>(g, s.conv.y));
      });
      reduce_tail_filter(partials, sums, dweight, dbias, stream);
    };
  });
}

}  // namespace fjord::cuda
