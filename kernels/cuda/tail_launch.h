// What the files of the tail share on the host.
#pragma once

#include "kernels/conv.h"
#include "kernels/cuda/tail_filter.h"
#include "kernels/cuda/tail_tile.h"

namespace fjord::cuda {

/// y = (+=) x * filter + bias, 3x3: forward, or backward-data when the filter is turned.
struct TailPass {
  Shape x;
  int outputs = 0;
  DType dtype = DType::bf16;
  bool turned = false;

  FilterPacking packing() const;
  std::size_t scratch_bytes() const;
  void run(In x, In weight, In bias, Out y, void* scratch, Stream& stream) const;
};

inline TileGrid tile_grid(const Shape& image, int tile_rows) {
  const auto up = [](std::int64_t size, int tile) {
    return static_cast<int>((size + tile - 1) / tile);
  };
  return {static_cast<int>(image.n), static_cast<int>(image.h), static_cast<int>(image.w),
          up(image.h, tile_rows), up(image.w, kTileColumns)};
}

/// body.template operator()<T>() for the two types with tensor-core instructions here.
template <class Body>
void with_half(DType dtype, const Body& body) {
  if (dtype == DType::bf16)
    body.template operator()<__nv_bfloat16>();
  else
    body.template operator()<__half>();
}

}  // namespace fjord::cuda
