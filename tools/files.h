// Small files in one piece: read with a limit, written under their final name only when complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace fjord {

/// The whole of a regular file. Throws Error{usage} (noun: "config") when it is missing, not a
/// plain file, or larger than max_bytes.
std::string read_small_file(const std::filesystem::path& path, std::size_t max_bytes,
                            std::string_view noun);

/// Writes beside the target, syncs, and renames. Throws Error{io}; the target is then as before.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Throws Error{io} at once when files cannot be made in folder, which is created when missing.
void require_writable(const std::filesystem::path& folder);

}  // namespace fjord
