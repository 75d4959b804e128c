// Text of errors: nearest names, and what came from outside made safe to print.
#include "kernels/error.h"

#include <algorithm>
#include <numeric>

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
  if (length == 1) return 1;
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  const auto next = static_cast<unsigned char>(bytes[1]);
  const bool overlong =
      lead < 0xC2 || (lead == 0xE0 && next < 0xA0) || (lead == 0xF0 && next < 0x90);
  const bool outside =
      (lead == 0xED && next >= 0xA0) || lead > 0xF4 || (lead == 0xF4 && next >= 0x90);
  return overlong || outside ? 0 : length;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view nearest_name(std::string_view name,
                              const std::vector<std::string_view>& candidates) {
  if (candidates.empty()) return {};
  return *std::ranges::min_element(candidates, {}, [name](std::string_view candidate) {
    return edit_distance(name, candidate);
  });
}

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
