// The driver of forward and backward-data, which are one algorithm: transform the filters, then for
// each block of tiles transform the pixels, multiply at each of the 36 points, transform the
// products.
#pragma once

#include "kernels/cpu/winograd/layout.h"

namespace fjord::winograd {

/// Forward: x to y. Backward-data: dy to dx by the filters turned over and their channels swapped,
/// padded by 2 - padding.
struct Pass {
  Shape in, out;
  std::int64_t padding = 1;
  bool turned = false;
};

/// What is done to the outputs as they are written.
struct Edge {
  const float* bias = nullptr;  // of all channels
  const float* plus = nullptr;  // of the layout of the output, which it may be
  bool relu = false;
};

class Convolution {
 public:
  /// For at most that many threads; neither they nor the blocks that follow from them change a bit.
  Convolution(const Pass& pass, int workers);

  std::size_t scratch_bytes() const { return layout_.bytes(); }
  void run(const float* in, const float* weight, const Edge& edge, float* out,
           float* scratch) const;

 private:
  /// What one call works on.
  struct Call {
    const float *in, *weight;
    const Edge& edge;
    float *out, *scratch;
  };
  void run_own_blocks(const Call& call) const;
  void run_together(const Call& call) const;
  void transform_filters(const Call& call) const;
  void transform_filters(const float* weight, std::int64_t panel, std::int64_t depth,
                         float* points) const;
  const float* filters_of(const Call& call, std::int64_t panel, int worker) const;
  void to_pixels(const PixelPoints& products, Range tiles, std::int64_t panel, const Edge& edge,
                 float* out) const;
  void multiply(const PixelPoints& pixels, std::int64_t slot, std::int64_t tiles,
                const float* filters, const PixelPoints& products) const;

  const Pass pass_;
  const WinogradLoops& loops_;
  const int workers_;
  const Tiles tiles_;
  const Panels panels_;
  const std::int64_t depth_;                     // input channels, filled up to a whole vector
  const std::int64_t filter_plane_;              // floats
  std::int64_t block_ = 0, products_block_ = 0;  // tiles whose pixels, products are held at a time
  bool together_ = false;                        // all threads work on one block of tiles
  bool in_place_ = false;                        // products overwrite pixels
  bool by_panel_ = false;                        // filters are transformed by who uses them
  bool stream_ = false;                          // outputs are written past the caches
  std::int64_t pixel_plane_ = 0, product_plane_ = 0;
  std::int64_t pixels_at_ = 0, own_at_ = 0, own_products_ = 0, own_filters_ = 0, per_worker_ = 0;
  Layout layout_;
};

}  // namespace fjord::winograd
