// The driver of forward and backward-data, which are one algorithm: transform the filters, then for
// each block of tiles transform the pixels, multiply at each of the 36 points, transform the
// products.
#pragma once

#include <string>

#include "kernels/conv.h"
#include "kernels/cpu/winograd/group_sums.h"
#include "kernels/cpu/winograd/layout.h"

namespace fjord::winograd {

/// Forward: x to y. Backward-data: dy to dx by the filters turned over and their channels swapped,
/// padded by 2 - padding.
struct Pass {
  Shape in, out;
  std::int64_t padding = 1;
  bool turned = false;
  std::int64_t low_channels = 0;    // the first of the input's, of an image of half its size
  std::int64_t low_outputs = 0;     // the first of the output's, likewise: whole panels of them
  bool keeps = false;               // filters are made ready once for many runs
  Summed summed = Summed::nothing;  // gradients: of the low outputs where there are some
  ConvMath math = ConvMath::exact;
};

/// Where filters come from: `kept` where the pass keeps them, else `weight`, each times its scale.
struct Filters {
  const float *weight = nullptr, *scale = nullptr;
  const float* kept = nullptr;
};

/// What is done to the outputs as they are written.
struct Edge {
  const float* bias = nullptr;  // of all channels
  const float* plus = nullptr;  // of the layout of the output, which it may be
  bool relu = false;
  float* low = nullptr;  // takes Pass::low_outputs, of 2x2 pixels the sum; absent: they are dropped
  bool add_low = false;
  float *mean = nullptr, *variance = nullptr;  // of Summed::moments
  TileNorm norm = {};                          // of Summed::gradients
  In inv_std = {};
  NormGradientOutputs gradients = {};
};

class Convolution {
 public:
  /// For at most that many threads; neither they nor the blocks that follow from them change a bit.
  Convolution(const Pass& pass, int workers);

  std::size_t scratch_bytes() const { return layout_.bytes(); }
  std::size_t kept_bytes() const { return static_cast<std::size_t>(kept_floats_) * sizeof(float); }
  /// Names what the kept bytes are.
  std::string format() const;
  void keep(const Filters& filters, float* kept) const;
  void run(const Source& in, const Filters& filters, const Edge& edge, float* out,
           float* scratch) const;

 private:
  /// What one call works on.
  struct Call {
    const Source& in;
    const Filters& filters;
    const Edge& edge;
    float *out, *scratch;
  };
  void run_own_blocks(const Call& call) const;
  void run_together(const Call& call) const;
  bool wanted(const Call& call, std::int64_t panel) const;
  FilterBlock filter_block(const Filters& filters, std::int64_t panel, std::int64_t depth,
                           float* points) const;
  void transform_all_filters(const Call& call) const;
  void transform_filters(const Filters& filters, std::int64_t panel, std::int64_t depth,
                         float* points) const;
  void choose_blocks(std::int64_t filters);
  std::int64_t chunk_of(std::int64_t tiles) const;
  std::int64_t taps_at(std::int64_t panel, std::int64_t depth) const;
  void to_points(const Source& in, std::int64_t tile, const PixelPoints& pixels,
                 std::int64_t slot) const;
  void make_products(const Call& call, const PixelPoints& pixels, std::int64_t slot,
                     std::int64_t tiles, std::int64_t panel, int worker,
                     const PixelPoints& products) const;
  OutputTile output_tile(std::int64_t panel, const Edge& edge, float* out) const;
  void to_pixels(const Call& call, const PixelPoints& products, Range tiles,
                 std::int64_t panel) const;
  void multiply(const PixelPoints& pixels, std::int64_t slot, std::int64_t tiles, Range depths,
                const float* filters, const PixelPoints& products) const;

  const Pass pass_;
  const WinogradLoops& loops_;
  const int workers_;
  const Tiles tiles_;
  const Panels panels_;
  const std::int64_t depth_;      // input channels, filled up to a whole vector
  const std::int64_t places_;     // the floats' places that they take
  const std::int64_t own_block_;  // tiles for a core's own cache
  const GroupSums sums_;
  std::int64_t chunk_ = 0, filter_plane_ = 0;    // depths whose filters lie together; floats
  std::int64_t block_ = 0, products_block_ = 0;  // tiles whose pixels, products are held at a time
  bool together_ = false;                        // all threads work on one block of tiles
  bool in_place_ = false;                        // products overwrite pixels
  bool by_panel_ = false;                        // filters are transformed by who uses them
  bool stream_ = false;                          // outputs are written past the caches
  std::int64_t kept_floats_ = 0;                 // of taps, by panel and depth
  std::int64_t pixel_plane_ = 0, product_plane_ = 0;
  std::int64_t pixels_at_ = 0, own_at_ = 0, own_products_ = 0, own_filters_ = 0, per_worker_ = 0;
  std::int64_t sums_at_ = 0;
  Layout layout_;
};

}  // namespace fjord::winograd
