// Looking at folders and files without trusting them: links, devices, pipes, permissions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/dataset.h"

namespace fjord {

struct FileEntry {
  std::filesystem::path path;
  bool regular = true;  // else a folder
};

/// Entries of a folder, sorted by bytes, without hidden ones. Dangling links, loops, devices, pipes
/// and unreadable files become faults; nothing is opened, so nothing blocks.
std::vector<FileEntry> list_files(const std::filesystem::path& folder, std::vector<Fault>& faults);

/// png, jpg, jpeg, tif, tiff, bmp, gif, psd, pnm, pgm, ppm, tga in any case.
bool has_image_extension(const std::filesystem::path& path);

/// XXH3, 64 bits.
std::uint64_t hash_bytes(const void* bytes, std::size_t count);

/// XXH3 of the first `limit` bytes of a file (all of them by default). Throws Error{io}.
std::uint64_t hash_file(const std::filesystem::path& path, std::uint64_t limit = ~0ull);

}  // namespace fjord
