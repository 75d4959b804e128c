// Saving: all files into step-N.tmp, then one rename; loading: both files, and that they agree.
#include "engine/checkpoint.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <system_error>

#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;

constexpr const char* kModel = "model.safetensors";
constexpr const char* kTraining = "training.safetensors";
constexpr const char* kConfig = "config.json";
constexpr const char* kModelHashKey = "fjord.model_hash";
constexpr std::string_view kLinks[] = {"last", "best"};

[[noreturn]] void cannot_write(const fs::path& path, const std::error_code& error) {
  const bool full = error == std::errc::no_space_on_device || error.value() == EDQUOT;
  throw Error(ExitCode::io, full ? "disk-full" : "write", printable(path.native()), error.message(),
              full ? "free some space (or raise the quota) and run the command again"
                   : "check that the folder exists and may be written to");
}

// Calls a function of std::filesystem that reports through an error code.
template <class F>
auto demand(const fs::path& path, F operation) {
  std::error_code error;
  const auto result = operation(error);
  if (error) cannot_write(path, error);
  return result;
}

template <class T>
std::int64_t count_not_finite(std::span<const std::byte> bytes) {
  const T* values = reinterpret_cast<const T*>(bytes.data());
  std::int64_t bad = 0;
  for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i)
    bad += !(std::fabs(values[i]) <= std::numeric_limits<T>::max());
  return bad;
}

void check_finite(const fs::path& file, const NamedBuffer& state,
                  std::span<const std::byte> bytes) {
  const Buffer& buffer = *state.buffer;
  const std::int64_t bad = buffer.dtype == DType::f32   ? count_not_finite<float>(bytes)
                           : buffer.dtype == DType::f64 ? count_not_finite<double>(bytes)
                                                        : 0;
  if (bad == 0) return;
  throw Error(ExitCode::numeric, "values",
              fmt::format("{}, tensor '{}'", printable(file.native()), printable(state.name)),
              fmt::format("{} of {} values are not finite", bad, buffer.shape.count()),
              "lower --lr, or train with --check to find the step that made them");
}

// The buffer's bytes where the host can read them: in place, or fetched into `scratch`.
std::span<const std::byte> bytes_at_host(const NamedBuffer& state, std::vector<float>& scratch) {
  const Buffer& buffer = *state.buffer;
  Device& home = device(state.backend);
  if (home.is_host()) return {static_cast<const std::byte*>(buffer.data), buffer.bytes()};
  scratch.resize((buffer.bytes() + sizeof(float) - 1) / sizeof(float));
  Stream in_order = stream(state.backend);
  home.download(scratch.data(), buffer.data, buffer.bytes(), in_order);
  return std::as_bytes(std::span(scratch)).first(buffer.bytes());
}

std::vector<TensorSource> state_sources(const fs::path& file,
                                        const std::vector<NamedBuffer>& state) {
  std::vector<TensorSource> sources;
  for (const NamedBuffer& named : state)
    sources.push_back({named.name,
                       file_type(named.buffer->dtype),
                       {named.buffer->shape.count()},
                       [&named, file](const Sink& sink) {
                         std::vector<float> scratch;
                         const auto bytes = bytes_at_host(named, scratch);
                         check_finite(file, named, bytes);
                         sink(bytes);
                       }});
  return sources;
}

std::uint64_t bytes_of(const Checkpoint& checkpoint) {
  std::uint64_t bytes = 1 << 20;  // headers and config
  for (const Parameter& p : checkpoint.parameters.all())
    bytes += static_cast<std::uint64_t>(p.count()) * 4;
  for (const NamedBuffer& state : checkpoint.state) bytes += state.buffer->bytes();
  return bytes;
}

void write_files(const fs::path& folder, const Checkpoint& checkpoint) {
  const std::string model_hash =
      save_state_dict(folder / kModel, checkpoint.parameters, checkpoint.metadata);
  if (!checkpoint.config.empty()) {
    AtomicFile config(folder / kConfig);
    config.write(checkpoint.config);
    config.commit();
  }
  Metadata scalars = checkpoint.scalars;
  scalars[kModelHashKey] = model_hash;
  save_safetensors(folder / kTraining, state_sources(folder / kTraining, checkpoint.state),
                   {.metadata = scalars});
  for (const char* name : {kModel, kTraining}) verified_hash(SafetensorsFile(folder / name));
}

// What an earlier, killed save left.
void sweep(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".tmp") stale.push_back(entry.path());
  for (const fs::path& path : stale) fs::remove_all(path, ignored);
}

fs::path free_name(const fs::path& folder, std::int64_t step) {
  const std::string name = fmt::format("step-{}", step);
  fs::path path = folder / name;
  for (int i = 1; fs::exists(fs::symlink_status(path)); ++i)
    path = folder / fmt::format("{}.{}", name, i);
  return path;
}

void point_link(const fs::path& folder, std::string_view link, const fs::path& target) {
  const fs::path path = folder / link, temporary = folder / fmt::format("{}.tmp", link);
  if (::symlink(target.filename().c_str(), temporary.c_str()) == 0 &&
      ::rename(temporary.c_str(), path.c_str()) == 0)
    return;
  const std::error_code error(errno, std::generic_category());
  ::unlink(temporary.c_str());
  cannot_write(path, error);
}

void remove_unpointed(const fs::path& folder) {
  std::error_code ignored;
  std::set<fs::path> kept;
  for (const std::string_view link : kLinks) kept.insert(fs::read_symlink(folder / link, ignored));
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().native().starts_with("step-") &&
        !kept.contains(entry.path().filename()))
      old.push_back(entry.path());
  for (const fs::path& path : old) fs::remove_all(path, ignored);
}

[[noreturn]] void refuse_training(const fs::path& file, std::string_view tensor,
                                  std::string_view why) {
  throw Error(ExitCode::model_file, "checkpoint",
              tensor.empty()
                  ? printable(file.native())
                  : fmt::format("{}, tensor '{}'", printable(file.native()), printable(tensor)),
              why, "resume with the fjord and the flags that wrote it");
}

void check_state(const fs::path& path, const SafetensorsFile& file,
                 const std::vector<NamedBuffer>& state) {
  std::set<std::string> known;
  for (const NamedBuffer& named : state) {
    const TensorEntry* entry = file.header().find(named.name);
    const std::vector<std::int64_t> shape{named.buffer->shape.count()};
    if (!entry) refuse_training(path, named.name, "it is missing");
    if (entry->shape != shape || entry->type != file_type(named.buffer->dtype))
      refuse_training(path, named.name,
                      fmt::format("it is {} {}, this run has {} {}", name_of(entry->type),
                                  shape_text(entry->shape), name_of(file_type(named.buffer->dtype)),
                                  shape_text(shape)));
    known.insert(named.name);
  }
  for (const TensorEntry& entry : file.header().tensors)
    if (!known.contains(entry.name))
      refuse_training(path, entry.name, "this run has no such state");
}

Metadata read_training(const fs::path& path, const std::vector<NamedBuffer>& state,
                       const std::string& model_hash) {
  const SafetensorsFile file(path);
  check_state(path, file, state);
  std::vector<Digest> digests;
  for (const TensorEntry& entry : file.header().tensors)
    for (const NamedBuffer& named : state)
      if (named.name == entry.name) {
        const std::vector<std::byte> bytes = file.read(entry);
        check_finite(path, named, bytes);
        Stream in_order = stream(named.backend);
        device(named.backend).upload(named.buffer->data, bytes.data(), bytes.size(), in_order);
        digests.push_back(digest_of(entry, bytes));
      }
  verify_hash(file, digests);
  Metadata scalars = file.header().metadata;
  if (scalars[kModelHashKey] != model_hash)
    refuse_training(path, "", fmt::format("it belongs to another {}", kModel));
  std::erase_if(scalars, [](const auto& row) { return row.first.starts_with("fjord."); });
  return scalars;
}

}  // namespace

void demand_space(const fs::path& folder, std::uint64_t bytes) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0)
    cannot_write(folder, {errno, std::generic_category()});
  const double free = static_cast<double>(status.f_bavail) * static_cast<double>(status.f_frsize);
  const double needed = 1.2 * static_cast<double>(bytes);
  if (free >= needed) return;
  throw Error(
      ExitCode::io, "disk-full", printable(folder.native()),
      fmt::format("{:.1f} MiB are free, a checkpoint needs {:.1f}", free / 0x1p20, needed / 0x1p20),
      "free some space, or give an --out on another disk");
}

fs::path save_checkpoint(const fs::path& folder, const Checkpoint& checkpoint,
                         const CheckpointName& name) {
  demand(folder, [&](std::error_code& error) { return fs::create_directories(folder, error); });
  sweep(folder);
  demand_space(folder, bytes_of(checkpoint));
  const fs::path final = free_name(folder, name.step);
  const fs::path temporary = fs::path(final) += ".tmp";
  demand(temporary, [&](std::error_code& error) { return fs::create_directory(temporary, error); });
  try {
    write_files(temporary, checkpoint);
    if (::rename(temporary.c_str(), final.c_str()) != 0)
      cannot_write(final, {errno, std::generic_category()});
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  try {
    sync_folder(folder);
    if (name.last) point_link(folder, "last", final);
    if (name.best) point_link(folder, "best", final);
    sync_folder(folder);
  } catch (...) {
    remove_unpointed(folder);
    throw;
  }
  remove_unpointed(folder);
  return final;
}

LoadedCheckpoint load_checkpoint(const fs::path& folder, Parameters& parameters,
                                 const std::vector<NamedBuffer>& state) {
  LoadedCheckpoint loaded;
  loaded.model = load_state_dict(folder / kModel, parameters);
  loaded.scalars = read_training(folder / kTraining, state, loaded.model.hash);
  return loaded;
}

}  // namespace fjord
