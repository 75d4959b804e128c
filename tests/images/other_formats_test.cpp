// BMP, TGA, GIF and PSD by stb_image and PNM: exact where they are whole, refused where they are
// not.
#include <doctest/doctest.h>

#include "data/image.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"

namespace fjord {
namespace {

using namespace test;

Bytes ppm() {
  Bytes file = to_bytes("P6\n# made by a test\n2 2\n255\n");
  for (int i = 1; i <= 12; ++i) file.push_back(static_cast<std::byte>(i * 10));
  return file;
}

Bytes bmp() {
  std::string head("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\2\0\0\0\2\0\0\0\1\0\x18\0", 30);
  head.append(24, '\0');
  // Rows from the bottom, blue first, each row filled to 4 bytes.
  head += std::string("\7\10\11\12\13\14\0\0\1\2\3\4\5\6\0\0", 16);
  return to_bytes(head);
}

Bytes tga() {
  return to_bytes(std::string("\0\0\3\0\0\0\0\0\0\0\0\0\2\0\1\0\x08\x20\x11\x22", 20));
}

Bytes gif() {
  return to_bytes(std::string(
      "GIF89a\1\0\1\0\x80\0\0\x0a\x14\x1e\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", 35));
}

// Raw RGB, one pixel; a fourth channel would be alpha.
Bytes psd(char channels) {
  std::string file("8BPS\0\1\0\0\0\0\0\0\0?\0\0\0\1\0\0\0\1\0\10\0\3", 26);
  file[13] = channels;
  file.append(14, '\0');  // no colour table, resources or layers; not packed
  file.append("\x0a\x14\x1e\x05", static_cast<std::size_t>(channels));
  return to_bytes(file);
}

std::vector<int> bytes_of(const Image& image) {
  const auto values = image.as<std::uint8_t>();
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("other formats decode exactly") {
  CHECK(bytes_of(decode_image(ppm(), "a.ppm")) ==
        std::vector{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120});
  const Image picture = decode_image(bmp(), "a.bmp");
  CHECK(picture.format == ImageFormat::bmp);
  CHECK(bytes_of(picture) == std::vector{3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10});
  CHECK(bytes_of(decode_image(tga(), "a.tga")) == std::vector{0x11, 0x22});
  const Image single = decode_image(gif(), "a.gif");
  CHECK(single.format == ImageFormat::gif);
  CHECK(single.bands == 3);
  const Image layers = decode_image(psd(3), "a.psd", {.keep_alpha = true});
  CHECK(bytes_of(layers) == std::vector{10, 20, 30});
  const ImageInfo info = probe_bytes(ppm(), "a.ppm");
  CHECK(info.width == 2);
  CHECK(info.bands == 3);
}

TEST_CASE("row 30: other formats that end early are refused") {
  for (const auto& [file, name] :
       {std::pair{ppm(), "a.ppm"}, {bmp(), "a.bmp"}, {tga(), "a.tga"}, {psd(3), "a.psd"}}) {
    for (std::size_t cut = 0; cut < file.size(); ++cut) {
      CAPTURE(name);
      CAPTURE(cut);
      CHECK_THROWS_AS(decode_image(std::span(file).first(cut), name), Error);
    }
  }
}

TEST_CASE("a PSD with alpha is refused, because stb_image changes its colours") {
  try {
    decode_image(psd(4), "a.psd");
    FAIL("read");
  } catch (const Error& error) {
    CHECK(error.slug == "image-encoding");
    CHECK(std::string(error.what()).find("PSD of 4 channels") != std::string::npos);
  }
}

TEST_CASE("PNM of a range of its own is refused") {
  CHECK_THROWS_AS(decode_image(to_bytes("P5 1 1 15\n\7"), "a.pgm"), Error);
  CHECK_THROWS_AS(decode_image(to_bytes("P5 1 99999999999 255\n\7"), "a.pgm"), Error);
  CHECK_THROWS_AS(decode_image(to_bytes("P5 1 1 255\n\7junk"), "a.pgm"), Error);
  CHECK(decode_image(to_bytes("P5 1 1 255\n\7"), "a.pgm").value(0, 0) == 7);
  CHECK(decode_image(to_bytes("P5 1 1 65535\n\1\2"), "a.pgm").value(0, 0) == 258);
}

}  // namespace fjord
