// Reads blocks whole, checks what libtiff does not: their length, and the checksum of deflate.
#include "data/tiff_blocks.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/error.h"

namespace fjord {
namespace {

/// One strip or tile: its number, where it lies, and its size cut at the image's edge.
struct Block {
  std::uint32_t index = 0;
  std::size_t x = 0, y = 0, width = 0, height = 0, plane = 0;
};

std::string name_of(const TiffLayout& layout, const Block& block) {
  return fmt::format("{} {}", layout.tiled ? "tile" : "strip", block.index);
}

/// Inflates to nowhere: true when the stream is whole and its checksum right.
bool inflates(std::vector<std::byte>& raw) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
  std::array<Bytef, 32768> out;
  stream.next_in = reinterpret_cast<Bytef*>(raw.data());
  stream.avail_in = static_cast<uInt>(raw.size());
  int state = Z_OK;
  while (state == Z_OK) {
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    state = inflate(&stream, Z_NO_FLUSH);
  }
  inflateEnd(&stream);
  return state == Z_STREAM_END;
}

/// libtiff stops once a block is full, before the checksum that would tell of a flipped bit.
void check_deflate(TiffFile& file, const TiffLayout& layout, const Block& block) {
  const bool deflate =
      layout.compression == COMPRESSION_DEFLATE || layout.compression == COMPRESSION_ADOBE_DEFLATE;
  if (!deflate || file.field<std::uint16_t>(TIFFTAG_FILLORDER, 1) != FILLORDER_MSB2LSB) return;
  const std::uint64_t stored = TIFFGetStrileByteCount(file.handle(), block.index);
  file.check();
  if (stored == 0 || stored > std::min<std::uint64_t>(file.source().size(), 0x7fffffff)) {
    damaged(file.source(), "TIFF",
            fmt::format("{} says it has {} bytes", name_of(layout, block), stored));
  }
  std::vector<std::byte> raw(static_cast<std::size_t>(stored));
  const auto size = static_cast<tmsize_t>(raw.size());
  const tmsize_t got = layout.tiled
                           ? TIFFReadRawTile(file.handle(), block.index, raw.data(), size)
                           : TIFFReadRawStrip(file.handle(), block.index, raw.data(), size);
  file.check();
  if (got != size || !inflates(raw)) {
    damaged(file.source(), "TIFF",
            fmt::format("{} does not inflate to its checksum", name_of(layout, block)));
  }
}

/// Without compression libtiff reads on where the stored length says stop.
void check_stored(TiffFile& file, const TiffLayout& layout, const Block& block, std::size_t bytes) {
  if (layout.compression != COMPRESSION_NONE) return;
  const std::uint64_t stored = TIFFGetStrileByteCount(file.handle(), block.index);
  file.check();
  if (stored >= bytes) return;
  damaged(file.source(), "TIFF",
          fmt::format("{} holds {} bytes of {}", name_of(layout, block), stored, bytes));
}

/// Reads one block whole; `bytes` is what it must hold.
void read_block(TiffFile& file, const TiffLayout& layout, const Block& block, std::byte* to,
                std::size_t bytes) {
  check_stored(file, layout, block, bytes);
  check_deflate(file, layout, block);
  const auto size = static_cast<tmsize_t>(bytes);
  const tmsize_t got = layout.tiled ? TIFFReadEncodedTile(file.handle(), block.index, to, size)
                                    : TIFFReadEncodedStrip(file.handle(), block.index, to, size);
  file.check();
  if (got != size) {
    damaged(file.source(), "TIFF", fmt::format("{} ends early", name_of(layout, block)));
  }
}

/// Where the samples go: the image as stored, and what one block repeats of it.
struct Gather {
  std::size_t sample, pixel;  // bytes in the image
  std::size_t in_block;       // bytes of a pixel within one block
  std::vector<std::byte> pixels, scratch;
};

void scatter(const TiffLayout& layout, const Block& block, Gather& gather) {
  const std::size_t row = layout.tile_width * gather.in_block;
  for (std::size_t i = 0; i < block.height; ++i) {
    const std::byte* from = gather.scratch.data() + i * row;
    std::byte* to = gather.pixels.data() + ((block.y + i) * layout.width + block.x) * gather.pixel +
                    block.plane * gather.sample;
    if (gather.in_block == gather.pixel) {
      std::memcpy(to, from, block.width * gather.pixel);
      continue;
    }
    for (std::size_t j = 0; j < block.width; ++j) {
      std::memcpy(to + j * gather.pixel, from + j * gather.sample, gather.sample);
    }
  }
}

void read_into(TiffFile& file, const TiffLayout& layout, const Block& block, Gather& gather) {
  const std::size_t row = layout.tile_width * gather.in_block;
  if (!layout.tiled && gather.in_block == gather.pixel) {
    read_block(file, layout, block, gather.pixels.data() + block.y * row, block.height * row);
    return;
  }
  gather.scratch.resize((layout.tiled ? layout.tile_height : block.height) * row);
  read_block(file, layout, block, gather.scratch.data(), gather.scratch.size());
  scatter(layout, block, gather);
}

}  // namespace

std::vector<std::byte> read_samples(TiffFile& file, const TiffLayout& layout) {
  const std::size_t sample = layout.sample_bytes(), width = layout.width, height = layout.height;
  const std::size_t pixel = sample * layout.bands, planes = layout.planar ? layout.bands : 1;
  Gather gather{.sample = sample,
                .pixel = pixel,
                .in_block = layout.planar ? sample : pixel,
                .pixels = std::vector<std::byte>(width * height * pixel),
                .scratch = {}};
  Block block;
  for (block.plane = 0; block.plane < planes; ++block.plane) {
    for (block.y = 0; block.y < height; block.y += layout.tile_height) {
      for (block.x = 0; block.x < width; block.x += layout.tile_width, ++block.index) {
        block.width = std::min<std::size_t>(layout.tile_width, width - block.x);
        block.height = std::min<std::size_t>(layout.tile_height, height - block.y);
        read_into(file, layout, block, gather);
      }
    }
  }
  return std::move(gather.pixels);
}

}  // namespace fjord
