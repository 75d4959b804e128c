// How a TIFF stores its samples, and what they become in memory.
#pragma once

#include <cstdint>
#include <string>

#include "data/image.h"
#include "data/tiff_file.h"

namespace fjord {

enum class TiffSample : std::uint8_t { u8, u16, u32, i8, i16, i32, f32 };

struct TiffLayout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bands = 1, photometric = 0, compression = 1;
  bool planar = false, tiled = false;
  std::uint32_t tile_width = 0, tile_height = 0;  // strips: full width, rows of a strip
  TiffSample sample = TiffSample::u8;
  int orientation = 1;
  DType dtype = DType::u8;  // in memory

  std::size_t sample_bytes() const;
  bool palette_to_rgb = false, inverted = false;
  int bands_in_memory() const { return palette_to_rgb ? 3 : bands; }
};

/// Reads and judges the first directory: every encoding that cannot be read exactly is refused with
/// the command that converts it.
TiffLayout read_layout(TiffFile& file, const ReadOptions& options);

/// GDAL_NODATA (42113) as a number, when the file has it.
std::optional<double> read_nodata(const TiffFile& file);

}  // namespace fjord
