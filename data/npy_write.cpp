// NumPy's .npy, version 1.0: a padded header of text, then the values.
#include <bit>

#include "data/image_write.h"
#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace fjord {

void write_npy(const std::filesystem::path& path, std::span<const float> values, int channels,
               int height, int width) {
  static_assert(std::endian::native == std::endian::little, "the header says little endian");
  const auto size = [](int n) { return static_cast<std::size_t>(n); };
  check(channels > 0 && height > 0 && width > 0 &&
            values.size() == size(channels) * size(height) * size(width),
        "write_npy", "got {} values for {}x{}x{}", values.size(), channels, height, width);
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}), }}", channels,
                  height, width);
  constexpr std::size_t prefix = 10, alignment = 64;  // magic, version, length of the header
  header.append((alignment - (prefix + header.size() + 1) % alignment) % alignment, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  AtomicFile file(path);
  file.write(std::string_view("\x93NUMPY\x01\x00", 8));
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::string_view(header));
  file.write(std::as_bytes(values));
  file.commit();
}

}  // namespace fjord
