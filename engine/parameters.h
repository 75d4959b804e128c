// A model's state: flat buffers of weights, gradients and running statistics under SMP's names.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kept.h"
#include "kernels/device.h"

namespace fjord {

/// How a fresh parameter is drawn; fans are those of the K x R x S x C filter.
enum class Init : std::uint8_t {
  zeros,
  ones,
  kaiming_normal_fan_out,  // N(0, 2 / fan_out): ResNet encoders
  kaiming_normal_fan_in,   // N(0, 2 / fan_in): depthwise filters of timm's encoders
  kaiming_uniform_fan_in,  // U(+-sqrt(6 / fan_in)): SMP decoders
  xavier_uniform,          // U(+-sqrt(6 / (fan_in + fan_out))): SMP heads
  torch_default,           // U(+-1 / sqrt(fan_in)): a first convolution of other than 3 channels
};

/// `weight`s are trained; `statistic`s are BN's running mean and variance (f32); `counter`s are
/// num_batches_tracked (i64, one value).
enum class Role : std::uint8_t { weight, statistic, counter };

struct Parameter {
  std::string name;     // SMP's state_dict key
  Shape shape;          // filters K x R x S x C, vectors 1 x 1 x 1 x C
  bool filter = false;  // four dimensions in files (K, C, R, S); vectors have one, counters none
  bool matrix = false;  // a filter of 1 x 1 that has two dimensions in files (K, C)
  Role role = Role::weight;
  Init init = Init::zeros;
  bool training_only = false;  // in no model file
  bool trained = false;        // some recorded backward pass writes its gradient
  double momentum = 0;         // of a statistic: its step to each training batch's; 0: none is made
  std::int64_t offset = 0;     // elements from the start of its role's flat buffer
  Buffer value, gradient;      // views into the flat buffers, bound by allocate()
  Buffer shadow;               // the value in 16 bits, where a plan asked for it (make_shadow)

  std::int64_t count() const { return shape.count(); }
  /// The shape in files: PyTorch's order.
  std::vector<std::int64_t> file_shape() const;
};

/// Created while a model is recorded for the first time, shared by every later recording.
class Parameters {
 public:
  explicit Parameters(DType dtype = DType::f32) : dtype(dtype) {}
  Parameters(const Parameters&) = delete;

  /// The parameter of that name, created on first use. A second use must agree on the shape.
  Parameter& get(const std::string& name, Shape shape, bool filter, Role role, Init init);
  Parameter* find(std::string_view name);  // null when there is none

  /// Lays the flat buffers out in the order of creation reversed (roughly that of the backward
  /// pass), each parameter at a multiple of 64 bytes, in the memory of the backend's device. Called
  /// once, after the first recording.
  void allocate(Backend backend = Backend::cpu);
  /// Draws every value by its Init: Philox keyed by seed and name, so that no other parameter
  /// and no thread count changes it.
  void initialize(std::uint64_t seed);
  void initialize(Parameter& parameter, std::uint64_t seed);
  bool allocated() const { return weights.data != nullptr; }

  /// In the order of creation, which is that of SMP's state_dict.
  std::deque<Parameter>& all() { return list_; }
  const std::deque<Parameter>& all() const { return list_; }
  std::int64_t weight_count() const { return weight_count_; }  // alignment between them included
  std::size_t bytes() const;  // of weights, statistics and the shadow

  /// A parameter's values as files have them: f32, filters in PyTorch's order (K, C, R, S). Not of
  /// counters. `take` is given them a few filters at a time. Setting throws Error{usage} for
  /// another number of values. Any thread may call these for a parameter of its own.
  std::vector<float> file_values(const Parameter& parameter) const;
  void file_values(const Parameter& parameter,
                   const std::function<void(std::span<const float>)>& take) const;
  void set_file_values(Parameter& parameter, const std::vector<float>& values);
  /// Has `read` write the values as files have them to where they stay: loading copies nothing.
  void read_file_values(Parameter& parameter, const std::function<void(std::span<float>)>& read);
  /// The value of a counter.
  std::int64_t count(const Parameter& counter) const;
  void set_count(Parameter& counter, std::int64_t count);

  /// Keeps a copy of all weights in a 16-bit type, which filters are read from. A second call must
  /// ask for the same type.
  void make_shadow(DType dtype);
  /// To be called by who wrote weights past set_file_values.
  void changed_by_host() {
    shadow_stale_ = true;
    changed();
  }
  /// To be called by who has kernels write weights or statistics, before or after: what follows
  /// from them is made again for the next plan that is bound.
  void changed() { ++version_; }
  std::uint64_t version() const { return version_; }
  /// What inference keeps; plans make it.
  KeptStore& kept() { return kept_; }
  /// Brings the copy up to date with weights that were set by the host; the optimizer does so for
  /// those it writes.
  void refresh_shadow(Stream& stream);

  const DType dtype;  // of weights, gradients and statistics: f32, or f64 in the tests
  Backend backend() const { return backend_; }
  Buffer weights, gradients;  // flat, weight_count() values each
  Buffer shadow;              // likewise, absent (no data) without make_shadow
  Buffer statistics;          // flat
  Buffer counters;            // flat, i64

 private:
  std::deque<Parameter> list_;
  std::map<std::string, Parameter*, std::less<>> by_name_;
  std::int64_t weight_count_ = 0;
  Backend backend_ = Backend::cpu;
  std::atomic<bool> shadow_stale_ = false;
  std::atomic<std::uint64_t> version_ = 1;
  KeptStore kept_;
  DeviceBlock weight_memory_, gradient_memory_, statistic_memory_, counter_memory_, shadow_memory_;
};

}  // namespace fjord
