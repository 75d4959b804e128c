// Writing a safetensors file: equal arguments give equal bytes.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/atomic_file.h"
#include "engine/safetensors.h"
#include "kernels/error.h"

namespace fjord {

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string json_text(std::string_view text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw Error(ExitCode::usage, "utf8", fmt::format("'{}'", printable(text)),
                "names and metadata of a model file are UTF-8", "rename it");
  }
}

std::vector<TensorEntry> lay_out(const std::vector<TensorSource>& tensors) {
  std::vector<TensorEntry> entries;
  std::uint64_t end = 0;
  for (const TensorSource& tensor : tensors) {
    TensorEntry& entry =
        entries.emplace_back(TensorEntry{tensor.name, tensor.type, tensor.shape, end, end});
    entry.end = end += static_cast<std::uint64_t>(entry.count()) * size_of(entry.type);
  }
  return entries;
}

std::string header_text(const std::vector<TensorEntry>& entries, const Metadata& metadata) {
  std::string json = "{";
  const char* separator = "";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      json += fmt::format("{}{}:{}", separator, json_text(key), json_text(value));
      separator = ",";
    }
    json += "}";
  }
  for (const TensorEntry& entry : entries) {
    json += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        separator, json_text(entry.name), name_of(entry.type),
                        fmt::join(entry.shape, ","), entry.begin, entry.end);
    separator = ",";
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string length(8, '\0');
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(json.size() >> (8 * i));
  return length + json;
}

std::span<const std::byte> values_of(const TensorSource& tensor, const TensorEntry& entry,
                                     std::vector<float>& scratch) {
  const std::span<const std::byte> bytes = tensor.bytes(scratch);
  check(bytes.size() == entry.bytes(), tensor.name, "{} bytes given for {} {}", bytes.size(),
        name_of(entry.type), shape_text(entry.shape));
  return bytes;
}

std::string hash_of(const std::vector<TensorSource>& tensors,
                    const std::vector<TensorEntry>& entries) {
  std::map<std::string_view, Digest> by_name;
  std::vector<float> scratch;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    by_name[tensors[i].name] = digest_of(entries[i], values_of(tensors[i], entries[i], scratch));
  std::vector<Digest> digests;
  for (const auto& [name, digest] : by_name) digests.push_back(digest);
  return combined_hash(digests);
}

}  // namespace

std::string write_safetensors(std::vector<TensorSource> tensors, const WriteOptions& options,
                              const Sink& sink) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    return a.type != b.type ? a.type > b.type : a.name < b.name;
  });
  const std::vector<TensorEntry> entries = lay_out(tensors);
  Metadata metadata = options.metadata;
  std::string hash;
  if (options.hashed) {
    hash = hash_of(tensors, entries);
    metadata[std::string(kFormatKey)] = std::to_string(kFormat);
    metadata[std::string(kHashKey)] = hash;
    metadata[std::string(kMetadataHashKey)] = metadata_hash(metadata);
  }
  sink(bytes_of(header_text(entries, metadata)));
  std::vector<float> scratch;
  for (std::size_t i = 0; i < tensors.size(); ++i) sink(values_of(tensors[i], entries[i], scratch));
  return hash;
}

std::string save_safetensors(const std::filesystem::path& path, std::vector<TensorSource> tensors,
                             const WriteOptions& options) {
  AtomicFile file(path);
  std::string hash = write_safetensors(
      std::move(tensors), options, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.commit();
  return hash;
}

}  // namespace fjord
