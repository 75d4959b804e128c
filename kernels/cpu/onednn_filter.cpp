// Backward-filter by oneDNN: partial sums over pieces of the batch, for blocks of output channels,
// each by one thread; then the partial sums are added in order.
#include <algorithm>
#include <vector>

#include "kernels/cpu/loops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/onednn_parts.h"
#include "kernels/cpu/parallel.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace onednn;

/// A partial sum is as large as the filter. Small filters take one for each of 16 pieces; wide ones
/// are also cut into blocks of outputs, which need no sum, and take fewer.
constexpr std::int64_t kSmallFilter = 64 * 64 * 9, kBlockOutputs = 64;

std::int64_t blocks_of(const ConvShape& s) {
  const bool cut =
      s.weight.count() > kSmallFilter && s.conv.groups == 1 && s.y.c % kBlockOutputs == 0;
  return cut ? s.y.c / kBlockOutputs : 1;
}

std::vector<Piece> pieces_of(const ConvShape& s) {
  const std::int64_t wanted =
      s.weight.count() <= kSmallFilter ? 16 : std::max<std::int64_t>(1, 8 / blocks_of(s));
  return cut_outputs(s, {.pieces = wanted, .least_rows = std::max<std::int64_t>(8, 256 / s.y.w)});
}

struct FilterPieces {
  explicit FilterPieces(const ConvShape& s)
      : y(s.y), pieces(pieces_of(s)), blocks(blocks_of(s)), workers(threads()), block(s) {
    block.y.c /= blocks;
    block.weight.n /= blocks;
  }

  void build() {
    Formats f(block, pieces[pieces.size() / 2]);
    const auto chosen = describe_backward_filter(f);
    const memory::desc packed = chosen.diff_weights_desc();
    implementation = chosen.impl_info_str();
    kinds.build<dnnl::convolution_backward_weights>(block, pieces, packed, workers,
                                                    describe_backward_filter);
    make_room_for_blocks();
    store = std::make_unique<Reorder>(packed, f.weight, Write::store, workers);
    add = std::make_unique<Reorder>(packed, f.weight, Write::add, workers);
    plan(packed);
  }

  /// oneDNN's gradient of strided 1x1 filters begins each step of pixels as though these had a
  /// whole block of channels (8 with AVX2, 16 with AVX-512), in a workspace measured for those
  /// there are.
  void make_room_for_blocks() {
    constexpr std::int64_t kBlock = 16;
    if (block.conv.kernel == 1 && block.conv.stride > 1 && block.x.c < kBlock)
      kinds.work_bytes = aligned(kinds.work_bytes * kBlock / static_cast<std::size_t>(block.x.c));
  }

  void plan(const memory::desc& packed) {
    Scratch scratch;
    packed_bytes = aligned(packed.get_size());
    scratch.take(pieces.size() * static_cast<std::size_t>(blocks) * packed_bytes);
    dy_at = scratch.take(blocks > 1 ? static_cast<std::size_t>(y.count()) * sizeof(float) : 0);
    work_at = scratch.take(static_cast<std::size_t>(workers) * kinds.work_bytes);
    unpack_at = scratch.take(std::max(store->scratch_bytes(), add->scratch_bytes()));
    bytes = scratch.bytes;
  }

  /// The partial sum of a piece and a block of outputs.
  float* partial(void* scratch, std::size_t piece, std::int64_t q) const {
    const std::size_t i = piece * static_cast<std::size_t>(blocks) + static_cast<std::size_t>(q);
    return reinterpret_cast<float*>(at(scratch, i * packed_bytes));
  }

  /// dy with each block of outputs on its own, since oneDNN wants NHWC without gaps.
  const float* separate_blocks(const float* dy, void* scratch) const {
    if (blocks == 1) return dy;
    float* separated = reinterpret_cast<float*>(at(scratch, dy_at));
    const Chunks chunks{y.pixels(), 256};
    const std::int64_t width = block.y.c;
    parallel_for(blocks * chunks.pieces(), [&](std::int64_t i) {
      const std::int64_t q = i / chunks.pieces(), chunk = i % chunks.pieces();
      for (std::int64_t p = chunks.begin(chunk); p < chunks.begin(chunk) + chunks.length(chunk);
           ++p)
        loops().copy(dy + p * y.c + q * width, separated + (q * y.pixels() + p) * width, width,
                     false);
    });
    return separated;
  }

  void run_piece(std::size_t i, std::int64_t q, int worker, const float* x, const float* dy,
                 void* scratch) {
    const OneThread one;
    const Piece& piece = pieces[i];
    PieceKind::Bindings& m = kinds.bindings(i, worker, at(scratch, work_at));
    set_data(m.x, x + piece.x_offset(block.x));
    set_data(m.y, dy + q * block.y.count() + piece.y_offset(block.y));
    set_data(m.weight, partial(scratch, i, q));
    kinds.primitive(i).execute(stream(), {{DNNL_ARG_SRC, m.x},
                                          {DNNL_ARG_DIFF_DST, m.y},
                                          {DNNL_ARG_DIFF_WEIGHTS, m.weight},
                                          {DNNL_ARG_SCRATCHPAD, m.workspace}});
  }

  void run(const float* x, const float* dy, Out dweight, void* scratch) {
    const float* separated = separate_blocks(dy, scratch);
    const auto tasks = static_cast<std::int64_t>(pieces.size()) * blocks;
    parallel_pieces(tasks, workers, [&](std::size_t i, int worker) {
      const auto q = static_cast<std::int64_t>(i) % blocks;
      run_piece(i / static_cast<std::size_t>(blocks), q, worker, x, separated, scratch);
    });
    add_partials(scratch);
    Reorder& unpack = dweight.write == Write::add ? *add : *store;
    for (std::int64_t q = 0; q < blocks; ++q)
      unpack.run(partial(scratch, 0, q), dweight.as<float>() + q * block.weight.count(),
                 at(scratch, unpack_at));
  }

  void add_partials(void* scratch) const {
    const auto values = static_cast<std::int64_t>(packed_bytes / sizeof(float)) * blocks;
    const Chunks chunks{values, 4096};
    float* total = partial(scratch, 0, 0);
    parallel_for(chunks.pieces(), [&](std::int64_t i) {
      for (std::size_t p = 1; p < pieces.size(); ++p)
        loops().copy(partial(scratch, p, 0) + chunks.begin(i), total + chunks.begin(i),
                     chunks.length(i), true);
    });
  }

  const Shape y;
  const std::vector<Piece> pieces;
  const std::int64_t blocks;
  const int workers;
  ConvShape block;  // the layer with one block of its outputs
  PieceKinds kinds;
  std::unique_ptr<Reorder> store, add;
  std::string implementation;
  std::size_t packed_bytes = 0, dy_at = 0, work_at = 0, unpack_at = 0, bytes = 0;
};

}  // namespace

ConvBackwardFilter onednn_backward_filter(const ConvShape& shape) {
  auto gradient = std::make_shared<FilterPieces>(shape);
  prepared(shape, [&] { gradient->build(); });
  return {gradient->implementation, gradient->bytes,
          [gradient](In x, In dy, Out dweight, Out, void* scratch, Stream&) {
            gradient->run(x.as<float>(), dy.as<float>(), dweight, scratch);
          }};
}

}  // namespace fjord
