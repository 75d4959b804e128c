// Files of torch.save made by hand: pickles opcode by opcode, zip archives field by field.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fjord::test {

inline std::string little(std::uint64_t value, int bytes) {
  std::string text;
  for (; bytes > 0; --bytes, value >>= 8) text.push_back(static_cast<char>(value));
  return text;
}

namespace pickle {

inline std::string start() { return "\x80\x02"; }
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string text(std::string_view value) {
  return "X" + little(value.size(), 4) + std::string(value);
}
inline std::string integer(std::int64_t value) {
  return "\x8a\x08" + little(static_cast<std::uint64_t>(value), 8);
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const std::string& item : items) all += item;
  return all + "t";
}
inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}

/// What torch.save writes of a tensor; every number may lie.
struct Tensor {
  std::string key = "0", type = "FloatStorage";
  std::int64_t elements = 6, offset = 0;
  std::vector<std::int64_t> sizes = {2, 3}, strides = {3, 1};
};
inline std::string numbers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string storage(const Tensor& t) {
  return tuple({text("storage"), global("torch", t.type), text(t.key), text("cpu"),
                integer(t.elements)}) +
         "Q";
}
inline std::string tensor(const Tensor& t) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage(t), integer(t.offset), numbers(t.sizes), numbers(t.strides), "\x89",
               call(global("collections", "OrderedDict"), {})});
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string all = "}(";
  for (const auto& [key, value] : rows) all += text(key) + value;
  return all + "u";
}
/// A whole pickle of one value.
inline std::string whole(const std::string& value) { return start() + value + "."; }

}  // namespace pickle

/// 1 to 6, which the storage of both formats has.
inline std::string six_floats() {
  std::string floats;
  for (const float value : {1.f, 2.f, 3.f, 4.f, 5.f, 6.f})
    floats.append(reinterpret_cast<const char*>(&value), sizeof value);
  return floats;
}

/// The format before PyTorch 1.6: five pickles, then the number of elements of each storage and
/// these. Six are there, more are for the caller to add.
inline std::string legacy(const std::string& value, std::int64_t elements = 6,
                          bool little_endian = true) {
  using namespace pickle;
  return start() + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." +
         whole("M" + little(1001, 2)) +
         whole("}(" + text("little_endian") + (little_endian ? "\x88" : "\x89") + "u") +
         whole(value) + whole("](" + text("0") + "e") +
         little(static_cast<std::uint64_t>(elements), 8) + six_floats();
}

/// A zip archive as torch.save writes it; every field may lie.
struct Zip {
  struct Entry {
    std::string name, data;
    std::uint16_t method = 0, flags = 0x0808;
    std::int64_t crc = -1, size = -1, stored = -1, header = -1;  // -1: the truth
    std::string local_name = {};                                 // empty: the name
    std::string extra = {};                                      // in the directory alone
  };
  /// The end record and its locator of an archive beyond 32 bits.
  struct Wide {
    std::int64_t count = -1, size = -1, begin = -1, place = -1;  // place: of the record
    std::uint64_t record_bytes = 44;
  };
  std::vector<Entry> entries;
  std::string comment = {}, gap = {};  // gap: between the last entry and the directory
  std::int64_t count = -1, size = -1, begin = -1;
  std::uint16_t volume = 0;
  std::optional<Wide> wide = {};

  static std::uint32_t crc_of(std::string_view data) {
    return static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
  }
  static std::uint64_t or_else(std::int64_t lie, std::uint64_t truth) {
    return lie < 0 ? truth : static_cast<std::uint64_t>(lie);
  }

  std::string bytes() const {
    std::string file, directory;
    for (const Entry& e : entries) {
      const std::uint64_t header = or_else(e.header, file.size());
      const std::string sizes = little(or_else(e.crc, crc_of(e.data)), 4) +
                                little(or_else(e.stored, or_else(e.size, e.data.size())), 4) +
                                little(or_else(e.size, e.data.size()), 4);
      const std::string kind = little(e.flags, 2) + little(e.method, 2) + little(0, 4);
      const std::string& local = e.local_name.empty() ? e.name : e.local_name;
      file += "PK\3\4" + little(0, 2) + kind + little(0, 12) + little(local.size(), 2) +
              little(0, 2) + local + e.data;
      directory += "PK\1\2" + little(0, 4) + kind + sizes + little(e.name.size(), 2) +
                   little(e.extra.size(), 2) + little(0, 10) + little(header, 4) + e.name + e.extra;
    }
    file += gap;
    const std::uint64_t place = or_else(begin, file.size());
    const std::string number = little(or_else(count, entries.size()), 2);
    const std::string records = wide ? wide_records(file.size(), directory.size()) : "";
    return file + directory + records + "PK\5\6" + little(volume, 4) + number + number +
           little(or_else(size, directory.size()), 4) + little(place, 4) +
           little(comment.size(), 2) + comment;
  }

  std::string wide_records(std::uint64_t directory, std::uint64_t directory_bytes) const {
    const std::string number = little(or_else(wide->count, entries.size()), 8);
    return "PK\6\6" + little(wide->record_bytes, 8) + little(0, 12) + number + number +
           little(or_else(wide->size, directory_bytes), 8) +
           little(or_else(wide->begin, directory), 8) + "PK\6\7" + little(0, 4) +
           little(or_else(wide->place, directory + directory_bytes), 8) + little(1, 4);
  }
};

/// An archive of that pickle and one storage of 6 floats, 1 to 6.
inline Zip torch_zip(const std::string& data_pkl) {
  return {.entries = {{.name = "a/data.pkl", .data = data_pkl},
                      {.name = "a/byteorder", .data = "little"},
                      {.name = "a/data/0", .data = six_floats()}}};
}

}  // namespace fjord::test
