// Reading and writing parameters; what makes a tensor unfit for either.
#include "engine/state_dict.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <numeric>
#include <set>

#include "engine/value_check.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

constexpr std::string_view kPrefixes[] = {"module.", "model.", "_orig_mod.", "state_dict.", "net."};
constexpr std::string_view kReadRemedy = "use another checkpoint or train it again";
constexpr std::string_view kSaveRemedy =
    "lower --lr, or train with --check to find the step that made it";

std::string place_of(std::string_view file, std::string_view tensor) {
  return fmt::format("{}, tensor '{}'", file, printable(tensor));
}

void check_type(const TensorFile& file, const Assignment& a) {
  const bool counter = a.parameter->role == Role::counter;
  if (counter ? a.tensor->type == FileType::i64 : is_float(a.tensor->type)) return;
  throw Error(ExitCode::model_file, "dtype", place_of(file.name(), a.tensor->name),
              fmt::format("its type is {}, expected {}", name_of(a.tensor->type),
                          counter ? "I64" : "F32, F64, F16 or BF16"),
              "save it in that type");
}

void check_values(const std::string& file, const Assignment& a, std::span<const float> values) {
  ValueCheck check(*a.parameter);
  check.add(values);
  check.refuse_bad(place_of(file, a.tensor->name), kReadRemedy);
}

// Fills the parameter from the tensor's bytes, which `file_values` holds, where they have to be
// converted.
void fill(const std::string& file, const Assignment& a, const std::vector<float>& file_values,
          std::span<const std::byte> bytes, Parameters& parameters) {
  if (a.parameter->role == Role::counter) {
    std::int64_t count = 0;
    std::memcpy(&count, bytes.data(), sizeof count);
    if (count < 0)
      throw Error(ExitCode::numeric, "values", place_of(file, a.tensor->name),
                  fmt::format("a count of {}", count), kReadRemedy);
    parameters.set_count(*a.parameter, count);
    return;
  }
  std::vector<float> changed;
  if (a.tensor->type != FileType::f32) changed = to_floats(a.tensor->type, bytes);
  if (a.adapt) changed = a.adapt(changed.empty() ? file_values : changed);
  const std::vector<float>& values = changed.empty() ? file_values : changed;
  check_values(file, a, values);
  parameters.set_file_values(*a.parameter, values);
}

Digest read_in_place(const TensorFile& file, const Assignment& a, Parameters& parameters) {
  Digest digest;
  parameters.read_file_values(*a.parameter, [&](std::span<float> values) {
    const auto bytes = std::as_writable_bytes(values);
    file.read(*a.tensor, bytes);
    check_values(file.name(), a, values);
    digest = digest_of(*a.tensor, bytes);
  });
  return digest;
}

Digest read_converted(const TensorFile& file, const TensorEntry& tensor, const Assignment* a,
                      Parameters& parameters, std::vector<float>& values) {
  values.resize((tensor.bytes() + sizeof(float) - 1) / sizeof(float));
  const auto bytes = std::as_writable_bytes(std::span(values)).first(tensor.bytes());
  file.read(tensor, bytes);
  if (a != nullptr) fill(file.name(), *a, values, bytes, parameters);
  return digest_of(tensor, bytes);
}

bool fits_in_place(const Assignment& a) {
  return a.parameter->role != Role::counter && a.tensor->type == FileType::f32 && !a.adapt;
}

using Use = std::map<const TensorEntry*, const Assignment*>;

// Waking a thread costs more than reading a megabyte.
std::int64_t readers_of(const std::vector<TensorEntry>& tensors) {
  std::uint64_t bytes = 0;
  for (const TensorEntry& tensor : tensors) bytes += tensor.bytes();
  return std::min<std::int64_t>(threads(), 1 + static_cast<std::int64_t>(bytes >> 20));
}

// Reads tensors, the largest first, shared out over the threads; the first failure by name wins.
// What nobody uses is read only for the file's hash, where it has one.
std::vector<Digest> read_all(const TensorFile& file, const Use& use, Parameters& parameters) {
  const std::vector<TensorEntry>& tensors = file.tensors();
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!use.empty() && !file.metadata().contains(std::string(kHashKey)))
    std::erase_if(order, [&](std::size_t i) { return !use.contains(&tensors[i]); });
  std::ranges::stable_sort(order, std::greater<>(), [&](auto i) { return tensors[i].bytes(); });
  std::vector<Digest> digests(tensors.size());
  std::vector<std::exception_ptr> failures(tensors.size());
  std::atomic<std::size_t> next = 0;
  parallel_for(readers_of(tensors), [&](std::int64_t) {
    std::vector<float> values;
    for (std::size_t at = next++; at < order.size(); at = next++) try {
        const TensorEntry& tensor = tensors[order[at]];
        const auto found = use.find(&tensor);
        const Assignment* a = found == use.end() ? nullptr : found->second;
        digests[order[at]] = a && fits_in_place(*a)
                                 ? read_in_place(file, *a, parameters)
                                 : read_converted(file, tensor, a, parameters, values);
      } catch (...) {
        failures[order[at]] = std::current_exception();
      }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  return digests;
}

void note_conversions(const std::vector<Assignment>& assignments, Loaded& loaded) {
  std::map<std::string_view, int> converted;
  for (const Assignment& a : assignments)
    if (is_float(a.tensor->type) && a.tensor->type != FileType::f32)
      ++converted[name_of(a.tensor->type)];
  for (const auto& [type, count] : converted)
    loaded.notes.push_back(fmt::format("{} tensors converted from {} to F32", count, type));
}

}  // namespace

std::string first_ten(const std::vector<std::string>& names) {
  const std::size_t shown = std::min<std::size_t>(names.size(), 10);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<long>(shown), ", "));
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

std::map<std::string, const TensorEntry*> without_prefixes(
    const TensorFile& file, const std::function<bool(const std::string&)>& known,
    std::vector<std::string>& notes) {
  std::map<std::string, const TensorEntry*> stripped;
  std::map<std::string_view, int> counts;
  for (const TensorEntry& entry : file.tensors()) {
    std::string name = entry.name;
    std::set<std::string_view> taken;
    while (!known(name)) {
      const auto prefix = std::ranges::find_if(
          kPrefixes, [&](auto one) { return name.starts_with(one) && !taken.contains(one); });
      if (prefix == std::end(kPrefixes)) break;
      taken.insert(*prefix);
      name.erase(0, prefix->size());
    }
    // A name that no stripping makes known stays as it is, to be reported as the file has it.
    if (!known(name))
      name = entry.name;
    else
      for (const std::string_view prefix : taken) ++counts[prefix];
    if (!stripped.emplace(name, &entry).second)
      throw Error(
          ExitCode::model_file, "state-dict", place_of(file.name(), entry.name),
          fmt::format("without its prefix it is '{}', which the file has as well", printable(name)),
          "save one model to a file");
  }
  for (const auto& [prefix, count] : counts)
    notes.push_back(fmt::format("prefix '{}' taken off {} tensor names", prefix, count));
  return stripped;
}

void Mismatch::add_reshaped(const Parameter& parameter, const TensorEntry& tensor) {
  reshaped.push_back(fmt::format("{}: file {}, model {}", parameter.name, shape_text(tensor.shape),
                                 shape_text(parameter.file_shape())));
}

void refuse_mismatch(const TensorFile& file, const Mismatch& mismatch) {
  std::vector<std::string> parts;
  const auto add = [&parts](const std::vector<std::string>& names, std::string_view what) {
    if (!names.empty())
      parts.push_back(fmt::format("{} {} ({})", names.size(), what, first_ten(names)));
  };
  add(mismatch.missing, "missing");
  add(mismatch.extra, "unexpected");
  add(mismatch.reshaped, "of another shape");
  if (parts.empty()) return;
  throw Error(
      ExitCode::model_file, "state-dict", file.name(),
      fmt::format("its tensors are not those of {}: {}", mismatch.of, fmt::join(parts, "; ")),
      mismatch.remedy);
}

Loaded assign(const TensorFile& file, const std::vector<Assignment>& assignments,
              Parameters& parameters) {
  Use use;
  for (const Assignment& a : assignments) {
    check_type(file, a);
    use[a.tensor] = &a;
  }
  Loaded loaded{file.metadata(), "", {}};
  const std::vector<Digest> digests = read_all(file, use, parameters);
  verify_hash(file, digests);
  loaded.hash = combined_hash(digests);
  note_conversions(assignments, loaded);
  return loaded;
}

std::string verified_hash(const TensorFile& file) {
  Parameters none;
  const std::vector<Digest> digests = read_all(file, {}, none);
  verify_hash(file, digests);
  return combined_hash(digests);
}

Loaded load_state_dict(const std::filesystem::path& path, Parameters& parameters,
                       const Remedy& remedy) {
  const auto opened = open_tensors(path);
  const TensorFile& file = *opened;
  std::vector<std::string> notes = file.notes();
  auto tensors = without_prefixes(
      file, [&](const std::string& name) { return parameters.find(name) != nullptr; }, notes);
  Mismatch mismatch;
  std::vector<Assignment> assignments;
  for (Parameter& parameter : parameters.all()) {
    if (parameter.training_only) continue;
    const auto found = tensors.find(parameter.name);
    if (found == tensors.end()) {
      if (parameter.role == Role::counter)
        parameters.set_count(parameter, 0);
      else
        mismatch.missing.push_back(parameter.name);
      continue;
    }
    if (found->second->shape != parameter.file_shape())
      mismatch.add_reshaped(parameter, *found->second);
    assignments.push_back({found->second, &parameter, {}});
    tensors.erase(found);
  }
  for (const auto& [name, entry] : tensors) mismatch.extra.push_back(printable(name));
  if (mismatch.count() > 0 && remedy) mismatch.remedy = remedy(file, mismatch.count());
  refuse_mismatch(file, mismatch);
  Loaded loaded = assign(file, assignments, parameters);
  loaded.notes.insert(loaded.notes.begin(), notes.begin(), notes.end());
  return loaded;
}

std::vector<TensorSource> tensor_sources(const Parameters& parameters, const std::string& file) {
  std::vector<TensorSource> sources;
  for (const Parameter& p : parameters.all()) {
    if (p.training_only) continue;
    if (p.role == Role::counter)
      sources.push_back({p.name, FileType::i64, {}, [&parameters, &p](const Sink& sink) {
                           const std::int64_t count = parameters.count(p);
                           sink(std::as_bytes(std::span(&count, 1)));
                         }});
    else
      sources.push_back(
          {p.name, FileType::f32, p.file_shape(), [&parameters, &p, file](const Sink& sink) {
             ValueCheck check(p);
             parameters.file_values(p, [&](std::span<const float> values) {
               check.add(values);
               sink(std::as_bytes(values));
             });
             check.refuse_bad(place_of(file, p.name), kSaveRemedy);
           }});
  }
  return sources;
}

std::string save_state_dict(const std::filesystem::path& path, const Parameters& parameters,
                            const Metadata& metadata) {
  Metadata with_format = metadata;
  with_format["format"] = "pt";  // what readers of PyTorch's files look for
  return save_safetensors(path, tensor_sources(parameters, printable(path.native())),
                          {.metadata = with_format});
}

std::string state_hash(const Parameters& parameters) {
  return hash_of(tensor_sources(parameters, "the model"));
}

}  // namespace fjord
