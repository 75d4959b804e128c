#include "kernels/error.h"

namespace fjord {

namespace {

// Length of the valid UTF-8 sequence at the start of `bytes`, 0 when there is none.
std::size_t utf8_length(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  const std::size_t length = lead < 0x80       ? 1
                             : lead >> 5 == 6  ? 2
                             : lead >> 4 == 14 ? 3
                             : lead >> 3 == 30 ? 4
                                               : 0;
  if (length == 0 || length > bytes.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(bytes[i]) & 0xC0) != 0x80) return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view bytes) {
  std::string line;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    std::size_t length = utf8_length(bytes.substr(i));
    // C1 controls (U+0080 to U+009F) drive terminals as well.
    const bool c1 = length == 2 && byte == 0xC2 && static_cast<unsigned char>(bytes[i + 1]) < 0xA0;
    if (length == 0 || byte < 0x20 || byte == 0x7F || c1) {
      line += fmt::format("\\x{:02x}", byte);
      ++i;
      continue;
    }
    line.append(bytes.substr(i, length));
    i += length;
  }
  return line;
}

}  // namespace fjord
