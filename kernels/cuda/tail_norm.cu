// The tail's convolutions between batch normalisations, forward and backward-data:
// tail_forward.cu's kernel with a normalisation before the products and sums behind them.
#include "kernels/cuda/tail_norm.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/norm_sums.h"
#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_conv.h"
#include "kernels/cuda/tail_norm_ends.h"

namespace fjord::cuda {

namespace {

// A layer of 64 channels takes two turns of 32.
template <int inputs, int outputs>
constexpr unsigned turns_of = inputs == 64 ? 64 / outputs : 1;

template <int inputs, int outputs, class Norm>
using SumsOf = BlockSums<TailForm<inputs, outputs>::threads / 32, turns_of<inputs, outputs>,
                         outputs, Norm::vectors>;

// How many pixels of the image tiles [first, end) have.
template <class Form>
__device__ unsigned pixels_of(const TileGrid& grid, int first, int end) {
  int pixels = 0;
  for (int tile = first; tile < end; ++tile) {
    const TilePosition at = tile_position(grid, tile, Form::rows);
    pixels += min(Form::rows, grid.height - at.row) * min(kTileColumns, grid.width - at.column);
  }
  return pixels;
}

// Floor in bytes: x + y in 16 bits as tail_conv, backward raw as well, and y where that is
// read; at most 1.3 % of partial sums beside them. Predicted on an H200 (4.3 TB/s, batch 8),
// forward and backward: 16 > 16 at 512 x 512 134 MB, 36 us, and 201 MB, 54 us; 32 > 32 at 256 x 256
// 67 MB, 20 us, and 101 MB, 28 us; head 16 > 1 71 MB, 20 us, and 138 MB, 37 us; 64 > 64 at 128 x
// 128, where the tensor cores bind, 27 and 31 us.
template <class T, int inputs, int outputs, class Norm>
__global__ void __launch_bounds__(TailForm<inputs, outputs>::threads,
                                  Norm::blocks(outputs, TailForm<inputs, outputs>::blocks))
    tail_conv_norm(TailConv<T> a, Norm norm) {
  using Form = TailForm<inputs, outputs>;
  using Tile = typename Form::Tile;
  constexpr unsigned turns = turns_of<inputs, outputs>;
  if constexpr (outputs > 8) a.outputs = turns * outputs;  // known to the compiler
  char* const tile_memory = dynamic_shared<char>();
  char* const filter = tile_memory + Tile::bytes;
  const SumsOf<inputs, outputs, Norm> block_sums{
      reinterpret_cast<float*>(filter + Form::filter_bytes)};
  const Lane lane = this_lane();
  const unsigned block = threadIdx.x / 32;
  const TileSource<T> x{a.x, inputs == 8 ? a.inputs : inputs};
  const int first = static_cast<int>(blockIdx.x) * a.tiles_per_block;
  const int end = min(first + a.tiles_per_block, a.grid.count());
  if constexpr (outputs > 8) block_sums.clear(lane);

  for (int tile = first; tile < end; ++tile) {
    const TilePosition position = tile_position(a.grid, tile, Form::rows);
    const TilePosition corner = block_position(position, block);
    load_tile<Tile>(tile_memory, x, a.grid, position);
#pragma unroll 1
    for (unsigned turn = 0; turn < turns; ++turn) {
      if (turns > 1 || tile == first) load_filter<Form>(filter, a.filter, static_cast<int>(turn));
      cp_async_wait_all();
      if (turn == 0) norm.template read<Tile, T>(tile_memory, a.grid, position);
      __syncthreads();
      const bool here = inside(a.grid, corner);
      typename Form::Sums sums;
      begin_sums(sums, outputs == 8 ? a.bias : nullptr, a.outputs, lane);
      if (here) accumulate<T, inputs, outputs>(sums, tile_memory, filter, block, lane);
      if (tile == first) norm.template begin<T>(sums, block_sums, turn, lane);
      if (here) {
        const BlockTarget<T> y = target_of(a, corner, static_cast<int>(turn) * outputs);
        norm.template end<T>(sums, y, y.data - a.y, block_sums, turn, lane);
      }
      __syncthreads();
    }
  }
  norm.finish(block_sums, pixels_of<Form>(a.grid, first, end));
}

// body.template operator()<inputs, outputs>() for the forms of layers that fit.
template <bool forward, class Body>
void with_form(const FilterPacking& p, const Body& body) {
  constexpr int head_inputs = forward ? 16 : 8, head_outputs = forward ? 8 : 16;
  if (p.input_block == 8 || p.output_block == 8)
    return body.template operator()<head_inputs, head_outputs>();
  switch (p.input_block) {
    case 16:
      return body.template operator()<16, 16>();
    case 32:
      return body.template operator()<32, 32>();
    case 64:
      return body.template operator()<64, 32>();
    default:
      check(false, "tail", "has no form of {} channels between normalisations", p.input_block);
  }
}

template <int outputs, class Norm>
auto norm_of(const Norm& norm) {
  if constexpr (outputs == 8)
    return NormHead{norm.x};
  else
    return norm;
}

// A pass, and the scratch behind its packed filter for the blocks' rows of sums.
template <bool forward>
struct TailNormPass {
  TailPass tail;
  unsigned blocks = 0;

  explicit TailNormPass(const TailPass& pass) : tail(pass) {
    with_form<forward>(tail.packing(), [&]<int inputs, int outputs>() {
      const int tiles = tile_grid(tail.x, TailForm<inputs, outputs>::rows).count();
      blocks = static_cast<unsigned>(divide_up(tiles, tiles_per_block(tiles)));
    });
  }
  std::size_t scratch_bytes(unsigned row_values) const {
    return tail.packed_bytes() +
           std::size_t{blocks} * row_values * static_cast<unsigned>(tail.outputs) * sizeof(float);
  }
  float* partial(void* scratch) const {
    return reinterpret_cast<float*>(static_cast<char*>(scratch) + tail.packed_bytes());
  }

  template <class T, class Norm>
  void run(In x, In weight, In bias, Out y, const Norm& norm, void* scratch, Stream& stream) const {
    pack_tail_filter(tail.packing(), weight, {}, {scratch, tail.dtype}, stream);
    with_form<forward>(tail.packing(), [&]<int inputs, int outputs>() {
      const TileGrid grid = tile_grid(tail.x, TailForm<inputs, outputs>::rows);
      const TailConv<T> a{.x = x.as<T>(),
                          .inputs = static_cast<int>(tail.x.c),
                          .filter = static_cast<const uint4*>(scratch),
                          .bias = optional_data<float>(bias),
                          .added = y.write == Write::add ? y.as<T>() : nullptr,
                          .y = y.as<T>(),
                          .outputs = tail.outputs,
                          .relu = false,
                          .grid = grid,
                          .tiles_per_block = tiles_per_block(grid.count())};
      launch_form<inputs, outputs>(a, norm_of<outputs>(norm), stream);
    });
  }

  template <int inputs, int outputs, class T, class Norm>
  void launch_form(const TailConv<T>& a, const Norm& norm, Stream& stream) const {
    using Form = TailForm<inputs, outputs>;
    launch(tail_conv_norm<T, inputs, outputs, Norm>, dim3(blocks), dim3(Form::threads),
           Form::shared_bytes + SumsOf<inputs, outputs, Norm>::bytes, stream, a, norm);
  }
};

}  // namespace

bool tail_norm_fits(const ConvNormShape& s) {
  const std::int64_t inputs = s.conv.x.c, outputs = s.conv.y.c;
  const bool plain = s.low.n == 0 && (s.act == Act::none || s.act == Act::relu);
  const bool head = outputs <= 8 && !s.moments && !s.makes_dy;
  return plain && tail_fits(s.conv) && (head || (inputs == outputs && inputs != 48));
}

void prepare_tail_norm_forward(const ConvNormShape& s, ConvNormForward& pass) {
  const TailNormPass<true> own({.x = s.conv.x,
                                .outputs = static_cast<int>(s.conv.y.c),
                                .dtype = s.conv.dtype,
                                .turned = false});
  pass.implementation = "tail: between norms";
  pass.scratch_bytes = own.scratch_bytes(s.moments ? NormForward::row_values : 0);
  pass.run = [own, s](const ConvNormInputs& t, Out y, Out mean, Out variance, void* scratch,
                      Stream& stream) {
    float* const partial = s.moments ? own.partial(scratch) : nullptr;
    const NormForward norm{
        {optional_data<float>(t.scale), optional_data<float>(t.shift), s.act == Act::relu},
        partial};
    with_half(s.conv.dtype,
              [&]<class T>() { own.run<T>(t.x, t.weight, t.bias, y, norm, scratch, stream); });
    if (partial) merge_moments(own.blocks, s.conv.y.c, partial, mean, variance, stream);
  };
}

void prepare_tail_norm_backward_data(const ConvNormShape& s, ConvNormBackwardData& pass) {
  const TailNormPass<false> own({.x = s.conv.y,
                                 .outputs = static_cast<int>(s.conv.x.c),
                                 .dtype = s.conv.dtype,
                                 .turned = true});
  constexpr unsigned row_values = 2;  // NormGradient's
  pass.implementation = "tail: between norms";
  pass.scratch_bytes = own.scratch_bytes(row_values);
  pass.run = [own, s](In dy, In weight, const NormGradientInputs& n, Out dz, Out,
                      const NormGradientOutputs& to, void* scratch, Stream& stream) {
    with_half(s.conv.dtype, [&]<class T>() {
      const NormGradient<T> norm{.raw = n.raw.as<T>(),
                                 .y = optional_data<T>(n.y),
                                 .scale = n.scale.as<float>(),
                                 .shift = n.shift.as<float>(),
                                 .mean = n.mean.as<float>(),
                                 .relu = n.act == Act::relu,
                                 .partial = own.partial(scratch)};
      own.run<T>(dy, weight, {}, dz, norm, scratch, stream);
    });
    merge_gradient_sums(own.blocks, s.conv.x.c, own.partial(scratch), n.inv_std, to.sums, to.dgamma,
                        to.dbeta, stream);
  };
}

}  // namespace fjord::cuda
