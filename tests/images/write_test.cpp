// Writers: what is read back is what was written, georeference bit for bit, and nothing half done.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "data/image_write.h"
#include "engine/atomic_file.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"

namespace fjord {
namespace {

using namespace test;
namespace fs = std::filesystem;

Image filled(int height, int width, int bands, DType dtype) {
  Image image = make_image(height, width, bands, dtype);
  const auto values = pattern(static_cast<std::size_t>(image.count()), 256);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::u8) image.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(values[i]);
    if (dtype == DType::u16)
      image.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(values[i] * 257);
    if (dtype == DType::i32) image.as<std::int32_t>()[i] = values[i] - 100;
    if (dtype == DType::f32) image.as<float>()[i] = static_cast<float>(values[i]) / 7.0f - 3;
  }
  return image;
}

int files_in(const ScratchFolder& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder.path())) ++count;
  return count;
}

GeoTag doubles(std::uint16_t tag, std::vector<double> values) {
  GeoTag made{.tag = tag,
              .type = TIFF_DOUBLE,
              .count = static_cast<std::uint32_t>(values.size()),
              .bytes = Bytes(values.size() * sizeof(double))};
  std::memcpy(made.bytes.data(), values.data(), made.bytes.size());
  return made;
}

GeoTag shorts(std::uint16_t tag, std::vector<std::uint16_t> values) {
  GeoTag made{.tag = tag,
              .type = TIFF_SHORT,
              .count = static_cast<std::uint32_t>(values.size()),
              .bytes = Bytes(values.size() * sizeof(std::uint16_t))};
  std::memcpy(made.bytes.data(), values.data(), made.bytes.size());
  return made;
}

GeoTag ascii(std::uint16_t tag, const std::string& text) {
  const std::string_view whole(text.c_str(), text.size() + 1);
  return {.tag = tag,
          .type = TIFF_ASCII,
          .count = static_cast<std::uint32_t>(whole.size()),
          .bytes = to_bytes(whole)};
}

const GeoTag scale = doubles(33550, {0.6, 0.6, 0});
const GeoTag corner = doubles(33922, {0, 0, 0, 500000.123456789, 4100000.1, 0});
const GeoTag keys = shorts(34735, {1, 1, 0, 1, 1024, 0, 1, 1});

/// The words of the child's error; the child may write no file of more than `limit` bytes.
std::string under_file_limit(rlim_t limit, const std::function<void()>& work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit most{limit, limit};
    setrlimit(RLIMIT_FSIZE, &most);
    std::string words = "no error";
    try {
      work();
    } catch (const Error& error) {
      words = error.what();
    }
    const bool told = write(ends[1], words.data(), words.size()) > 0;
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  char words[2000];
  const ssize_t got = read(ends[0], words, sizeof words);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  return {words, static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::io);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("PNG writing: 8-bit gray and RGB, 16-bit gray") {
  const ScratchFolder folder;
  for (const auto& [bands, dtype] : {std::pair{1, DType::u8}, {3, DType::u8}, {1, DType::u16}}) {
    const Image image = filled(31, 45, bands, dtype);
    write_png(folder / "a.png", image);
    const Image back = read_image(folder / "a.png");
    CHECK(back.bands == bands);
    CHECK(back.dtype == dtype);
    CHECK(back.pixels == image.pixels);
  }
  CHECK_THROWS_AS(write_png(folder / "b.png", filled(3, 4, 2, DType::u8)), Error);
  CHECK_THROWS_AS(write_png(folder / "b.png", filled(3, 4, 1, DType::f32)), Error);
  CHECK(files_in(folder) == 1);
}

TEST_CASE("TIFF writing: every type and number of bands, edge tiles") {
  const ScratchFolder folder;
  for (const DType dtype : {DType::u8, DType::u16, DType::i32, DType::f32}) {
    for (const int bands : {1, 3, 5}) {
      const Image image = filled(270, 300, bands, dtype);
      write_tiff(folder / "a.tif", image, nullptr);
      const ReadOptions options{.purpose = dtype == DType::i32 ? Purpose::label : Purpose::image};
      const Image back = read_image(folder / "a.tif", options);
      CHECK(back.bands == bands);
      CHECK(back.dtype == dtype);
      CHECK(back.pixels == image.pixels);
    }
  }
  CHECK(!read_geotags(folder / "a.tif"));
  CHECK(files_in(folder) == 1);
}

TEST_CASE("row 47: the tags of a GeoTIFF are carried over bit for bit") {
  const ScratchFolder folder;
  const Image image = filled(20, 30, 1, DType::u8);
  const GeoTags usual{.tags = {scale, corner, keys, doubles(34736, {6378137, 298.257223563}),
                               ascii(34737, "WGS 84 / UTM zone 10N|WGS 84|"),
                               ascii(42112, "<GDALMetadata/>\n"), ascii(42113, "-9999")}};
  const GeoTags rotated{
      .tags = {doubles(34264, {0.5, 0.1, 0, 7, 0.1, -0.5, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1}), keys}};
  const GeoTags south_up{.tags = {doubles(33550, {2, -2, 0}), corner, keys}};
  for (const GeoTags& geo : {usual, rotated, south_up}) {
    write_tiff(folder / "a.tif", image, &geo);
    const GeoTags back = read_geotags(folder / "a.tif");
    CHECK(back.tags == geo.tags);
    CHECK(back.warning() == "");
    CHECK(probe_image(folder / "a.tif").geotiff);
    CHECK(read_image(folder / "a.tif").pixels == image.pixels);
  }
  CHECK(usual.pixel_size() == 0.6);
  CHECK(south_up.pixel_size() == 2);
  CHECK(*rotated.pixel_size() == doctest::Approx(std::hypot(0.5, 0.1)));
}

TEST_CASE("row 47: what keeps a picture off the map is said") {
  CHECK(GeoTags{.tags = {scale, corner}}.warning() == "no coordinate system");
  CHECK(GeoTags{.tags = {corner, keys}}.warning() ==
        "not georeferenced: only ground control points");
  CHECK(GeoTags{.tags = {}, .rational_polynomials = true}.warning() ==
        "not georeferenced: only RPC coefficients");
  CHECK(GeoTags{}.warning() == "");
  CHECK(!GeoTags{}.pixel_size());
  const ScratchFolder folder;
  write_png(folder / "a.png", filled(3, 3, 1, DType::u8));
  CHECK(!read_geotags(folder / "a.png"));
}

TEST_CASE("NumPy arrays: header and values to the byte") {
  const ScratchFolder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  write_npy(folder / "a.npy", values, 1, 2, 3);
  const Bytes bytes = read_bytes(folder / "a.npy");
  std::string header("\x93NUMPY\x01\x00\x76\x00", 10);
  header += "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }";
  header.append(127 - header.size(), ' ');
  header += '\n';
  REQUIRE(bytes.size() == 128 + 24);
  CHECK(std::memcmp(bytes.data(), header.data(), 128) == 0);
  CHECK(std::memcmp(bytes.data() + 128, values.data(), 24) == 0);
  CHECK_THROWS_AS(write_npy(folder / "b.npy", values, 1, 2, 4), Error);
}

TEST_CASE("an atomic file replaces its target at commit, and only then") {
  const ScratchFolder folder;
  const fs::path path = folder / "a.txt";
  write_bytes(path, to_bytes("old"));
  {
    AtomicFile file(path);
    file.write("never");
    CHECK(files_in(folder) == 2);
    CHECK(read_bytes(path) == to_bytes("old"));
  }
  CHECK(files_in(folder) == 1);
  CHECK(read_bytes(path) == to_bytes("old"));
  // A dead process of the same number left this behind.
  write_bytes(path.string() + ".tmp." + std::to_string(getpid()), to_bytes("stale and longer"));
  AtomicFile file(path);
  file.write("new ");
  file.rewrite_start("N");
  file.write(std::span<const std::byte>(to_bytes("text")));
  file.commit();
  CHECK(read_bytes(path) == to_bytes("New text"));
  CHECK(files_in(folder) == 1);
}

TEST_CASE("row 74: a full disk is an error with a name, and leaves nothing behind") {
  const ScratchFolder folder;
  const Image image = filled(200, 200, 3, DType::u8);
  const std::string reason =
      " - writing failed: File too large - free some space (or raise the quota or file size limit) "
      "and run the command again";
  const auto expect = [&](const fs::path& path) {
    return "error[E-disk-full] " + path.string() + reason;
  };
  write_bytes(folder / "a.png", to_bytes("old"));
  CHECK(under_file_limit(5000, [&] { write_png(folder / "a.png", image); }) ==
        expect(folder / "a.png"));
  CHECK(under_file_limit(5000, [&] { write_tiff(folder / "a.tif", image, nullptr); }) ==
        expect(folder / "a.tif"));
  CHECK(under_file_limit(100, [&] {
          write_npy(folder / "a.npy", std::vector<float>(300), 3, 10, 10);
        }) == expect(folder / "a.npy"));
  CHECK(read_bytes(folder / "a.png") == to_bytes("old"));
  CHECK(files_in(folder) == 1);
  const int full = open("/dev/full", O_WRONLY);
  if (full < 0) {
    fmt::print(stderr, "skipped: no /dev/full on this system\n");
    return;
  }
  CHECK(
      error_of([&] { write_fully(full, to_bytes("text"), "run/log.txt"); }) ==
      "error[E-disk-full] run/log.txt - writing failed: No space left on device - free some space "
      "(or raise the quota or file size limit) and run the command again");
  close(full);
}

TEST_CASE("a folder that is not there, or a target that cannot be replaced, is named") {
  const ScratchFolder folder;
  const std::string remedy = " - check that the folder exists and may be written to";
  CHECK(error_of([&] { AtomicFile(folder / "no/a.txt"); }) ==
        "error[E-write] " + (folder / "no/a.txt").string() +
            " - creating the file failed: No such file or directory" + remedy);
  fs::create_directory(folder / "taken");
  CHECK(error_of([&] { AtomicFile(folder / "taken").commit(); }) ==
        "error[E-write] " + (folder / "taken").string() +
            " - renaming to it failed: Is a directory" + remedy);
  CHECK(files_in(folder) == 1);
}

TEST_CASE("row 70: a name of 255 bytes is written") {
  const ScratchFolder folder;
  const fs::path path = folder / std::string(255, 'n');
  AtomicFile file(path);
  file.write("all of it");
  file.commit();
  CHECK(fs::file_size(path) == 9);
}

TEST_CASE("a device or a pipe is not replaced by a file") {
  const ScratchFolder folder;
  const fs::path pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of([&] { AtomicFile{pipe}; }) ==
        "error[E-write] " + pipe.string() +
            " - it is a device or a pipe, and only files are replaced - give the path of a file");
  CHECK(fs::is_fifo(pipe));
}

}  // namespace fjord
