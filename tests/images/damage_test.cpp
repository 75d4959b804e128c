// Damage and lies that need more than a file in a table: cuts everywhere, endless files, no files.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "data/image.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"
#include "tests/images/messages.h"

namespace fjord {
namespace {

using namespace test;
namespace fs = std::filesystem;

std::string opened(const fs::path& path) {
  return message_of([&] { probe_image(path); });
}

}  // namespace

TEST_CASE("row 29: content of one format under another's name is read, and said") {
  const Image image = decode_image(make_png({}, pattern(35, 256)), "photo.jpg");
  CHECK(image.format == ImageFormat::png);
  CHECK(image.notes == std::vector<std::string>{"PNG content in a .jpg file"});
}

TEST_CASE("row 30: a PNG cut anywhere, or with any bit flipped, is refused") {
  const Bytes file = make_png({.width = 40, .height = 30, .color = 2}, pattern(3600, 50));
  for (std::size_t at = 0; at < file.size(); at += 1 + at / 100) {
    CAPTURE(at);
    CHECK_THROWS_AS(decode_image(std::span(file).first(at), "a.png"), Error);
    CHECK_THROWS_AS(decode_image(flipped(file, at), "a.png"), Error);
  }
}

TEST_CASE("row 30: a TIFF that lacks its last bytes is refused, in every kind of file") {
  for (const char* mode : {"wl", "wb", "w8", "w8b"}) {
    const Bytes file = make_tiff({.mode = mode}, pattern_of<double>(35, 256));
    for (std::size_t by = 1; by < 100; ++by) {
      CAPTURE(mode);
      CAPTURE(by);
      CHECK_THROWS_AS(decode_image(cut(file, by), "a.tif"), Error);
    }
  }
}

TEST_CASE("row 46: endless directories end at the hundredth") {
  // Copies of one directory, each a reduced image, each naming the next.
  auto fields = plain_fields({{254, 4, 1, 1}});
  Bytes file = raw_tiff(fields, Bytes(64));
  const std::size_t directory = file.size() - 72;
  for (int i = 1; i < 100000; ++i) {
    const auto next = static_cast<std::uint32_t>(file.size());
    for (std::size_t b = 0; b < 4; ++b) {
      file[file.size() - 4 + b] = static_cast<std::byte>(next >> (8 * b) & 255);
    }
    file.insert(file.end(), file.begin() + 72, file.begin() + 72 + static_cast<long>(directory));
  }
  CHECK(
      message_of([&] { decode_image(file, "a.tif"); }) ==
      "error[E-image-damaged] cannot read a.tif - the TIFF is damaged: more than 100 directories" +
          restore);
}

TEST_CASE("row 32: a hundred scans of a JPEG are the limit") {
  const Bytes file = make_jpeg({.components = 1, .progressive = true, .two_scans = true},
                               pattern_of<std::uint8_t>(32 * 24, 256));
  // The last scan again and again: legal to a decoder that does not count.
  const Bytes mark{std::byte{0xff}, std::byte{0xda}};
  const auto last = std::find_end(file.begin(), file.end(), mark.begin(), mark.end());
  Bytes many(file.begin(), last);
  for (int i = 0; i < 3000; ++i) many.insert(many.end(), last, file.end() - 2);
  many.insert(many.end(), file.end() - 2, file.end());
  CHECK(message_of([&] { decode_image(many, "a.jpg"); }) ==
        "error[E-image-damaged] cannot read a.jpg - it has more than 100 scans" + restore);
}

TEST_CASE("row 72 and things that are no files: named at once, without waiting") {
  const ScratchFolder folder;
  const auto line = [](const fs::path& path, const std::string& slug, const std::string& rest) {
    return "error[E-" + slug + "] cannot read " + path.string() + " - " + rest;
  };
  CHECK(opened(folder / "none.png") ==
        line(folder / "none.png", "file-missing", "there is no such file - check the path"));
  REQUIRE(mkfifo((folder / "pipe.png").c_str(), 0600) == 0);
  CHECK(opened(folder / "pipe.png") ==
        line(folder / "pipe.png", "not-a-file", "it is a pipe - name an image file"));
  CHECK(opened("/dev/null") ==
        line("/dev/null", "not-a-file", "it is a device - name an image file"));
  CHECK(opened(folder.path()) ==
        line(folder.path(), "not-a-file", "it is a folder - name an image file"));
  write_bytes(folder / "locked.png", make_png({}, pattern(35, 256)));
  fs::permissions(folder.path(), fs::perms(0755));
  fs::permissions(folder / "locked.png", fs::perms::none);
  constexpr uid_t nobody = 65534;
  const bool root = geteuid() == 0;
  if (root) REQUIRE(seteuid(nobody) == 0);
  const std::string denied = opened(folder / "locked.png");
  if (root) REQUIRE(seteuid(0) == 0);
  CHECK(denied == line(folder / "locked.png", "permission",
                       "permission denied - make it readable: chmod +r"));
}

TEST_CASE("names with control characters are printed safely") {
  const std::string name("a\x1b[31m\n.png");
  try {
    decode_image({}, name);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find('\x1b') == std::string::npos);
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
  }
}

}  // namespace fjord
