// The driver of forward and backward-data.
#include "kernels/cpu/winograd/convolution.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/passes.h"

namespace fjord::winograd {

namespace {

/// Of transformed pixels and one panel's products: what a core's own cache holds beside the panel's
/// filters.
constexpr std::int64_t kBlockFloats = 80 * 1024;
/// Of the pixels that all threads share, in the cache that they share.
constexpr std::int64_t kSharedFloats = 3 * 1024 * 1024;
constexpr std::int64_t kSharedTiles = 128;
/// Of filters at the points (30 MiB): larger ones are read once for many tiles rather than once for
/// each block.
constexpr std::int64_t kLargeFilters = 30 * 1024 * 1024 / 4;

/// Floats of an output from which on it is written past the caches, which saves reading it first.
constexpr std::int64_t kStreamed = 1 << 18;

/// Tiles of the micro-kernel.
std::int64_t rows_of(const WinogradLoops& loops, const Panels& panels) {
  return panels.vectors == 2 ? loops.wide_rows : loops.narrow_rows;
}

/// Tiles of a block where fewer fit than the micro-kernel multiplies at once.
std::int64_t few_of(const WinogradLoops& loops, const Panels& panels) {
  return loops.width == 16 ? 8 : 2 * rows_of(loops, panels);
}

/// Tiles that fit a core's own cache.
std::int64_t fitting_tiles(const Panels& panels, std::int64_t places) {
  return kBlockFloats / (kWinogradPoints * (places + panels.width));
}

std::int64_t own_block(const WinogradLoops& loops, const Panels& panels, std::int64_t places) {
  const std::int64_t own = fitting_tiles(panels, places), rows = rows_of(loops, panels);
  return own < rows ? few_of(loops, panels) : own / rows * rows;
}

}  // namespace

Convolution::Convolution(const Pass& pass, int workers)
    : pass_(pass),
      loops_(loops_of(pass.math)),
      workers_(workers),
      tiles_(pass.out),
      panels_(pass.out.c, loops_.width),
      depth_(divide_up(pass.in.c, loops_.width) * loops_.width),
      places_(depth_ / loops_.packed),
      own_block_(own_block(loops_, panels_, places_)),
      sums_(pass.summed, pass.out, own_block_, panels_) {
  const std::int64_t points = kWinogradPoints;
  const std::int64_t filters = panels_.count * points * odd_lines(places_ * panels_.width);
  choose_blocks(filters);
  const std::int64_t line = 16;
  stream_ = loops_.width == line && pass.out.c % line == 0 && pass.out.count() > kStreamed;
  in_place_ = !together_ && loops_.packed == 1 && panels_.count == 1 && panels_.width <= depth_;
  pixel_plane_ = odd_lines(block_ * places_);
  product_plane_ = in_place_ ? pixel_plane_ : odd_lines(products_block_ * panels_.width);

  // Used once by one thread: then they need not all be there at a time.
  by_panel_ = together_ && products_block_ == tiles_.count && panels_.count >= workers_;
  chunk_ = by_panel_ ? std::min(depth_, chunk_of(products_block_)) : depth_;
  filter_plane_ = odd_lines(chunk_ * panels_.width / loops_.packed);
  layout_.take(by_panel_ ? 0 : filters);
  if (pass.keeps) kept_floats_ = panels_.count * depth_ * panels_.width * kWinogradTaps;
  pixels_at_ = layout_.take(together_ ? points * pixel_plane_ : 0);
  own_products_ = together_ || in_place_ ? 0 : points * pixel_plane_;
  own_filters_ = own_products_ + (in_place_ ? points * pixel_plane_ : points * product_plane_);
  per_worker_ = own_filters_ + (by_panel_ ? points * filter_plane_ : 0);
  own_at_ = layout_.take(per_worker_ * workers_);
  sums_at_ = layout_.take(sums_.floats());
}

// Which tiles are worked on at a time. Groups of tiles that are summed stay together: they are as
// many as a thread's own block has, so that they follow from the shape alone.
void Convolution::choose_blocks(std::int64_t filters) {
  const std::int64_t rows = rows_of(loops_, panels_), few = few_of(loops_, panels_);
  const bool wide = fitting_tiles(panels_, places_) < rows;
  together_ = tiles_.count < 3 * few * workers_ || filters > kLargeFilters ||
              (wide && tiles_.count <= kSharedTiles && panels_.count >= workers_);
  block_ = products_block_ = own_block_;
  if (!together_) return;
  const auto at_most = [&](std::int64_t tiles, std::int64_t most) {
    const std::int64_t group = sums_.group();
    return tiles <= most ? tiles : std::max(group, most / group * group);
  };
  block_ = at_most(tiles_.count, std::max(rows, kSharedFloats / (kWinogradPoints * places_)));
  products_block_ = at_most(block_, kSharedTiles);
}

void Convolution::to_points(const Source& in, std::int64_t tile, const PixelPoints& pixels,
                            std::int64_t slot) const {
  pixels_to_points(loops_, {pass_.in, pass_.padding, pass_.low_channels}, in, tiles_.at(tile),
                   pixels, slot);
}

void Convolution::multiply(const PixelPoints& pixels, std::int64_t slot, std::int64_t tiles,
                           Range depths, const float* filters, const PixelPoints& products) const {
  const std::int64_t first = (depths.begin * pixels.tiles + slot * loops_.width) / loops_.packed;
  for (std::int64_t point = 0; point < kWinogradPoints; ++point)
    loops_.multiply({.tiles = tiles,
                     .depth = depths.size(),
                     .vectors = panels_.vectors,
                     .pixels = pixels.data + point * pixels.plane + first,
                     .pixel_step = pixels.tiles * loops_.width / loops_.packed,
                     .filters = filters + point * filter_plane_,
                     .products = products.data + point * products.plane,
                     .product_step = products.tiles * loops_.width,
                     .add = depths.begin > 0});
}

// Of one panel. Filters that are used once are transformed a few depths at a time, so that their
// points never leave the core's own cache.
void Convolution::make_products(const Call& call, const PixelPoints& pixels, std::int64_t slot,
                                std::int64_t tiles, std::int64_t panel, int worker,
                                const PixelPoints& products) const {
  if (!by_panel_) {
    const float* filters = call.scratch + panel * kWinogradPoints * filter_plane_;
    return multiply(pixels, slot, tiles, {0, depth_}, filters, products);
  }
  float* points = call.scratch + own_at_ + worker * per_worker_ + own_filters_;
  for (std::int64_t first = 0; first < depth_; first += chunk_) {
    const Range depths{first, std::min(first + chunk_, depth_)};
    for (std::int64_t depth = first; depth < depths.end; depth += loops_.width)
      transform_filters(call.filters, panel, depth,
                        points + (depth - first) * panels_.width / loops_.packed);
    multiply(pixels, slot, tiles, depths, points, products);
  }
}

// Of the two parts of an enlarged image's gradient one may be nobody's.
bool Convolution::wanted(const Call& call, std::int64_t panel) const {
  return (panel * panels_.width < pass_.low_outputs ? call.edge.low : call.out) != nullptr;
}

// Where a panel's outputs go, of the first image.
OutputTile Convolution::output_tile(std::int64_t panel, const Edge& edge, float* out) const {
  const Shape s = pass_.out;
  const std::int64_t first = panel * panels_.width, low = pass_.low_outputs;
  OutputTile tile{.image = out,
                  .plus = edge.plus,
                  .bias = edge.bias,
                  .h = s.h,
                  .w = s.w,
                  .channels = s.c - low,
                  .y = 0,
                  .x = 0,
                  .first = first - low,
                  .relu = edge.relu,
                  .stream = stream_};
  if (low == 0) tile.norm = edge.norm;
  if (first >= low) return tile;
  tile.image = edge.low;
  tile.plus = edge.add_low ? edge.low : nullptr;
  tile.channels = low;
  tile.first = first;
  tile.stream = false;
  tile.halved = true;
  tile.norm = edge.norm;
  return tile;
}

void Convolution::to_pixels(const Call& call, const PixelPoints& products, Range tiles,
                            std::int64_t panel) const {
  const OutputTile whole = output_tile(panel, call.edge, call.out);
  const std::int64_t values = whole.h * whole.w * whole.channels / (whole.halved ? 4 : 1);
  for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const Tiles::Place p = tiles_.at(tile);
    OutputTile own = whole;
    own.image += p.image * values;
    if (own.plus) own.plus += p.image * values;
    own.y = p.y;
    own.x = p.x;
    if (own.norm.raw) own.norm.raw += p.image * values;
    if (own.norm.y) own.norm.y += p.image * values;
    if (whole.halved || pass_.low_outputs == 0)
      own.sums = sums_.sums_of(tile, call.scratch + sums_at_);
    loops_.output(products, tile - tiles.begin, own);
  }
}

void Convolution::run(const Source& in, const Filters& filters, const Edge& edge, float* out,
                      float* scratch) const {
  const Call call{in, filters, edge, out, scratch};
  if (!by_panel_) transform_all_filters(call);
  if (together_)
    run_together(call);
  else
    run_own_blocks(call);
  const float* sums = scratch + sums_at_;
  if (pass_.summed == Summed::moments) sums_.merge_moments(sums, edge.mean, edge.variance);
  if (pass_.summed == Summed::gradients)
    sums_.merge_gradients(sums, pass_.low_outputs ? pass_.low_outputs : pass_.out.c, edge.inv_std,
                          edge.gradients);
}

// Many tiles: each thread takes blocks of its own, small enough for its cache.
void Convolution::run_own_blocks(const Call& call) const {
  const std::int64_t blocks = divide_up(tiles_.count, block_);
  parallel_pieces(blocks, workers_, [&](std::size_t i, int worker) {
    const Range own = part(tiles_.count, blocks, static_cast<std::int64_t>(i), sums_.group());
    float* data = call.scratch + own_at_ + worker * per_worker_;
    const PixelPoints pixels{data, pixel_plane_, block_, 1};
    const PixelPoints products{data + own_products_, product_plane_, block_, panels_.vectors};
    for (std::int64_t tile = own.begin; tile < own.end; ++tile)
      to_points(call.in, tile, pixels, tile - own.begin);
    for (std::int64_t panel = 0; panel < panels_.count; ++panel) {
      if (!wanted(call, panel)) continue;
      make_products(call, pixels, 0, own.size(), panel, worker, products);
      to_pixels(call, products, own, panel);
    }
    if (stream_) loops_.fence();
  });
}

// Few tiles, or filters that are better read once: all threads transform the pixels of one block,
// then each takes panels of outputs.
void Convolution::run_together(const Call& call) const {
  const PixelPoints pixels{call.scratch + pixels_at_, pixel_plane_, block_, 1};
  const std::int64_t blocks = divide_up(tiles_.count, block_);
  for (std::int64_t i = 0; i < blocks; ++i) {
    const Range block = part(tiles_.count, blocks, i, sums_.group());
    parallel_for(block.size(),
                 [&](std::int64_t slot) { to_points(call.in, block.begin + slot, pixels, slot); });
    const std::int64_t pieces = divide_up(block.size(), products_block_);
    parallel_pieces(panels_.count * pieces, workers_, [&](std::size_t task, int worker) {
      const std::int64_t panel = static_cast<std::int64_t>(task) / pieces;
      if (!wanted(call, panel)) return;
      const Range own =
          part(block.size(), pieces, static_cast<std::int64_t>(task) % pieces, sums_.group());
      const PixelPoints products{call.scratch + own_at_ + worker * per_worker_ + own_products_,
                                 product_plane_, products_block_, panels_.vectors};
      make_products(call, pixels, own.begin, own.size(), panel, worker, products);
      to_pixels(call, products, {block.begin + own.begin, block.begin + own.end}, panel);
      if (stream_) loops_.fence();
    });
  }
}

}  // namespace fjord::winograd
