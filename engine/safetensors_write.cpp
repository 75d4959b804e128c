// Writing a safetensors file: equal arguments give equal bytes.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/atomic_file.h"
#include "engine/safetensors.h"
#include "kernels/error.h"

namespace fjord {

namespace {

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

// Hands each tensor's bytes to the sink, in the order given; returns their hash.
std::string write_tensors(const std::vector<TensorSource>& tensors,
                          const std::vector<TensorEntry>& entries, const Sink& sink) {
  std::map<std::string_view, Digest> by_name;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    by_name[tensors[i].name] = digest_of(entries[i], [&](const Sink& hash) {
      tensors[i].write([&](std::span<const std::byte> piece) {
        hash(piece);
        sink(piece);
      });
    });
  std::vector<Digest> digests;
  for (const auto& [name, digest] : by_name) digests.push_back(digest);
  return combined_hash(digests);
}

Metadata with_hashes(Metadata metadata, const std::string& hash) {
  metadata[std::string(kFormatKey)] = std::to_string(kFormat);
  metadata[std::string(kHashKey)] = hash;
  metadata[std::string(kMetadataHashKey)] = metadata_hash(metadata);
  return metadata;
}

}  // namespace

std::string hash_of(const std::vector<TensorSource>& tensors) {
  return write_tensors(tensors, lay_out(tensors), [](std::span<const std::byte>) {});
}

std::string save_safetensors(const std::filesystem::path& path, std::vector<TensorSource> tensors,
                             const WriteOptions& options) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    return a.type != b.type ? a.type > b.type : a.name < b.name;
  });
  const std::vector<TensorEntry> entries = lay_out(tensors);
  const auto header = [&](const std::string& hash) {
    return header_text(entries,
                       options.hashed ? with_hashes(options.metadata, hash) : options.metadata);
  };
  AtomicFile file(path);
  // The hash is known after the tensors, but stands before them: every hash is as long as this.
  file.write(header(combined_hash({})));
  const std::string hash =
      write_tensors(tensors, entries, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  if (options.hashed) file.rewrite_start(header(hash));
  file.commit();
  return options.hashed ? hash : "";
}

}  // namespace fjord
