// TensorBoard event files: records of a length, its CRC, a protobuf message and its CRC.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fjord {

/// CRC-32C (Castagnoli), as TensorBoard's records use it before masking.
std::uint32_t crc32c(std::string_view bytes);

class EventFile {
 public:
  /// A new events.out.tfevents.* in folder. resumed_at: steps after it written by an earlier
  /// session are forgotten by TensorBoard.
  EventFile(const std::filesystem::path& folder, std::optional<std::int64_t> resumed_at);
  void scalar(std::string_view tag, std::int64_t step, double value);
  void flush();

 private:
  void write_record(const std::string& message);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace fjord
