// The driver of backward-filter.
#include "kernels/cpu/winograd/filter_gradient.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/passes.h"

namespace fjord::winograd {

namespace {

/// Floats of a block's operands: in a core's own cache, or in the one that all share.
constexpr std::int64_t kOwnFloats = 80 * 1024, kSharedFloats = 1 << 20;
constexpr std::int64_t kOwnTiles = 32, kSharedTiles = 64;
/// Partial sums: at most so many, and so many floats of them.
constexpr std::int64_t kMostPieces = 16, kPieceFloats = 3 << 20;

}  // namespace

FilterGradient::FilterGradient(const ConvShape& s, int workers, std::int64_t low_channels)
    : x_{s.x, s.conv.padding, low_channels},
      y_(s.y),
      loops_(loops_of(s.math)),
      workers_(workers),
      tiles_(s.y),
      panels_(s.x.c, loops_.width),
      filters_(divide_up(s.y.c, loops_.width) * loops_.width),
      sum_plane_(odd_lines(panels_.count * panels_.width * filters_)) {
  const std::int64_t points = kWinogradPoints;
  const std::int64_t channels = panels_.count * panels_.width, sums = points * sum_plane_;
  const std::int64_t per_tile = points * (channels + filters_) / loops_.packed;
  const std::int64_t own = std::max(kOwnTiles, kOwnFloats / per_tile);
  const std::int64_t most = std::min({kMostPieces, kPieceFloats / sums, tiles_.count / (2 * own)});
  // A power of two, so that no thread of 2 or 4 has a piece more than the others.
  const bool apart = most > 1;
  pieces_ = apart ? static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(most))) : 1;
  block_ = std::min(tiles_.count, apart ? own : std::max(kSharedTiles, kSharedFloats / per_tile));
  slots_ = divide_up(block_, loops_.packed);
  gradient_plane_ = odd_lines(slots_ * filters_);
  pixel_plane_ = odd_lines(slots_ * channels);
  per_worker_ = points * (gradient_plane_ + pixel_plane_);
  sums_at_ = layout_.take(pieces_ * sums);
  operands_at_ = layout_.take(apart ? workers_ * per_worker_ : per_worker_);
}

FilterGradient::Operands FilterGradient::operands(float* data) const {
  return {{data, gradient_plane_, slots_, 1, true},
          {data + kWinogradPoints * gradient_plane_, pixel_plane_, slots_, panels_.vectors, true}};
}

// The rows of tiles, of all images, that a range lies in.
Range FilterGradient::rows_of(Range tiles) const {
  return {tiles.begin / tiles_.columns, divide_up(tiles.end, tiles_.columns)};
}

// The gradients of those tiles that lie in a row.
void FilterGradient::make(const NormBackward& gradient, Range tiles, std::int64_t row) const {
  const Tiles::Place first = tiles_.at(std::max(tiles.begin, row * tiles_.columns));
  const Tiles::Place last = tiles_.at(std::min(tiles.end, (row + 1) * tiles_.columns) - 1);
  const std::int64_t pixels = std::min(last.x + kWinogradTile, y_.w) - first.x;
  for (std::int64_t y = first.y; y < std::min(first.y + kWinogradTile, y_.h); ++y) {
    const std::int64_t pixel = (first.image * y_.h + y) * y_.w + first.x;
    loops().norm_backward_apply({pixels, y_.c}, moved(gradient, pixel * y_.c));
  }
}

// The tiles of one slot; the last is filled up with zeros.
void FilterGradient::to_points(const Operands& to, const Source& x, const float* dy, Range tiles,
                               std::int64_t slot) const {
  for (std::int64_t i = slot * loops_.packed; i < (slot + 1) * loops_.packed; ++i) {
    const bool any = i < tiles.size();
    const Tiles::Place place = any ? tiles_.at(tiles.begin + i) : tiles_.nowhere();
    loops_.gradient(patch_of(dy, y_, place, 0), to.gradients, i);
    pixels_to_points(loops_, x_, x, place, to.pixels, i);
  }
}

void FilterGradient::accumulate(const Operands& from, std::int64_t slots, std::int64_t point,
                                std::int64_t panel, float* sums, bool first) const {
  const float* gradients = from.gradients.data + point * gradient_plane_;
  const float* pixels = from.pixels.data + point * pixel_plane_ + panel * slots_ * panels_.width;
  float* to = sums + point * sum_plane_ + panel * filters_ * panels_.width;
  for (std::int64_t k = 0; k < filters_; k += loops_.width)
    loops_.accumulate(slots, panels_.vectors, gradients + k * slots_, pixels,
                      to + k * panels_.width, first);
}

void FilterGradient::run(const Source& x, const Gradient& dy, Out dweight, float* scratch) const {
  if (pieces_ > 1)
    sum_apart(x, dy, scratch);
  else
    sum_together(x, dy, scratch);
  to_filters(scratch + sums_at_, dweight);
}

// Small sums: one for each piece of the tiles, by one thread.
void FilterGradient::sum_apart(const Source& x, const Gradient& dy, float* scratch) const {
  parallel_pieces(pieces_, workers_, [&](std::size_t piece, int worker) {
    const Range own = part(tiles_.count, pieces_, static_cast<std::int64_t>(piece));
    float* sums =
        scratch + sums_at_ + static_cast<std::int64_t>(piece) * kWinogradPoints * sum_plane_;
    const Operands held = operands(scratch + operands_at_ + worker * per_worker_);
    const std::int64_t blocks = divide_up(own.size(), block_);
    for (std::int64_t i = 0; i < blocks; ++i) {
      Range block = part(own.size(), blocks, i);
      block = {own.begin + block.begin, own.begin + block.end};
      const std::int64_t slots = slots_of(block);
      const Range rows = dy.made_by ? rows_of(block) : Range{};
      for (std::int64_t row = rows.begin; row < rows.end; ++row) make(*dy.made_by, block, row);
      for (std::int64_t slot = 0; slot < slots; ++slot) to_points(held, x, dy.dy, block, slot);
      for (std::int64_t point = 0; point < kWinogradPoints; ++point)
        for (std::int64_t panel = 0; panel < panels_.count; ++panel)
          accumulate(held, slots, point, panel, sums, i == 0);
    }
  });
}

// Large sums: one, of which each thread takes points and panels.
void FilterGradient::sum_together(const Source& x, const Gradient& dy, float* scratch) const {
  const Operands held = operands(scratch + operands_at_);
  const std::int64_t blocks = divide_up(tiles_.count, block_);
  for (std::int64_t i = 0; i < blocks; ++i) {
    const Range block = part(tiles_.count, blocks, i);
    const std::int64_t slots = slots_of(block);
    const Range rows = dy.made_by ? rows_of(block) : Range{};
    parallel_for(rows.size(),
                 [&](std::int64_t row) { make(*dy.made_by, block, rows.begin + row); });
    parallel_for(slots, [&](std::int64_t slot) { to_points(held, x, dy.dy, block, slot); });
    parallel_pieces(kWinogradPoints * panels_.count, workers_, [&](std::size_t task, int) {
      const auto t = static_cast<std::int64_t>(task);
      accumulate(held, slots, t / panels_.count, t % panels_.count, scratch + sums_at_, i == 0);
    });
  }
}

void FilterGradient::to_filters(const float* sums, Out dweight) const {
  parallel_for(y_.c, [&](std::int64_t filter) {
    for (std::int64_t panel = 0; panel < panels_.count; ++panel)
      loops_.filter_gradient({.sums = sums + (panel * filters_ + filter) * panels_.width,
                              .plane = sum_plane_,
                              .panel = panels_.width,
                              .pieces = pieces_,
                              .piece = kWinogradPoints * sum_plane_},
                             {.dweight = dweight.as<float>(),
                              .channels = x_.shape.c,
                              .filter = filter,
                              .first_channel = panel * panels_.width,
                              .add = dweight.write == Write::add});
  });
}

}  // namespace fjord::winograd
