// Flat buffers, initial values, and the order of values in files.
#include "engine/parameters.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/pointwise.h"
#include "kernels/rng.h"

namespace fjord {

namespace {

std::int64_t aligned_count(std::int64_t count) { return (count + 15) / 16 * 16; }

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

// Half the width of a uniform draw, or the standard deviation of a normal one.
double spread(Init init, const Shape& filter) {
  const double window = static_cast<double>(filter.h * filter.w);
  const double fan_in = window * filter.c, fan_out = window * filter.n;
  switch (init) {
    case Init::kaiming_normal_fan_out:
      return std::sqrt(2 / fan_out);
    case Init::kaiming_normal_fan_in:
      return std::sqrt(2 / fan_in);
    case Init::kaiming_uniform_fan_in:
      return std::sqrt(6 / fan_in);
    case Init::xavier_uniform:
      return std::sqrt(6 / (fan_in + fan_out));
    case Init::torch_default:
      return 1 / std::sqrt(fan_in);
    case Init::zeros:
    case Init::ones:
      break;
  }
  return 0;
}

// Two words of the parameter's own stream for every value, so values can be drawn in any order.
template <class T>
void initialize_values(const Parameter& p, double width, std::uint64_t seed, T* values) {
  if (p.init == Init::zeros || p.init == Init::ones) {
    std::fill_n(values, p.count(), p.init == Init::ones ? T{1} : T{0});
    return;
  }
  const std::uint64_t stream = fnv1a(p.name);
  const std::uint64_t purpose = std::uint64_t{static_cast<std::uint32_t>(Draw::parameters)} << 32;
  const bool bell = p.init == Init::kaiming_normal_fan_out || p.init == Init::kaiming_normal_fan_in;
  const Chunks chunks = value_chunks(p.count());
  parallel_for(chunks.pieces(), [&](std::int64_t chunk) {
    const std::int64_t begin = chunks.begin(chunk), end = begin + chunks.length(chunk);
    RandomWords words{};
    for (std::int64_t i = begin; i < end; ++i) {
      if (i % 2 == 0) words = Philox{seed}(stream, purpose | static_cast<std::uint64_t>(i / 2));
      const std::uint32_t a = words[i % 2 * 2], b = words[i % 2 * 2 + 1];
      values[i] = static_cast<T>(bell ? width * normal(a, b) : uniform(a, -width, width));
    }
  });
}
static_assert(kChunkValues % 2 == 0, "a chunk begins with a pair's first value");

// A parameter's values for the host to write, then sent to where it lives; on the host in place.
template <class T, class F>
void write_values(Backend backend, Parameter& p, F write) {
  Device& home = device(backend);
  if (home.is_host()) return write(static_cast<T*>(p.value.data));
  std::vector<T> values(static_cast<std::size_t>(p.count()));
  write(values.data());
  Stream in_order = stream(backend);
  home.upload(p.value.data, values.data(), p.value.bytes(), in_order);
}

template <class T, class F>
void read_values(Backend backend, const Parameter& p, F read) {
  Device& home = device(backend);
  if (home.is_host()) return read(static_cast<const T*>(p.value.data));
  std::vector<T> values(static_cast<std::size_t>(p.count()));
  Stream in_order = stream(backend);
  home.download(values.data(), p.value.data, p.value.bytes(), in_order);
  read(static_cast<const T*>(values.data()));
}

// Of rows x columns, written in order.
template <class From, class To>
void transpose(const From* from, std::int64_t rows, std::int64_t columns, To* to) {
  for (std::int64_t column = 0; column < columns; ++column)
    for (std::int64_t row = 0; row < rows; ++row)
      *to++ = static_cast<To>(from[row * columns + column]);
}

std::int64_t taps_of(const Parameter& p) { return p.shape.h * p.shape.w; }

// A filter's taps lie in files channel by channel, in memory tap by tap.
bool is_reordered(const Parameter& p) { return p.filter && taps_of(p) > 1; }

template <class T, class F>
void to_file_order(const Parameter& p, const T* values, F take) {
  constexpr std::int64_t kPieceValues = 1 << 15;
  const std::int64_t size = p.count() / p.shape.n;
  const std::int64_t together = std::max<std::int64_t>(kPieceValues / size, 1);
  std::vector<float> piece;
  for (std::int64_t k = 0; k < p.shape.n; k += together) {
    const std::int64_t filters = std::min(together, p.shape.n - k);
    piece.resize(static_cast<std::size_t>(filters * size));
    for (float* to = piece.data(); to < piece.data() + piece.size(); to += size, values += size)
      if (is_reordered(p))
        transpose(values, taps_of(p), p.shape.c, to);
      else
        std::copy_n(values, size, to);
    take(std::span<const float>(piece));
  }
}

template <class T>
void from_file_order(const Parameter& p, T* values) {
  if (!is_reordered(p)) return;
  const std::int64_t size = p.count() / p.shape.n;
  std::vector<T> file(static_cast<std::size_t>(size));
  for (std::int64_t k = 0; k < p.shape.n; ++k) {
    T* filter = values + k * size;
    std::copy_n(filter, size, file.data());
    transpose(file.data(), p.shape.c, taps_of(p), filter);
  }
}

Buffer view(const Parameter& p, const Buffer& flat) {
  return {p.name, p.shape, flat.dtype,
          static_cast<std::byte*>(flat.data) + p.offset * size_of(flat.dtype)};
}

}  // namespace

std::vector<std::int64_t> Parameter::file_shape() const {
  if (role == Role::counter) return {};
  if (!filter) return {shape.c};
  if (matrix) return {shape.n, shape.c};
  return {shape.n, shape.c, shape.h, shape.w};
}

Parameter& Parameters::get(const std::string& name, Shape shape, bool filter, Role role,
                           Init init) {
  if (Parameter* known = find(name)) {
    check(known->shape == shape, name, "recorded as {} before and as {} now",
          to_string(known->shape), to_string(shape));
    return *known;
  }
  check(!allocated(), name, "a later recording of the model names a parameter the first did not");
  Parameter& parameter = list_.emplace_back();
  parameter.name = name;
  parameter.shape = shape;
  parameter.filter = filter;
  parameter.role = role;
  parameter.init = init;
  by_name_[name] = &parameter;
  return parameter;
}

Parameter* Parameters::find(std::string_view name) {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

void Parameters::allocate(Backend backend) {
  invariant(!allocated(), "Parameters", "allocated twice");
  backend_ = backend;
  std::int64_t weight = 0, statistic = 0, counter = 0;
  for (auto p = list_.rbegin(); p != list_.rend(); ++p) {
    auto& end = p->role == Role::weight ? weight : p->role == Role::statistic ? statistic : counter;
    p->offset = end;
    end += aligned_count(p->count());
  }
  weight_count_ = weight;
  auto flat = [backend](DeviceBlock& memory, const char* name, std::int64_t count, DType type) {
    memory = DeviceBlock(
        backend, static_cast<std::size_t>(std::max<std::int64_t>(count, 1)) * size_of(type));
    return Buffer{name, {1, 1, 1, count}, type, memory.data()};
  };
  weights = flat(weight_memory_, "weights", weight, dtype);
  gradients = flat(gradient_memory_, "gradients", weight, dtype);
  statistics = flat(statistic_memory_, "statistics", statistic, dtype);
  counters = flat(counter_memory_, "counters", counter, DType::i64);
  for (Parameter& p : list_) {
    const Buffer& home = p.role == Role::weight      ? weights
                         : p.role == Role::statistic ? statistics
                                                     : counters;
    p.value = view(p, home);
    if (p.role == Role::weight) p.gradient = view(p, gradients);
  }
}

void Parameters::make_shadow(DType type) {
  invariant(allocated() && dtype == DType::f32 && size_of(type) == 2, "Parameters",
            "a shadow is of f32 weights, in 16 bits");
  invariant(!shadow.data || shadow.dtype == type, "Parameters", "one type of shadow at a time");
  if (shadow.data) return;
  shadow_memory_ = DeviceBlock(
      backend_, static_cast<std::size_t>(std::max<std::int64_t>(weight_count_, 1)) * size_of(type));
  shadow = {"shadow", weights.shape, type, shadow_memory_.data()};
  for (Parameter& p : list_)
    if (p.role == Role::weight) p.shadow = view(p, shadow);
  shadow_stale_ = true;
}

void Parameters::refresh_shadow(Stream& stream) {
  if (!shadow.data || !shadow_stale_.exchange(false)) return;
  copy_forward(In{&weights}, Out{&shadow}, stream);
}

void Parameters::initialize(std::uint64_t seed) {
  for (Parameter& p : list_) initialize(p, seed);
}

void Parameters::initialize(Parameter& p, std::uint64_t seed) {
  // PyTorch draws a convolution's bias as wide as its filter.
  const Parameter* filter =
      p.name.ends_with("bias") ? find(p.name.substr(0, p.name.size() - 4) + "weight") : nullptr;
  const double width = spread(p.init, filter && filter->filter ? filter->shape : p.shape);
  if (p.role == Role::counter)
    set_count(p, 0);
  else if (dtype == DType::f64)
    write_values<double>(backend_, p, [&](double* to) { initialize_values(p, width, seed, to); });
  else
    write_values<float>(backend_, p, [&](float* to) { initialize_values(p, width, seed, to); });
  changed_by_host();
}

std::size_t Parameters::bytes() const {
  return weights.bytes() + statistics.bytes() + (shadow.data ? shadow.bytes() : 0);
}

std::int64_t Parameters::count(const Parameter& p) const {
  invariant(p.role == Role::counter, p.name, "it is no counter");
  std::int64_t count = 0;
  read_values<std::int64_t>(backend_, p, [&](const std::int64_t* from) { count = *from; });
  return count;
}

void Parameters::set_count(Parameter& p, std::int64_t count) {
  invariant(p.role == Role::counter, p.name, "it is no counter");
  write_values<std::int64_t>(backend_, p, [&](std::int64_t* to) { *to = count; });
}

void Parameters::file_values(const Parameter& p,
                             const std::function<void(std::span<const float>)>& take) const {
  invariant(p.role != Role::counter, p.name, "a counter has no real values");
  if (dtype == DType::f64)
    read_values<double>(backend_, p, [&](const double* from) { to_file_order(p, from, take); });
  else
    read_values<float>(backend_, p, [&](const float* from) { to_file_order(p, from, take); });
}

std::vector<float> Parameters::file_values(const Parameter& p) const {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(p.count()));
  file_values(p, [&](std::span<const float> filter) {
    values.insert(values.end(), filter.begin(), filter.end());
  });
  return values;
}

void Parameters::read_file_values(Parameter& p, const std::function<void(std::span<float>)>& read) {
  invariant(p.role != Role::counter, p.name, "a counter has no real values");
  const auto count = static_cast<std::size_t>(p.count());
  if (dtype == DType::f64)
    write_values<double>(backend_, p, [&](double* to) {
      std::vector<float> values(count);
      read(values);
      std::ranges::copy(values, to);
      from_file_order(p, to);
    });
  else
    write_values<float>(backend_, p, [&](float* to) {
      read({to, count});
      from_file_order(p, to);
    });
  changed_by_host();
}

void Parameters::set_file_values(Parameter& p, const std::vector<float>& values) {
  check(static_cast<std::int64_t>(values.size()) == p.count(), p.name, "{} values given for {}",
        values.size(), to_string(p.shape));
  read_file_values(p, [&](std::span<float> to) { std::ranges::copy(values, to.data()); });
}

}  // namespace fjord
