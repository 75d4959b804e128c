// A temporary folder, files in it, and the message that a call throws.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/image_write.h"
#include "kernels/error.h"

namespace fjord {

/// Made empty, removed with everything in it at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fjord-test-XXXXXX").native();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;

  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  /// The text with this folder's path as DIR.
  std::string short_names(std::string text) const {
    for (std::size_t at; (at = text.find(path_.native())) != std::string::npos;)
      text.replace(at, path_.native().size(), "DIR");
    return text;
  }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  REQUIRE_MESSAGE(stream, file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

/// A PNG whose pixel i (over all bands) is value(i).
template <class Value>
Image image_of(int height, int width, int bands, Value value) {
  Image image = make_image(height, width, bands);
  const auto pixels = image.as<std::uint8_t>();
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(value(static_cast<int>(i)));
  return image;
}

inline void write_image(const std::filesystem::path& file, const Image& image) {
  std::filesystem::create_directories(file.parent_path());
  if (file.extension() == ".tif")
    write_tiff(file, image, nullptr);
  else
    write_png(file, image);
}

/// what() of the Error that `call` throws; its exit code is checked. "" when it throws none.
template <class Call>
std::string message_of(Call call, ExitCode exit) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.exit == exit);
    return error.what();
  }
  return "";
}

}  // namespace fjord
