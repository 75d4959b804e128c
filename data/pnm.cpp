// Binary PGM and PPM: three numbers, then the samples. Read here, since stb_image 2.27 overflows on
// long numbers, ignores the range and leaves 16-bit samples in the file's byte order.
#include <algorithm>
#include <bit>
#include <cctype>

#include "data/image_decoders.h"
#include "kernels/error.h"

namespace fjord {
namespace {

struct PnmHeader {
  std::int64_t width = 0, height = 0;
  int bands = 1;
  bool wide = false;
  std::uint64_t pixels_at = 0;
};

/// Numbers of the header, with blanks and comments between them.
class PnmNumbers {
 public:
  explicit PnmNumbers(ByteSource& source) : source_(source), bytes_(source.read(0, 4096)) {}

  std::int64_t next() {
    skip_blanks();
    constexpr std::int64_t most = 1'000'000'000;
    std::int64_t value = 0;
    const std::size_t start = at_;
    for (; std::isdigit(here()) && value < most; ++at_) value = value * 10 + (here() - '0');
    if (at_ == start || !std::isspace(here())) damaged(source_, "PNM", "its header is no header");
    return value;
  }
  /// One blank stands between the last number and the samples.
  std::uint64_t end() const { return at_ + 1; }

 private:
  int here() const { return at_ < bytes_.size() ? std::to_integer<int>(bytes_[at_]) : 0; }
  void skip_blanks() {
    bool comment = false;
    for (; at_ < bytes_.size() && (comment || here() == '#' || std::isspace(here())); ++at_) {
      if (here() == '#') comment = true;
      if (here() == '\n' || here() == '\r') comment = false;
    }
  }

  ByteSource& source_;
  std::vector<std::byte> bytes_;
  std::size_t at_ = 2;
};

PnmHeader read_header(ByteSource& source, const ReadOptions& options) {
  PnmHeader header;
  header.bands = source.read(1, 1).at(0) == std::byte{'6'} ? 3 : 1;
  PnmNumbers numbers(source);
  header.width = numbers.next();
  header.height = numbers.next();
  const std::int64_t largest = numbers.next();
  header.pixels_at = numbers.end();
  if (largest != 255 && largest != 65535) {
    refuse(source, "image-encoding",
           fmt::format("its largest value is {}, not 255 or 65535", largest), "store it as a PNG");
  }
  header.wide = largest == 65535;
  check_size(source, header.width, header.height, header.bands,
             header.wide ? DType::u16 : DType::u8, options);
  return header;
}

}  // namespace

ImageInfo probe_pnm(ByteSource& source, const ReadOptions& options) {
  const PnmHeader header = read_header(source, options);
  ImageInfo info;
  info.width = static_cast<int>(header.width);
  info.height = static_cast<int>(header.height);
  info.bands = header.bands;
  info.dtype = header.wide ? DType::u16 : DType::u8;
  return info;
}

Image decode_pnm(ByteSource& source, const ReadOptions& options) {
  const ImageInfo info = probe_pnm(source, options);
  const PnmHeader header = read_header(source, options);
  const std::uint64_t stored = source.size() - std::min(source.size(), header.pixels_at);
  const std::uint64_t needed = static_cast<std::uint64_t>(info.width) *
                               static_cast<std::uint64_t>(info.height) *
                               static_cast<std::uint64_t>(info.bands) * size_of(info.dtype);
  if (stored < needed) damaged(source, "PNM", "the file ends early");
  if (stored > needed) {
    damaged(source, "PNM", fmt::format("{} bytes follow its end", stored - needed));
  }
  Image image = make_image(info.height, info.width, info.bands, info.dtype);
  if (source.read_at(header.pixels_at, image.pixels.data(), image.pixels.size()) != needed) {
    damaged(source, "PNM", "the file ends early");
  }
  if (header.wide && std::endian::native == std::endian::little) {
    for (std::uint16_t& value : image.as<std::uint16_t>()) {
      value = static_cast<std::uint16_t>(value << 8 | value >> 8);
    }
  }
  return image;
}

}  // namespace fjord
