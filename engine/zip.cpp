// The strict zip reader. Numbers are little-endian; names of fields are those of the format's
// description (PKWARE, APPNOTE 6.3).
#include "engine/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/error.h"

namespace fjord {

namespace {

constexpr std::uint32_t kEndOfDirectory = 0x06054b50, kEndOfDirectory64 = 0x06064b50,
                        kLocator64 = 0x07064b50, kDirectoryEntry = 0x02014b50,
                        kLocalHeader = 0x04034b50;
constexpr std::uint64_t kMostEntries = 100'000, kMostDirectoryBytes = 64'000'000;
constexpr std::uint64_t kDescriptor = 24;  // what may follow an entry's data

constexpr std::string_view kAgain = "get the file again, or save the weights as .safetensors";

[[noreturn]] void refuse(const FileBytes& file, const std::string& why,
                         std::string_view remedy = kAgain) {
  throw Error(ExitCode::model_file, "zip", file.name, why, remedy);
}

std::string read_text(const FileBytes& file, std::uint64_t offset, std::uint64_t size) {
  if (offset > file.size || size > file.size - offset)
    refuse(file, fmt::format("its directory names bytes {} to {} of {}", offset, offset + size,
                             file.size));
  return file.text(offset, size);
}

template <class T>
T number_at(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
std::uint64_t u16(std::string_view b, std::size_t at) { return number_at<std::uint16_t>(b, at); }
std::uint64_t u32(std::string_view b, std::size_t at) { return number_at<std::uint32_t>(b, at); }
std::uint64_t u64(std::string_view b, std::size_t at) { return number_at<std::uint64_t>(b, at); }

struct Directory {
  std::uint64_t begin = 0, size = 0, entries = 0;
  std::uint64_t end = 0;  // where the records behind it begin
};

// The record at the file's very end; one further up belongs to a comment, or to another archive.
std::string end_record(const FileBytes& file) {
  if (file.size < 22)
    refuse(file, fmt::format("file is incomplete ({} of at least 22 bytes)", file.size));
  std::string end = read_text(file, file.size - 22, 22);
  if (u32(end, 0) == kEndOfDirectory && u16(end, 20) == 0) return end;
  const std::uint64_t tail = std::min<std::uint64_t>(file.size, 65'557);
  const bool further_up =
      read_text(file, file.size - tail, tail).find("PK\5\6") != std::string::npos;
  refuse(file, further_up ? "something follows its directory, which torch.save never writes"
                          : fmt::format("file is incomplete ({} bytes of an unknown number): the "
                                        "directory of entries that ends a zip archive is missing",
                                        file.size));
}

Directory find_directory(const FileBytes& file) {
  const std::string end = end_record(file);
  if (u16(end, 4) != 0 || u16(end, 6) != 0) refuse(file, "it is one of several volumes");
  Directory found{u32(end, 16), u32(end, 12), u16(end, 10), file.size - 22};
  const Directory small = found;
  const std::string locator =
      file.size >= 22 + 20 + 56 ? read_text(file, file.size - 42, 20) : std::string(20, '\0');
  if (u32(locator, 0) == kLocator64) {
    found.end = u64(locator, 8);
    if (found.end != file.size - 42 - 56) refuse(file, "its 64-bit end record is elsewhere");
    const std::string record = read_text(file, found.end, 56);
    if (u32(record, 0) != kEndOfDirectory64 || u64(record, 4) != 44)
      refuse(file, "its 64-bit end record is damaged");
    found.entries = u64(record, 32), found.size = u64(record, 40), found.begin = u64(record, 48);
    const auto agree = [](std::uint64_t narrow, std::uint64_t wide, std::uint64_t escape) {
      return narrow == escape || narrow == wide;
    };
    if (!agree(small.entries, found.entries, 0xffff) ||
        !agree(small.size, found.size, 0xffffffff) || !agree(small.begin, found.begin, 0xffffffff))
      refuse(file, "its two end records disagree");
  }
  if (found.begin > found.end || found.size != found.end - found.begin)
    refuse(file,
           fmt::format("its directory is said to be {} bytes at {}, which ends elsewhere than "
                       "at {}",
                       found.size, found.begin, found.end));
  if (found.entries > kMostEntries || found.size > kMostDirectoryBytes)
    refuse(file, fmt::format("it has {} entries; {} are read", found.entries, kMostEntries));
  return found;
}

void check_name(const FileBytes& file, const std::string& name) {
  const bool leaves = name.starts_with("/") || name == ".." || name.starts_with("../") ||
                      name.find("/../") != name.npos || name.ends_with("/..");
  const bool odd = name.empty() || name.find('\\') != name.npos || name.find('\0') != name.npos ||
                   name.ends_with("/");
  if (leaves || odd)
    refuse(file, fmt::format("an entry is named '{}'", printable(name)),
           "do not use this file; torch.save writes no such names");
}

void check_kind(const FileBytes& file, const std::string& name, std::uint64_t flags,
                std::uint64_t method) {
  if ((flags & ~std::uint64_t{0x0808}) != 0)
    refuse(file, fmt::format("entry '{}' is encrypted or of a rare kind", printable(name)));
  if (method != 0)
    refuse(
        file,
        fmt::format("entry '{}' is compressed (method {}); torch.save stores entries as they are",
                    printable(name), method),
        "save it again with torch.save");
}

// Sizes of 32 bits that do not suffice stand in an extra field of kind 1, in this order.
void read_wide_sizes(const FileBytes& file, std::string_view extra, std::uint64_t& size,
                     std::uint64_t& stored, std::uint64_t& header) {
  std::string_view wide;
  while (extra.size() >= 4) {
    const std::uint64_t length = u16(extra, 2);
    if (length > extra.size() - 4) refuse(file, "an extra field runs beyond its entry");
    if (u16(extra, 0) == 1) wide = extra.substr(4, length);
    extra.remove_prefix(4 + length);
  }
  for (std::uint64_t* value : {&size, &stored, &header}) {
    if (*value != 0xffffffff) continue;
    if (wide.size() < 8) refuse(file, "a size of 64 bits is missing");
    *value = u64(wide, 0);
    wide.remove_prefix(8);
  }
}

struct Listed {
  ZipEntry entry;
  std::uint64_t header = 0;
};

Listed next_entry(const FileBytes& file, std::string_view& directory) {
  if (directory.size() < 46 || u32(directory, 0) != kDirectoryEntry)
    refuse(file, "its directory is damaged");
  const std::uint64_t name = u16(directory, 28), extra = u16(directory, 30),
                      comment = u16(directory, 32), whole = 46 + name + extra + comment;
  if (whole > directory.size()) refuse(file, "its directory is damaged");
  Listed listed;
  listed.entry.name = directory.substr(46, name);
  check_name(file, listed.entry.name);
  check_kind(file, listed.entry.name, u16(directory, 8), u16(directory, 10));
  listed.entry.crc = static_cast<std::uint32_t>(u32(directory, 16));
  std::uint64_t stored = u32(directory, 20);
  listed.entry.size = u32(directory, 24);
  listed.header = u32(directory, 42);
  read_wide_sizes(file, directory.substr(46 + name, extra), listed.entry.size, stored,
                  listed.header);
  if (stored != listed.entry.size)
    refuse(file, fmt::format("entry '{}' is said to hold {} bytes in {}",
                             printable(listed.entry.name), listed.entry.size, stored));
  directory.remove_prefix(whole);
  return listed;
}

// The header before the data must be that of the directory; where the data begin is known from it.
void locate_data(const FileBytes& file, Listed& listed, std::uint64_t limit) {
  const std::string shown = printable(listed.entry.name);
  if (listed.header > limit || limit - listed.header < 30)
    refuse(file,
           fmt::format("entry '{}' begins at byte {}, beyond its place", shown, listed.header));
  const std::string header = read_text(file, listed.header, 30);
  const std::uint64_t name = u16(header, 26), extra = u16(header, 28);
  if (u32(header, 0) != kLocalHeader ||
      read_text(file, listed.header + 30, name) != listed.entry.name)
    refuse(file, fmt::format("entry '{}' has another name before its data", shown));
  check_kind(file, listed.entry.name, u16(header, 6), u16(header, 8));
  listed.entry.begin = listed.header + 30 + name + extra;
  if (listed.entry.begin > limit || listed.entry.size > limit - listed.entry.begin)
    refuse(file, fmt::format("entry '{}' ({} bytes at {}) overlaps the next, at {}", shown,
                             listed.entry.size, listed.entry.begin, limit));
}

}  // namespace

std::vector<ZipEntry> read_zip(const FileBytes& file) {
  const Directory place = find_directory(file);
  const std::string bytes = read_text(file, place.begin, place.size);
  std::string_view rest = bytes;
  std::vector<Listed> listed;
  for (std::uint64_t i = 0; i < place.entries; ++i) listed.push_back(next_entry(file, rest));
  if (!rest.empty()) refuse(file, "its directory has more entries than it says");

  std::ranges::sort(listed, {}, &Listed::header);
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (listed[i].header < expected || listed[i].header - expected > kDescriptor)
      refuse(file, fmt::format("entry '{}' does not follow the one before",
                               printable(listed[i].entry.name)));
    locate_data(file, listed[i], i + 1 < listed.size() ? listed[i + 1].header : place.begin);
    expected = listed[i].entry.begin + listed[i].entry.size;
  }
  if (place.begin - expected > kDescriptor) refuse(file, "bytes lie between entries and directory");

  std::vector<ZipEntry> entries;
  for (Listed& one : listed) entries.push_back(std::move(one.entry));
  std::ranges::sort(entries, {}, &ZipEntry::name);
  const auto twice = std::ranges::adjacent_find(entries, {}, &ZipEntry::name);
  if (twice != entries.end())
    refuse(file, fmt::format("two entries are named '{}'", printable(twice->name)));
  return entries;
}

namespace {

std::uint32_t crc_of(std::uint32_t before, std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void demand_crc(const FileBytes& file, const ZipEntry& entry, std::uint32_t crc) {
  if (crc != entry.crc)
    refuse(file,
           fmt::format("entry '{}' is damaged: its checksum is {:08x}, the archive says {:08x}",
                       printable(entry.name), crc, entry.crc));
}

}  // namespace

void read_entry(const FileBytes& file, const ZipEntry& entry, std::span<std::byte> into) {
  file.read(entry.begin, into);
  demand_crc(file, entry, crc_of(0, into));
}

void verify_entry(const FileBytes& file, const ZipEntry& entry) {
  std::vector<std::byte> block(std::min<std::uint64_t>(entry.size, 1 << 20));
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0; at < entry.size; at += block.size()) {
    block.resize(std::min<std::uint64_t>(entry.size - at, block.size()));
    file.read(entry.begin + at, block);
    crc = crc_of(crc, block);
  }
  demand_crc(file, entry, crc);
}

}  // namespace fjord
