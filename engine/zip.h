// Zip archives as torch.save writes them: stored entries alone, nothing that could unpack to more,
// point elsewhere or be read in two ways. Nothing is ever written to disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/file_bytes.h"

namespace fjord {

struct ZipEntry {
  std::string name;
  std::uint64_t begin = 0, size = 0;  // of its data in the file
  std::uint32_t crc = 0;
};

/// The entries in order of name. Throws Error{model_file, "zip"} for anything but one archive of
/// stored entries side by side: compressed or encrypted entries, entries that overlap, two
/// directories, a comment, sizes that disagree, names that leave the archive.
std::vector<ZipEntry> read_zip(const FileBytes& file);

/// Reads an entry whole; throws Error{model_file, "zip"} where its checksum is another.
void read_entry(const FileBytes& file, const ZipEntry& entry, std::span<std::byte> into);

/// The same check for who needs a part of an entry: reads it a megabyte at a time.
void verify_entry(const FileBytes& file, const ZipEntry& entry);

}  // namespace fjord
