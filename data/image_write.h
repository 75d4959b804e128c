// Writing pictures and arrays: whole under their final name, or not at all.
#pragma once

#include <filesystem>
#include <span>

#include "data/geotiff.h"
#include "data/image.h"

namespace fjord {

/// 8-bit gray or RGB, or 16-bit gray. Throws Error{io} naming the file; no partial file stays.
void write_png(const std::filesystem::path& path, const Image& image);

/// Tiled, deflate, u8, u16, i32 or f32 with any number of bands; `geo` may be null, else its tags
/// are written bit for bit.
void write_tiff(const std::filesystem::path& path, const Image& image, const GeoTags* geo);

/// NumPy .npy, version 1.0: float32, C x H x W.
void write_npy(const std::filesystem::path& path, std::span<const float> values, int channels,
               int height, int width);

}  // namespace fjord
