// TensorBoard event files.
#include "tools/events.h"

#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "events.pb.h"
#include "kernels/error.h"
#include "tools/log.h"

namespace fjord {

namespace {

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0x82F63B78u : 0u);
    table[i] = value;
  }
  return table;
}

std::string masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  const std::uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
  return std::string(reinterpret_cast<const char*>(&masked), sizeof masked);
}

double wall_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = crc_table();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, std::optional<std::int64_t> resumed_at)
    : file_(nullptr, std::fclose) {
  utsname system{};
  ::uname(&system);
  const auto seconds = static_cast<std::int64_t>(wall_time());
  std::filesystem::path path;
  for (int i = 0; i == 0 || std::filesystem::exists(path); ++i)
    path = folder / fmt::format("events.out.tfevents.{:010}.{}.{}", seconds, system.nodename, i);
  file_.reset(std::fopen(path.c_str(), "wbe"));
  if (!file_)
    throw Error(ExitCode::io, "io", printable(path.string()), std::strerror(errno),
                "choose a folder that can be written with --out");
  events::Event event;
  event.set_wall_time(wall_time());
  event.set_file_version("brain.Event:2");
  write_record(event.SerializeAsString());
  if (resumed_at) {
    event.set_step(*resumed_at + 1);
    event.mutable_session_log()->set_status(1);
    write_record(event.SerializeAsString());
  }
  flush();
}

void EventFile::scalar(std::string_view tag, std::int64_t step, double value) {
  events::Event event;
  event.set_wall_time(wall_time());
  event.set_step(step);
  auto* entry = event.mutable_summary()->add_value();
  entry->set_tag(std::string(tag));
  entry->set_simple_value(static_cast<float>(value));
  write_record(event.SerializeAsString());
}

void EventFile::write_record(const std::string& message) {
  if (!file_) return;
  const std::uint64_t length = message.size();
  std::string record(reinterpret_cast<const char*>(&length), sizeof length);
  record += masked_crc(record);
  record += message + masked_crc(message);
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size()) return;
  warn("the event file cannot be written ({}); training goes on without it", std::strerror(errno));
  file_.reset();
}

void EventFile::flush() {
  if (!file_ || std::fflush(file_.get()) == 0) return;
  warn("the event file cannot be written ({}); training goes on without it", std::strerror(errno));
  file_.reset();
}

}  // namespace fjord
