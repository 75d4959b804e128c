// libtiff's callbacks: bytes by position, messages kept, memory capped.
#include "data/tiff_file.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>

#include "kernels/error.h"

namespace fjord {
namespace {

TiffFile& file_of(thandle_t handle) { return *static_cast<TiffFile*>(handle); }

tmsize_t on_read(thandle_t handle, void* to, tmsize_t count) {
  TiffFile& file = file_of(handle);
  if (count <= 0) return 0;
  const std::size_t got = file.source().read_at(file.position, to, static_cast<std::size_t>(count));
  file.position += got;
  return static_cast<tmsize_t>(got);
}

tmsize_t on_write(thandle_t, void*, tmsize_t) { return 0; }

toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
  TiffFile& file = file_of(handle);
  if (whence == SEEK_CUR) offset += file.position;
  if (whence == SEEK_END) offset += file.source().size();
  file.position = offset;
  return offset;
}

int on_close(thandle_t) { return 0; }
toff_t on_size(thandle_t handle) { return file_of(handle).source().size(); }

std::string message(const char* module, const char* format, std::va_list arguments) {
  char text[300];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string_view body(text);
  while (body.ends_with('.') || body.ends_with('\n')) body.remove_suffix(1);
  (void)module;  // a function of libtiff or the file's name: nothing a user needs
  return std::string(body);
}

int on_error(TIFF*, void* file, const char* module, const char* format, std::va_list arguments) {
  static_cast<TiffFile*>(file)->note(true, message(module, format, arguments));
  return 1;
}

int on_warning(TIFF*, void* file, const char* module, const char* format, std::va_list arguments) {
  static_cast<TiffFile*>(file)->note(false, message(module, format, arguments));
  return 1;
}

/// Warnings of the directory reader after which it goes on with a guess of its own. Others (unknown
/// tags, unsorted tags, extra samples without a name) change nothing that is read here.
bool is_guess(std::string_view warning) {
  constexpr std::array guesses{"assuming",    "calculating", "Bogus",          "Wrong",
                               "StripOffset", "TileOffset",  "StripByteCount", "TileByteCount",
                               "corrupt",     "truncated",   "beyond",         "tag ignored"};
  return std::any_of(guesses.begin(), guesses.end(), [&](const char* word) {
    return warning.find(word) != std::string_view::npos;
  });
}

}  // namespace

TiffFile::TiffFile(ByteSource& source) : source_(source) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  constexpr std::uint64_t directories = 64u << 20, most = std::uint64_t{1} << 40;
  const std::uint64_t limit = std::min(source.size(), most) + directories;
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(limit));
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, this);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, this);
  tiff_ = TIFFClientOpenExt(source.name().c_str(), "rm", this, on_read, on_write, on_seek, on_close,
                            on_size, nullptr, nullptr, options.get());
  if (tiff_ == nullptr && problem_.empty()) problem_ = "its first directory cannot be read";
  if (tiff_ == nullptr) check();
}

TiffFile::~TiffFile() {
  if (tiff_ != nullptr) TIFFClose(tiff_);
}

void TiffFile::note(bool error, std::string_view text) {
  if (problem_.empty() && (error || decoding_ || is_guess(text))) problem_ = text;
}

void TiffFile::check() const {
  if (!problem_.empty()) damaged(source_, "TIFF", problem_);
}

void TiffFile::check_directory_end(int page) const {
  const std::uint64_t start = TIFFCurrentDirOffset(tiff_);
  const bool big = TIFFIsBigTIFF(tiff_) != 0, swapped = TIFFIsBigEndian(tiff_) != 0;
  const std::size_t number = big ? 8 : 2, entry = big ? 20 : 12, next = big ? 8 : 4;
  const auto bytes = source_.read(start, number);
  std::uint64_t entries = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::byte byte = bytes[swapped ? i : bytes.size() - 1 - i];
    entries = entries << 8 | std::to_integer<std::uint64_t>(byte);
  }
  const bool whole = bytes.size() == number && entries < 65536 &&
                     start + number + entries * entry + next <= source_.size();
  if (!whole)
    damaged(source_, "TIFF", fmt::format("directory {} runs past the end of the file", page));
}

void TiffFile::check_pages() {
  constexpr int most = 100;
  check();
  check_directory_end(1);
  for (int page = 1; TIFFLastDirectory(tiff_) == 0; ++page) {
    if (page > most) damaged(source_, "TIFF", fmt::format("more than {} directories", most));
    const bool read = TIFFReadDirectory(tiff_) == 1;
    check();
    if (!read) damaged(source_, "TIFF", fmt::format("directory {} cannot be read", page + 1));
    check_directory_end(page + 1);
    const auto kind = field<std::uint32_t>(TIFFTAG_SUBFILETYPE, 0);
    if ((kind & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) != 0) continue;
    refuse(source_, "image-pages", "it is a TIFF of several pages",
           "write the page that is meant to a file of its own: gdal_translate GTIFF_DIR:1:IN.tif "
           "OUT.tif");
  }
  TIFFSetDirectory(tiff_, 0);
  check();
}

std::optional<GeoTag> TiffFile::raw_tag(std::uint16_t tag) const {
  const TIFFField* field = TIFFFindField(tiff_, tag, TIFF_ANY);
  if (field == nullptr || TIFFFieldPassCount(field) == 0) return std::nullopt;
  void* values = nullptr;
  std::uint32_t count = 0;
  if (TIFFFieldReadCount(field) == TIFF_VARIABLE2) {
    if (TIFFGetField(tiff_, tag, &count, &values) != 1) return std::nullopt;
  } else {
    std::uint16_t small = 0;
    if (TIFFGetField(tiff_, tag, &small, &values) != 1) return std::nullopt;
    count = small;
  }
  const TIFFDataType type = TIFFFieldDataType(field);
  if (type == TIFF_RATIONAL || type == TIFF_SRATIONAL) {
    damaged(source_, "TIFF", fmt::format("tag {} holds fractions", tag));
  }
  GeoTag found{.tag = tag, .type = static_cast<std::uint16_t>(type), .count = count, .bytes = {}};
  found.bytes.resize(std::size_t{count} * static_cast<std::size_t>(TIFFDataWidth(type)));
  if (!found.bytes.empty()) std::memcpy(found.bytes.data(), values, found.bytes.size());
  return found;
}

}  // namespace fjord
