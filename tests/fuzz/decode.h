// Decodes untrusted bytes as image and as label: every outcome but an Error is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "data/image_decoders.h"
#include "kernels/error.h"

namespace fjord {

inline void fuzz_decode(const std::uint8_t* data, std::size_t size, ImageFormat format) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    ByteSource source(bytes, "input");
    if (find_format(source) != format) return;  // another fuzzer's
  } catch (const Error&) {
    return;
  }
  for (const Purpose purpose : {Purpose::image, Purpose::label}) {
    const ReadOptions options{.purpose = purpose,
                              .label_threshold = 127,
                              .keep_alpha = size % 2 == 0,
                              .max_pixels = 1 << 18,
                              .max_bytes = 1 << 23};
    try {
      const ImageInfo info = probe_bytes(bytes, "input", options);
      const Image image = decode_image(bytes, "input", options);
      const auto count = static_cast<std::size_t>(image.count());
      if (image.pixels.size() != count * size_of(image.dtype) || count == 0) __builtin_trap();
      if (image.dtype != info.dtype || image.bands != info.bands) __builtin_trap();
    } catch (const Error& error) {
      if (error.exit != ExitCode::dataset) __builtin_trap();
    }
  }
}

}  // namespace fjord
