// Reading a torch.save file's pickle, and its tensors' places, checked against the storages.
#include "engine/torch_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "engine/safetensors.h"
#include "kernels/error.h"

namespace fjord {

namespace {

using Kind = PickleKind;

constexpr std::uint64_t kMostPickleBytes = 64'000'000;
constexpr std::uint64_t kMostGatheredBytes = 64'000'000;
constexpr std::string_view kAgain = "get the file again, or save the weights as .safetensors";
constexpr std::string_view kSaveState =
    "in Python: torch.save(model.state_dict(), 'weights.pth'), and give that file";

// Where a state_dict stands in the dictionaries that trainers save, the most telling first.
constexpr std::string_view kStateKeys[] = {
    "state_dict", "model_state_dict", "network_weights", "model", "net", "weights"};

[[noreturn]] void refuse(const std::string& file, const std::string& why,
                         std::string_view remedy = kAgain) {
  throw Error(ExitCode::model_file, "torch-file", file, why, remedy);
}

FileType type_of(const std::string& file, std::string_view storage) {
  static const std::map<std::string_view, FileType> types{
      {"FloatStorage", FileType::f32}, {"DoubleStorage", FileType::f64},
      {"HalfStorage", FileType::f16},  {"BFloat16Storage", FileType::bf16},
      {"LongStorage", FileType::i64},  {"IntStorage", FileType::i32},
      {"ShortStorage", FileType::i16}, {"CharStorage", FileType::i8},
      {"ByteStorage", FileType::u8},   {"BoolStorage", FileType::boolean}};
  const auto found = types.find(storage.substr(storage.find('\n') + 1));
  if (found == types.end()) refuse(file, fmt::format("a storage of {}", printable(storage)));
  return found->second;
}

}  // namespace

void TorchReader::run() {
  const std::string head = file_.text(0, std::min<std::uint64_t>(file_.size, 4));
  if (head.starts_with("PK"))
    open_zip();
  else if (head.starts_with("\x80"))
    open_legacy();
  else
    refuse(file_.name, "a tar archive of PyTorch before 0.1.10, which is not read",
           "where you trust the file, in Python: m = torch.load(file, weights_only=False); "
           "torch.save(m, 'weights.pth'), and give that file");
  take_tensors(find_state());
  sort_tensors();
  demand_modest_reads();
}

void TorchReader::open_zip() {
  const std::vector<ZipEntry> entries = read_zip(file_);
  const auto pickle = std::ranges::find_if(
      entries, [](const ZipEntry& entry) { return entry.name.ends_with("/data.pkl"); });
  if (pickle == entries.end())
    refuse(file_.name, "a zip archive without data.pkl: torch.save did not write it");
  root_ = pickle->name.substr(0, pickle->name.size() - 8);
  for (const ZipEntry& entry : entries) {
    if (!entry.name.starts_with(root_)) refuse(file_.name, "a zip archive of several folders");
    if (entry.name == root_ + "constants.pkl" || entry.name.starts_with(root_ + "code/"))
      refuse(file_.name, "a TorchScript archive: a program, not weights alone",
             "in Python: torch.save(torch.jit.load(file).state_dict(), 'weights.pth'), and give "
             "that file");
    if (entry.name.starts_with(root_ + "data/"))
      storages_[entry.name.substr(root_.size() + 5)] = {entry.begin, entry.size, entry.crc};
    if (entry.name == root_ + "byteorder") demand_little(entry);
  }
  if (pickle->size > kMostPickleBytes)
    refuse(file_.name,
           fmt::format("its data.pkl has {} bytes, {} are read", pickle->size, kMostPickleBytes));
  text_.resize(pickle->size);
  read_entry(file_, *pickle, std::as_writable_bytes(std::span(text_)));
  pickle_ = read_pickle(file_.name, text_, pickle->begin);
  if (pickle_.size() != text_.size()) refuse(file_.name, "its data.pkl goes on after its end");
}

void TorchReader::demand_little(const ZipEntry& entry) const {
  std::string order(std::min<std::uint64_t>(entry.size, 16), '\0');
  if (entry.size <= 16) read_entry(file_, entry, std::as_writable_bytes(std::span(order)));
  if (order != "little")
    refuse(file_.name,
           fmt::format("its numbers are in {}-endian order, little is read", printable(order)),
           "save it again on a little-endian machine");
}

// Five pickles (magic number, protocol, system, object, keys), then each storage: number of
// elements, elements.
void TorchReader::open_legacy() {
  // The pickles of a file of weights take a few MB; the tensors behind them need not be read
  // here.
  text_ = file_.text(0, std::min(file_.size, kMostPickleBytes));
  std::size_t at = 0;
  const auto next = [&] {
    Pickle pickle = read_pickle(file_.name, std::string_view(text_).substr(at), at);
    at += pickle.size();
    return pickle;
  };
  const Pickle magic = next();
  if (magic.text(magic.root()) != "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
    refuse(file_.name, "a pickle that torch.save did not write", kSaveState);
  const Pickle protocol = next();
  if (protocol.kind(protocol.root()) != Kind::integer || protocol.integer(protocol.root()) != 1001)
    refuse(file_.name, "of another protocol of torch.save than 1001");
  const Pickle system = next();
  const PickleRef* little = system.find(system.root(), "little_endian");
  if (little == nullptr || system.integer(*little) != 1)
    refuse(file_.name, "its numbers are in big-endian order, little is read",
           "save it again on a little-endian machine");
  pickle_ = next();
  const Pickle keys = next();
  list_storages();
  std::vector<std::string_view> names;
  for (const PickleRef key : keys.items(keys.root())) names.push_back(keys.text(key));
  at = place_storages(names, at);
  for (const auto& [key, storage] : storages_)
    if (storage.begin == 0) refuse(file_.name, "a tensor's storage is missing");
  if (at != file_.size)
    refuse(file_.name, fmt::format("{} bytes are left over at its end", file_.size - at));
}

std::uint64_t TorchReader::place_storages(std::span<const std::string_view> keys,
                                          std::uint64_t at) {
  for (; !keys.empty(); keys = keys.subspan(1)) {
    const auto found = storages_.find(keys[0]);
    if (found == storages_.end()) refuse(file_.name, "a storage that no tensor uses");
    Storage& storage = found->second;
    std::uint64_t count = 0;
    if (file_.size - at < 8) refuse_cut(keys, at);
    file_.read(at, std::as_writable_bytes(std::span(&count, 1)));
    if (count != elements_[found->first])
      refuse(file_.name, fmt::format("a storage has {} elements, its tensors say {}", count,
                                     elements_[found->first]));
    if (storage.bytes > file_.size - at - 8) refuse_cut(keys, at);
    storage.begin = at + 8;
    at = storage.begin + storage.bytes;
  }
  return at;
}

// What the storages of these keys would take shows where the whole file would end.
void TorchReader::refuse_cut(std::span<const std::string_view> keys, std::uint64_t whole) const {
  for (const std::string_view key : keys) {
    const auto found = storages_.find(key);
    if (found == storages_.end()) break;
    if (__builtin_add_overflow(whole, found->second.bytes + 8, &whole)) whole = UINT64_MAX;
    if (whole == UINT64_MAX) break;
  }
  refuse(file_.name, fmt::format("file is incomplete ({} of {} bytes)", file_.size, whole));
}

// A legacy file says how large its storages are only where tensors use them.
void TorchReader::list_storages() {
  for (PickleRef value = 0; value < pickle_.count(); ++value) {
    if (pickle_.kind(value) != Kind::storage) continue;
    const auto [key, type, count] = describe(value);
    storages_[std::string(key)].bytes = count * size_of(type);
    elements_[std::string(key)] = count;
  }
}

TorchReader::Described TorchReader::describe(PickleRef storage) const {
  const std::vector<PickleRef>& items = pickle_.items(storage);
  const bool view = items.size() == 6 && pickle_.kind(items[5]) != Kind::none;
  if (items.size() < 5 || items.size() > 6 || view || pickle_.text(items[0]) != "storage" ||
      pickle_.kind(items[1]) != Kind::name || pickle_.kind(items[2]) != Kind::text ||
      pickle_.kind(items[4]) != Kind::integer || pickle_.integer(items[4]) < 0 ||
      pickle_.integer(items[4]) > std::int64_t{1} << 48)
    refuse(file_.name, "a storage is described in an unknown way");
  return {pickle_.text(items[2]), type_of(file_.name, pickle_.text(items[1])),
          static_cast<std::uint64_t>(pickle_.integer(items[4]))};
}

std::size_t TorchReader::tensors_in(PickleRef dict) const {
  const std::vector<PickleRef>& items = pickle_.items(dict);
  std::size_t count = 0;
  if (pickle_.kind(dict) == Kind::dict)
    for (std::size_t i = 1; i < items.size(); i += 2)
      count += pickle_.kind(items[i]) == Kind::tensor;
  return count;
}

PickleRef TorchReader::find_state() {
  const PickleRef root = pickle_.root();
  for (const std::string_view key : kStateKeys)
    if (const PickleRef* state = pickle_.find(root, key); state && tensors_in(*state) > 0) {
      out_.notes_.push_back(fmt::format("weights taken from '{}' of the file", key));
      return *state;
    }
  if (tensors_in(root) > 0) return root;
  refuse(file_.name,
         fmt::format("it holds no state_dict (looked at the top, and under {})",
                     fmt::join(kStateKeys, ", ")),
         kSaveState);
}

void TorchReader::take_tensors(PickleRef state) {
  const std::vector<PickleRef>& items = pickle_.items(state);
  std::size_t others = 0;
  std::set<std::string_view> names;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (pickle_.kind(items[i]) != Kind::text || pickle_.kind(items[i + 1]) != Kind::tensor) {
      ++others;
      continue;
    }
    const std::string_view name = pickle_.text(items[i]);
    if (name.size() > SafetensorsLimits::name_bytes || !names.insert(name).second)
      refuse(file_.name, fmt::format("tensor '{}' stands twice, or its name is too long",
                                     printable(name.substr(0, 80))));
    if (names.size() > SafetensorsLimits::tensors)
      refuse(file_.name, fmt::format("it has more than {} tensors", SafetensorsLimits::tensors));
    if (name == "n_averaged")
      out_.notes_.push_back("an averaged model: n_averaged left out");
    else
      take_tensor(std::string(name), items[i + 1]);
  }
  if (others > 0)
    out_.notes_.push_back(fmt::format("{} values that are no tensors left out", others));
}

std::vector<std::int64_t> TorchReader::integers(PickleRef value) const {
  std::vector<std::int64_t> numbers;
  for (const PickleRef item : pickle_.items(value)) {
    if (pickle_.kind(item) != Kind::integer) refuse(file_.name, "a shape of no integers");
    numbers.push_back(pickle_.integer(item));
  }
  return numbers;
}

void TorchReader::take_tensor(const std::string& name, PickleRef tensor) {
  const std::vector<PickleRef>& arguments = pickle_.items(tensor);
  if (arguments.size() < 4 || pickle_.kind(arguments[0]) != Kind::storage ||
      pickle_.kind(arguments[1]) != Kind::integer)
    refuse(file_.name, fmt::format("tensor '{}' is described in an unknown way", printable(name)));
  const Described storage = describe(arguments[0]);
  const auto found = storages_.find(storage.key);
  if (found == storages_.end() || found->second.bytes != storage.count * size_of(storage.type))
    refuse(file_.name,
           fmt::format("tensor '{}': its storage '{}' of {} elements is not in the file",
                       printable(name), printable(storage.key), storage.count));
  TensorEntry entry{name, storage.type, integers(arguments[2]), 0, 0};
  TorchFile::Place place{found->second.begin, found->second.bytes, found->second.crc,
                         pickle_.integer(arguments[1]), integers(arguments[3])};
  check_extent(entry, place, storage.count);
  entry.end = static_cast<std::uint64_t>(entry.count()) * size_of(entry.type);
  out_.tensors_.push_back(std::move(entry));
  out_.places_.push_back(std::move(place));
}

// Offset, sizes and strides from outside: the last element reached must lie in the storage, and
// no tensor may have more elements than its storage.
void TorchReader::check_extent(const TensorEntry& tensor, const TorchFile::Place& place,
                               std::uint64_t elements) const {
  if (place.strides.size() != tensor.shape.size() ||
      tensor.shape.size() > SafetensorsLimits::dimensions)
    refuse(file_.name, fmt::format("tensor '{}' has {} sizes and {} strides, at most {} are read",
                                   printable(tensor.name), tensor.shape.size(),
                                   place.strides.size(), SafetensorsLimits::dimensions));
  bool good = place.offset >= 0;
  std::int64_t count = 1, last = place.offset;
  for (std::size_t i = 0; good && i < tensor.shape.size(); ++i) {
    std::int64_t reach = 0;
    good = tensor.shape[i] >= 0 && place.strides[i] >= 0 &&
           !__builtin_mul_overflow(count, tensor.shape[i], &count) &&
           !__builtin_mul_overflow(std::max<std::int64_t>(tensor.shape[i] - 1, 0), place.strides[i],
                                   &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  good = good && static_cast<std::uint64_t>(count) <= elements &&
         (count == 0 || static_cast<std::uint64_t>(last) < elements);
  if (good) return;
  refuse(file_.name, fmt::format("tensor '{}' (offset {}, shape {}, strides {}) reaches beyond its "
                                 "storage of {} elements",
                                 printable(tensor.name), place.offset, shape_text(tensor.shape),
                                 shape_text(place.strides), elements));
}

void TorchReader::sort_tensors() {
  std::vector<std::size_t> order(out_.tensors_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return out_.tensors_[i].name; });
  std::vector<TensorEntry> tensors;
  std::vector<TorchFile::Place> places;
  std::uint64_t at = 0;
  for (const std::size_t i : order) {
    TensorEntry& entry = out_.tensors_[i];
    entry.begin += at, entry.end += at;
    at = entry.end;
    tensors.push_back(std::move(entry));
    places.push_back(std::move(out_.places_[i]));
  }
  out_.tensors_ = std::move(tensors);
  out_.places_ = std::move(places);
}

// A tensor has its storage read for the checksum, and what lies between its elements: thousands of
// views of one large storage would take forever, wide gaps much memory.
void TorchReader::demand_modest_reads() const {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < out_.tensors_.size(); ++i) {
    const TensorEntry& tensor = out_.tensors_[i];
    const TorchFile::Place& place = out_.places_[i];
    bytes += place.bytes;
    const bool gaps = tensor.count() > 0 && place.extent(tensor.shape) * size_of(tensor.type) >
                                                std::max(4 * tensor.bytes(), kMostGatheredBytes);
    if (bytes > 16 * file_.size || gaps)
      refuse(file_.name, "its tensors are small views of large storages",
             "in Python: clone() the tensors of the state_dict before torch.save");
  }
}

}  // namespace fjord
