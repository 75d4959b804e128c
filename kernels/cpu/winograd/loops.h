// The inner loops of the Winograd convolutions: compiled once per instruction set (tiles.cpp,
// outputs.cpp, filters.cpp, multiply.cpp; the rules of kernels/cpu/loops.h hold) and chosen at
// start. Whoever calls them decides which tiles are computed together and by which thread.
//
// Channels are taken in vectors of `width`. Operands hold one value for each of the 36 points, at a
// distance of `plane` floats. Pixels and filters are floats or pairs of bf16, two neighbours of
// what is summed over (channels, or tiles for a filter's gradient) in a float's place; products are
// floats.
//   pixels     [point][vectors of channels][tile][vector]
//   filters    [point][depth][panel]     depth: channels summed over; panel: 1 or 2 vectors
//   products   [point][vector of a panel][tile][vector]
#pragma once

#include <cstdint>

namespace fjord {

constexpr std::int64_t kWinogradPoints = 36, kWinogradTile = 4, kWinogradTaps = 9;

/// What pixels v are read as: v * scale + shift, then ReLU or not. Of all channels; absent without
/// a scale: as they are.
struct ReadNorm {
  const float *scale = nullptr, *shift = nullptr;
  bool relu = false;
};

/// Part of an image of h x w pixels whose first pixel is (y, x), which may lie outside: there
/// pixels are 0, whatever `norm` is.
struct Patch {
  const float* image;
  std::int64_t h, w, channels, y, x;
  bool doubled =
      false;  // `image` has h/2 x w/2 pixels, each seen as 2x2; whole vectors of channels
  ReadNorm norm = {};
};

/// Where transformed pixels go or come from. `vectors` of channels lie side by side for each of
/// `tiles` slots: 1, or as many as a panel has. `by_tile`: a slot takes as many tiles as a float's
/// place has operands, one after the other, by the same thread.
struct PixelPoints {
  float* data;
  std::int64_t plane, tiles, vectors;
  bool by_tile = false;
};

/// The normalisation whose gradient a tile writes: of the outputs' own layout, and of all channels.
/// Absent without `raw`.
struct TileNorm {
  const float *raw = nullptr, *y = nullptr;  // without y the mask is that of raw * scale + shift
  const float *scale = nullptr, *shift = nullptr, *mean = nullptr;
  bool relu = false;
};

/// Where a tile's outputs v are added up, in rows of all channels: c, the mean of the first tile's,
/// the sum of v - c, and of its square; or with a TileNorm v and v * (raw - mean). Aligned to
/// vectors; absent without `rows`.
struct TileSums {
  float* rows = nullptr;
  std::int64_t row = 0;  // floats from one to the next
  bool first = false;    // nothing is there yet
};

/// Up to 4x4 pixels of an image that a tile of one panel becomes: channels [first, end). `halved`:
/// of an image of h/2 x w/2 pixels, each of which takes the sum of 2x2; whole vectors of channels.
struct OutputTile {
  float* image;
  const float* plus;  // of the same layout, added; null: nothing
  const float* bias;  // of all channels; null: none
  std::int64_t h, w, channels, y, x, first;
  bool relu, stream;  // stream: past the caches; needs whole vectors at multiples of their size
  bool halved = false;
  TileSums sums = {};
  TileNorm norm = {};  // with sums alone
};

/// A block of filters in memory, K x 3 x 3 x C, and where its points go. `turned`: as
/// backward-data wants them, lanes over channels, depth over filters, taps reversed.
struct FilterBlock {
  const float* weight;
  const float* scale;  // of each filter, for those that are not turned; null: 1
  std::int64_t filters, channels;
  std::int64_t first_lane, first_depth;
  bool turned;
  float* points;  // of first_depth
  std::int64_t plane, panel;
};

/// Sums of a filter gradient: `pieces` partial sums at a distance of `piece`, each
/// [point][filter][panel of channels].
struct FilterSums {
  const float* sums;
  std::int64_t plane, panel, pieces, piece;
};
struct FilterTarget {
  float* dweight;
  std::int64_t channels, filter, first_channel;
  bool add;
};

/// products = pixels * filters at one point, for `tiles` tiles and a panel of 1 or 2 vectors. The
/// steps are floats from one vector of channels, or of products, to the next. Where they are equal
/// and the panel is the only one, products may overwrite the pixels.
struct PointProduct {
  std::int64_t tiles, depth;
  int vectors;
  const float* pixels;
  std::int64_t pixel_step;
  const float* filters;
  float* products;
  std::int64_t product_step;
  bool add = false;  // to the products of other depths, value by value in order
};

struct WinogradLoops {
  int width;
  int packed;  // operands in a float's place: 2 where they are bf16
  /// Tiles that the micro-kernel multiplies at once with panels of two vectors and of one.
  int wide_rows, narrow_rows;

  /// The 6x6 pixels of a patch at the points, as that tile; channels behind the last are zero.
  void (*input)(const Patch&, const PixelPoints&, std::int64_t tile);
  /// The same of 4x4 gradients of outputs, for the filter's gradient.
  void (*gradient)(const Patch&, const PixelPoints&, std::int64_t tile);
  /// Tile `slot` of products to pixels.
  void (*output)(const PixelPoints& products, std::int64_t slot, const OutputTile&);

  /// A block of `width` depths by one panel: to its points, or in two steps by its taps, which take
  /// a quarter of the memory: [vector of the panel][depth][tap][lane].
  void (*filter)(const FilterBlock&);
  void (*filter_taps)(const FilterBlock&);
  void (*filter_of_taps)(const float* taps, const FilterBlock&);
  void (*filter_gradient)(const FilterSums&, const FilterTarget&);

  void (*multiply)(const PointProduct&);
  /// sums (filter by panel) = or += transposed gradients (slot by vector of filters) * pixels (slot
  /// by panel), at one point, for one vector of filters; slots are those of `by_tile`.
  void (*accumulate)(std::int64_t slots, int vectors, const float* gradients, const float* pixels,
                     float* sums, bool first);

  /// Makes streamed stores visible to other threads.
  void (*fence)();
};

/// Of the instruction set in use.
const WinogradLoops& winograd_loops();
/// With products of bf16. Throws where the processor has none.
const WinogradLoops& winograd_bf16_loops();

namespace plain {
extern const WinogradLoops winograd_table;
}
namespace avx2 {  // this one and the next exist on x86 alone
extern const WinogradLoops winograd_table;
}
namespace avx512 {
extern const WinogradLoops winograd_table;
}
namespace avx512_bf16 {
extern const WinogradLoops winograd_table;
}

}  // namespace fjord
