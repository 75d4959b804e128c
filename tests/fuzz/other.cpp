// Fuzzes the formats that stb_image reads.
#include "tests/fuzz/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using fjord::ImageFormat;
  for (const ImageFormat format :
       {ImageFormat::bmp, ImageFormat::gif, ImageFormat::psd, ImageFormat::pnm, ImageFormat::tga}) {
    fjord::fuzz_decode(data, size, format);
  }
  return 0;
}
