// Files that the tests of this folder make: a temporary folder, bytes, safetensors by hand.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

#include "kernels/error.h"

namespace fjord::test {

/// A folder that is removed when the test ends.
struct Folder {
  std::filesystem::path path;

  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fjord-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path / name; }
};

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Of a hostile file a copy in the folder that FJORD_HOSTILE names, for tests/hostile.sh.
inline void keep_hostile(std::string_view bytes, std::string_view kind) {
  static int count = 0;
  if (const char* folder = std::getenv("FJORD_HOSTILE"))
    write_bytes(std::filesystem::path(folder) / fmt::format("{:03}.{}", count++, kind), bytes);
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

inline std::string length_prefix(std::uint64_t length) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i));
  return bytes;
}

/// A safetensors file of this header and `data_bytes` zeros.
inline std::string safetensors_bytes(std::string_view header, std::size_t data_bytes) {
  return length_prefix(header.size()) + std::string(header) + std::string(data_bytes, '\0');
}

/// The error that f throws: its exit code and line. Without one the test fails.
struct Caught {
  int exit = 0;
  std::string line;
};
template <class F>
Caught caught(F f) {
  try {
    f();
  } catch (const Error& error) {
    return {static_cast<int>(error.exit), error.what()};
  }
  FAIL_CHECK("nothing was thrown");
  return {};
}

}  // namespace fjord::test
