// Runs op cases: a backend against the reference, sentinels, poison, thread counts.
#include "tests/kernels/op_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "kernels/threads.h"
#include "tests/kernels/buffer_values.h"
#include "tests/kernels/half_types.h"

namespace fjord {

namespace {

constexpr std::size_t kGuard = 256;
// NaN: what is read from it by mistake shows in the result.
constexpr std::byte kSentinel{0xFF};

std::uint64_t hash(const std::string& text) {
  std::uint64_t value = 14695981039346656037u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return value;
}

// std::vector's == compares one byte at a time.
bool same_bytes(const std::vector<std::byte>& a, const void* b) {
  return a.empty() || std::memcmp(a.data(), b, a.size()) == 0;
}

bool real(DType dtype) { return dtype == DType::f32 || dtype == DType::f64 || is_16_bit(dtype); }

// The value that the type holds nearest to this one.
double rounded(double value, DType dtype) {
  return is_16_bit(dtype) ? from_bits(to_bits(value, dtype), dtype) : value;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// NaN in floats, and no plausible value in integers.
void poison(void* data, std::size_t bytes) { std::memset(data, 0xFF, bytes); }

}  // namespace

Operand read(std::string name, Shape shape, std::function<double(std::int64_t)> values) {
  return {.name = std::move(name), .shape = shape, .values = std::move(values)};
}

Operand write(std::string name, Shape shape, Write mode) {
  return {.use = Operand::Use::write, .name = std::move(name), .shape = shape, .mode = mode};
}

Operand update(std::string name, Shape shape, std::function<double(std::int64_t)> values) {
  return {.use = Operand::Use::update,
          .name = std::move(name),
          .shape = shape,
          .values = std::move(values)};
}

Operand typed(Operand operand, DType dtype) {
  operand.dtype = dtype;
  return operand;
}

double uniform(std::uint64_t key, std::int64_t i, double low, double high) {
  // splitmix64; 20 bits, so that the value and low + value are exact in float.
  std::uint64_t z = key + static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  const double unit = static_cast<double>((z ^ (z >> 31)) >> 44) / 1048576.0;
  return static_cast<float>(low + (high - low) * unit);
}

Operands::Guarded& Operands::allocate(const std::string& name, Shape shape, DType dtype) {
  Guarded& tensor = tensors_[name];
  tensor.buffer = tensor.host = {name, shape, dtype, nullptr};
  tensor.memory.assign(tensor.buffer.bytes() + 2 * kGuard, kSentinel);
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.memory.data());
  tensor.begin = kGuard - address % 64;
  tensor.host.data = tensor.buffer.data = tensor.memory.data() + tensor.begin;
  if (place_.backend == Backend::cuda) {
    // The sentinels travel along, so that the tensor begins at a multiple of 256 bytes there too.
    tensor.begin = kGuard;
    tensor.host.data = tensor.memory.data() + kGuard;
    tensor.block = DeviceBlock(place_.backend, tensor.memory.size());
    tensor.buffer.data = tensor.block.data() + kGuard;
  }
  return tensor;
}

void Operands::send(Guarded& tensor) {
  if (!tensor.block.data()) return;
  Stream to = stream(place_.backend);
  device(place_.backend)
      .upload(tensor.block.data(), tensor.memory.data(), tensor.memory.size(), to);
}

Values drawn(const OpCase& op_case, DType feature) {
  Values all;
  for (const Operand& operand : op_case.tensors) {
    if (operand.use == Operand::Use::write && operand.mode == Write::store) continue;
    const DType kept = contains(op_case.features, operand.name) ? feature : operand.dtype;
    const std::uint64_t seed = hash(op_case.slot + " " + op_case.what + operand.name);
    std::vector<double>& values = all[operand.name];
    values.resize(static_cast<std::size_t>(operand.shape.count()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      values[i] =
          rounded(operand.values ? operand.values(place) : uniform(seed, place, -1, 1), kept);
    }
  }
  return all;
}

Operands::Operands(const OpCase& op_case, Place place)
    : Operands(op_case, place, drawn(op_case, place.feature)) {}

Operands::Operands(const OpCase& op_case, Place place, const Values& values) : place_(place) {
  for (const Operand& operand : op_case.tensors) {
    const bool is_feature = contains(op_case.features, operand.name);
    const DType kept = is_feature ? place.feature : operand.dtype;
    const bool twin = operand.dtype == DType::f32 && place.backend == Backend::reference;
    Guarded& tensor = allocate(operand.name, operand.shape, twin ? DType::f64 : kept);
    tensor.mode = operand.mode;
    const auto known = values.find(operand.name);
    if (known == values.end())
      poison(tensor.host.data, tensor.host.bytes());
    else
      set_all(tensor.host, known->second);
    if (operand.use == Operand::Use::read) tensor.original = bytes(operand.name);
    send(tensor);
  }
}

In Operands::in(const std::string& name) {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? In{} : In{&found->second.buffer};
}

Out Operands::out(const std::string& name) {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? Out{} : Out{&found->second.buffer, found->second.mode};
}

InOut Operands::inout(const std::string& name) {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? InOut{} : InOut{&found->second.buffer};
}

void* Operands::scratch(std::size_t bytes) {
  return temporary("scratch", {1, 1, 1, static_cast<std::int64_t>(bytes)}, DType::u8).buffer->data;
}

Out Operands::temporary(const std::string& name, Shape shape, DType dtype) {
  Guarded& tensor = allocate(name, shape, dtype);
  poison(tensor.host.data, tensor.host.bytes());
  send(tensor);
  return {&tensor.buffer};
}

void Operands::show(const std::string& from, const std::string& to) {
  shown_.emplace_back(from, to);
}

void Operands::finish(Stream& stream) {
  if (place_.backend == Backend::cuda)
    for (auto& [name, tensor] : tensors_)
      device(place_.backend)
          .download(tensor.memory.data(), tensor.block.data(), tensor.memory.size(), stream);
  for (const auto& [from, to] : shown_) set_all(tensors_.at(to).host, values(from));
}

std::vector<double> Operands::values(const std::string& name) const {
  return get_all(tensors_.at(name).host);
}

std::vector<std::byte> Operands::bytes(const std::string& name) const {
  const Buffer& buffer = tensors_.at(name).host;
  const auto* begin = static_cast<const std::byte*>(buffer.data);
  return {begin, begin + buffer.bytes()};
}

std::vector<std::string> Operands::damaged() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) {
    const auto& memory = tensor.memory;
    const auto whole = [](std::byte b) { return b == kSentinel; };
    const auto begin = memory.begin() + static_cast<std::ptrdiff_t>(tensor.begin);
    const auto end = begin + static_cast<std::ptrdiff_t>(tensor.buffer.bytes());
    if (!std::all_of(memory.begin(), begin, whole) || !std::all_of(end, memory.end(), whole))
      names.push_back("outside of " + name);
    if (!same_bytes(tensor.original, tensor.host.data)) names.push_back(name);
  }
  return names;
}

double tolerance(DType dtype, std::int64_t reduction, int roundings) {
  if (!real(dtype)) return 0;
  const double rounding = dtype == DType::f64 ? std::numeric_limits<double>::epsilon()
                                              : std::numeric_limits<float>::epsilon();
  const double sum = rounding * (8 + std::sqrt(static_cast<double>(reduction)));
  return is_16_bit(dtype) ? sum + roundings * half_spacing(dtype) : sum;
}

std::vector<OpCase>& op_cases() {
  static std::vector<OpCase> cases;
  return cases;
}

AddCases::AddCases(std::vector<OpCase> (*make)()) {
  for (OpCase& op_case : make()) op_cases().push_back(std::move(op_case));
}

namespace {

double rms_of(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

// Whether a tensor's errors are larger than allowed.
void compare_rms(const OpCase& op_case, const Operand& operand, const Operands& got,
                 const Operands& want, std::vector<std::string>& faults) {
  std::vector<double> errors = got.values(operand.name);
  const std::vector<double> expected = want.values(operand.name);
  for (std::size_t i = 0; i < errors.size(); ++i) errors[i] -= expected[i];
  const double few = 1 + 8 / std::sqrt(static_cast<double>(errors.size()));
  const double error = rms_of(errors), allowed = op_case.rms_error * few * rms_of(expected);
  if (error <= allowed) return;  // written so that a NaN is a fault
  faults.push_back(
      fmt::format("{}: errors of {:.2e} rms (allowed {:.2e})", operand.name, error, allowed));
}

// The first value of a tensor that is further from the reference than allowed.
void compare(const OpCase& op_case, const Operand& operand, DType dtype, double amplification,
             const Operands& got, const Operands& want, std::vector<std::string>& faults) {
  const std::vector<double> all = got.values(operand.name), expected = want.values(operand.name);
  const double rms = rms_of(expected);
  const double allowed = amplification * tolerance(dtype, op_case.reduction, op_case.roundings);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double a = all[i], b = expected[i];
    // Written so that a NaN on either side is a fault.
    if (std::abs(a - b) <= allowed * (std::abs(b) + rms)) continue;
    faults.push_back(fmt::format("{}[{}]: {} instead of {} (allowed {:.1e} of {:.3g})",
                                 operand.name, i, a, b, allowed, std::abs(b) + rms));
    return;
  }
}

// Runs of one case in one place: the first is held to the reference, the others to its bits.
class Runs {
 public:
  Runs(const OpCase& op_case, Place place)
      : case_(op_case), place_(place), begin_(drawn(op_case, place.feature)) {
    if (!case_.compare) return;
    Stream reference{Backend::reference};
    want_.emplace(case_, Place{Backend::reference, place.feature}, begin_);
    case_.run(*want_, reference);
    want_->finish(reference);
  }

  void run(Stream& stream, const std::string& what) {
    Operands got(case_, place_, begin_);
    if (place_.prepare) place_.prepare(stream);
    case_.run(got, stream);
    got.finish(stream);
    for (const std::string& name : got.damaged()) faults.push_back("written: " + name);
    for (const Operand& operand : case_.tensors) {
      if (operand.use == Operand::Use::read) continue;
      auto bits = got.bytes(operand.name);
      const auto [known, is_first] = first_.try_emplace(operand.name, std::move(bits));
      if (!is_first && !same_bytes(known->second, bits.data()))
        faults.push_back(fmt::format("{}: other bits {}", operand.name, what));
      const bool on_cpu = place_.backend == Backend::cpu;
      if (is_first && case_.compare && on_cpu && case_.rms_error > 0) {
        compare_rms(case_, operand, got, *want_, faults);
        continue;
      }
      const bool from_feature = contains(case_.from_features, operand.name);
      if (is_first && case_.compare)
        compare(case_, operand, from_feature ? place_.feature : got.dtype(operand.name),
                on_cpu ? case_.amplification : 1, got, *want_, faults);
    }
  }

  std::vector<std::string> faults;

 private:
  const OpCase& case_;
  Place place_;
  Values begin_;
  std::optional<Operands> want_;
  std::map<std::string, std::vector<std::byte>> first_;
};

}  // namespace

std::vector<std::string> faults_of(const OpCase& op_case) {
  Runs runs(op_case, {});
  Stream cpu{Backend::cpu};
  const int before = threads();
  for (const int count : {1, 2, 4}) {
    set_threads(count);
    runs.run(cpu, fmt::format("at {} threads than at 1", count));
  }
  set_threads(before);
  return runs.faults;
}

std::vector<std::string> faults_of(const OpCase& op_case, Place place) {
  Runs runs(op_case, place);
  Stream own = stream(place.backend);
  runs.run(own, "");
  runs.run(own, "in the second run than in the first");
  return runs.faults;
}

}  // namespace fjord
