// What the files of the tail share on the host.
#pragma once

#include "kernels/cuda/tail.h"
#include "kernels/cuda/tail_tile.h"

namespace fjord::cuda {

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
