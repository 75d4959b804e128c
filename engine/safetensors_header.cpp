// The strict parser of a safetensors header: every rule of the format, and limits of our own.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "engine/safetensors.h"
#include "kernels/error.h"

namespace fjord {

namespace {

using Limits = SafetensorsLimits;

[[noreturn]] void refuse(std::string_view what, std::string_view why) {
  throw Error(ExitCode::model_file, "safetensors", what, why, "download or save the file again");
}

struct TypeRow {
  std::string_view name;
  std::size_t bytes;
};
constexpr TypeRow kTypes[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                              {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                              {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

// SAX events of the header. Depth 1 is the table of tensors, 2 an entry or the metadata, 3 a list.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string_view file) : file_(file) {}

  SafetensorsHeader header;

  bool null() override { return wrong_value("null"); }
  bool boolean(bool) override { return wrong_value("a boolean"); }
  bool number_integer(number_integer_t value) override {
    return wrong_value(fmt::format("the negative number {}", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return wrong_value("the number " + printable(text.substr(0, 40)));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) return wrong_value(fmt::format("the number {}", value));
    if (field_ == "shape" && value > INT64_MAX)
      refuse(tensor(), fmt::format("dimension {} is too large", value));
    list_.push_back(value);
    return true;
  }
  bool string(string_t& value) override;
  bool binary(binary_t&) override { return wrong_value("binary data"); }
  bool start_object(std::size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const bool utf8 = std::string_view(error.what()).find("UTF-8") != std::string_view::npos;
    refuse(file_, fmt::format("its header is not valid {} (byte {} of the header)",
                              utf8 ? "UTF-8" : "JSON", position));
  }

 private:
  std::string tensor() const { return fmt::format("{}, tensor '{}'", file_, printable(name_)); }
  bool in_metadata() const { return depth_ == 2 && name_ == "__metadata__"; }
  bool wrong_value(std::string_view found) const;
  void top_level_key(const std::string& name);
  void field_key(const std::string& name);

  std::string file_;
  int depth_ = 0;
  std::string name_, field_;
  std::set<std::string, std::less<>> names_, fields_;
  TensorEntry entry_;
  std::vector<std::uint64_t> list_;
  std::size_t metadata_bytes_ = 0;
};

bool HeaderReader::wrong_value(std::string_view found) const {
  if (depth_ == 1) refuse(tensor(), fmt::format("its entry is {}, expected an object", found));
  if (in_metadata())
    refuse(file_, fmt::format("metadata '{}' is {}, expected a string", printable(field_), found));
  const char* expected = depth_ == 3         ? "unsigned 64-bit integers"
                         : field_ == "dtype" ? "a string"
                                             : "a list of unsigned 64-bit integers";
  refuse(tensor(), fmt::format("'{}' has {}, expected {}", field_, found, expected));
}

bool HeaderReader::string(string_t& value) {
  if (in_metadata()) {
    metadata_bytes_ += field_.size() + value.size();
    if (metadata_bytes_ > Limits::metadata_bytes)
      refuse(file_, fmt::format("its metadata is longer than {} bytes", Limits::metadata_bytes));
    header.metadata.emplace(field_, value);
    return true;
  }
  if (depth_ != 2 || field_ != "dtype") return wrong_value("a string");
  const auto row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                [&](const TypeRow& type) { return type.name == value; });
  if (row == std::end(kTypes))
    refuse(tensor(), fmt::format("unknown dtype '{}'", printable(value.substr(0, 40))));
  entry_.type = static_cast<FileType>(row - kTypes);
  return true;
}

bool HeaderReader::start_object(std::size_t) {
  if (depth_ >= 2) refuse(file_, "its header nests objects deeper than a tensor's entry");
  ++depth_;
  if (depth_ == 2) {
    fields_.clear();
    entry_ = {};
    entry_.name = name_;
  }
  return true;
}

bool HeaderReader::key(string_t& name) {
  if (depth_ == 1)
    top_level_key(name);
  else
    field_key(name);
  return true;
}

void HeaderReader::top_level_key(const std::string& name) {
  if (name.size() > Limits::name_bytes)
    refuse(file_, fmt::format("a tensor's name has {} bytes, the limit is {}", name.size(),
                              Limits::name_bytes));
  name_ = name;
  if (!names_.insert(name).second) refuse(tensor(), "the name is given twice");
  if (names_.size() > Limits::tensors + 1)
    refuse(file_, fmt::format("more than {} tensors", Limits::tensors));
}

void HeaderReader::field_key(const std::string& name) {
  field_ = name;
  const std::string shown = printable(name.substr(0, 40));
  if (!fields_.insert(name).second) {
    if (in_metadata()) refuse(file_, fmt::format("metadata '{}' is given twice", shown));
    refuse(tensor(), fmt::format("'{}' is given twice", shown));
  }
  if (!in_metadata() && name != "dtype" && name != "shape" && name != "data_offsets")
    refuse(tensor(), fmt::format("unknown field '{}'", shown));
}

bool HeaderReader::end_object() {
  if (depth_ == 2 && !in_metadata()) {
    for (const char* field : {"dtype", "shape", "data_offsets"})
      if (!fields_.contains(field)) refuse(tensor(), fmt::format("'{}' is missing", field));
    header.tensors.push_back(std::move(entry_));
  }
  --depth_;
  return true;
}

bool HeaderReader::start_array(std::size_t) {
  if (depth_ == 3) refuse(file_, "its header nests lists deeper than a tensor's shape");
  if (depth_ != 2 || in_metadata() || field_ == "dtype") return wrong_value("a list");
  ++depth_;
  list_.clear();
  return true;
}

bool HeaderReader::end_array() {
  --depth_;
  if (field_ == "shape") {
    if (list_.size() > Limits::dimensions)
      refuse(tensor(),
             fmt::format("{} dimensions, the limit is {}", list_.size(), Limits::dimensions));
    entry_.shape.assign(list_.begin(), list_.end());
    return true;
  }
  if (list_.size() != 2)
    refuse(tensor(), fmt::format("'data_offsets' has {} numbers, expected 2", list_.size()));
  entry_.begin = list_[0];
  entry_.end = list_[1];
  return true;
}

void check_text(std::string_view file, std::string_view header) {
  if (header.front() != '{')
    refuse(file, fmt::format("its header starts with byte 0x{:02x}, expected '{{'",
                             static_cast<unsigned char>(header.front())));
  const std::size_t last = header.find_last_not_of(' ');
  if (header[last] != '}')
    refuse(file, fmt::format("its header ends with byte 0x{:02x}, expected '}}' and spaces",
                             static_cast<unsigned char>(header[last])));
  // The JSON library takes a NUL for the end of the text.
  const std::size_t nul = header.find('\0');
  if (nul != std::string_view::npos)
    refuse(file, fmt::format("its header is not valid JSON (byte {} of the header)", nul + 1));
}

// The bytes that an entry's dtype and shape ask for; refuses products beyond 64 bits.
std::uint64_t expected_bytes(const std::string& what, const TensorEntry& entry) {
  std::uint64_t bytes = size_of(entry.type);
  for (const std::int64_t dimension : entry.shape)
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dimension), &bytes) ||
        bytes > INT64_MAX)
      refuse(what, fmt::format("shape {} is too large", shape_text(entry.shape)));
  return bytes;
}

// Tensors must cover the data from its first byte to its last, without gap or overlap.
void check_layout(std::string_view file, const SafetensorsHeader& header,
                  std::uint64_t data_bytes) {
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& entry : header.tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return std::tie(a->begin, a->end, a->name) < std::tie(b->begin, b->end, b->name);
  });
  std::uint64_t covered = 0;
  std::string previous = "the data starts at byte 0";
  for (const TensorEntry* entry : order) {
    const std::string what = fmt::format("{}, tensor '{}'", file, printable(entry->name));
    if (entry->end < entry->begin)
      refuse(what, fmt::format("ends at byte {}, before its begin {}", entry->end, entry->begin));
    if (entry->begin != covered)
      refuse(what, fmt::format("begins at byte {}, but {} ({})", entry->begin, previous,
                               entry->begin < covered ? "overlap" : "gap"));
    const std::uint64_t expected = expected_bytes(what, *entry);
    if (expected != entry->bytes())
      refuse(what, fmt::format("{} {} needs {} bytes, its offsets give {}", name_of(entry->type),
                               shape_text(entry->shape), expected, entry->bytes()));
    covered = entry->end;
    previous = fmt::format("tensor '{}' ends at byte {}", printable(entry->name), covered);
  }
  if (covered != data_bytes)
    refuse(file, fmt::format("its tensors end at byte {} of the data, the file at {} ({})", covered,
                             data_bytes, covered > data_bytes ? "truncated" : "trailing bytes"));
}

}  // namespace

std::string_view name_of(FileType type) { return kTypes[static_cast<std::size_t>(type)].name; }
std::size_t size_of(FileType type) { return kTypes[static_cast<std::size_t>(type)].bytes; }

std::uint64_t safetensors_header_bytes(std::string_view file, std::string_view first,
                                       std::uint64_t file_bytes) {
  if (file_bytes < 8 || first.size() < 8)
    refuse(file, fmt::format("not a safetensors file ({} bytes)", file_bytes));
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(first[i]);
  if (length == 0) refuse(file, fmt::format("a header of 0 bytes in a file of {}", file_bytes));
  if (length > file_bytes - 8)
    refuse(file,
           fmt::format("a header of {} bytes in a file of {}: truncated, or not a safetensors "
                       "file",
                       length, file_bytes));
  if (length > Limits::header_bytes)
    refuse(file,
           fmt::format("a header of {} bytes, the limit is {}", length, Limits::header_bytes));
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view file, std::string_view header,
                                           std::uint64_t file_bytes) {
  check_text(file, header);
  HeaderReader reader(file);
  nlohmann::json::sax_parse(header.begin(), header.end(), &reader);
  SafetensorsHeader parsed = std::move(reader.header);
  parsed.data_begin = 8 + header.size();
  std::sort(parsed.tensors.begin(), parsed.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  check_layout(file, parsed, file_bytes - parsed.data_begin);
  return parsed;
}

}  // namespace fjord
