// Fuzzes the JPEG reader.
#include "tests/fuzz/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fjord::fuzz_decode(data, size, fjord::ImageFormat::jpeg);
  return 0;
}
