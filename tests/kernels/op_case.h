// The one form of a kernel's test: a case runs on a backend and on the double reference.
//
// How to add a case (see pointwise_cases.cpp for the shortest):
//  1. In a file tests/kernels/<area>_cases.cpp (found by its name) write a function that returns
//     std::vector<OpCase>, and register it: `const AddCases added(my_cases);`.
//  2. A case names its slot (AnyKernel::name), its tensors and how to call the kernel:
//       {.slot = "relu_forward", .what = "odd size",
//        .tensors = {read("x", {2, 3, 5, 7}), write("y", {2, 3, 5, 7})},
//        .run = [](Operands& t, Stream& s) { relu_forward(t.in("x"), t.out("y"), s); }}
//  3. `reduction` is the length of the longest sum behind one output value: the tolerance follows
//     from it (tolerance()). Values are drawn in [-1, 1]; give `values` for anything else.
//  4. What runs by itself: value against the reference, sentinels around every tensor and scratch,
//     outputs poisoned with NaN (Write::store) or prefilled (Write::add), inputs unchanged, equal
//     bits at 1, 2 and 4 threads. The coverage test fails for a slot without a case.
//  5. `features` names the tensors that a GPU keeps in bf16 or f16 (images and their gradients);
//     the others stay as they are. The same case then runs there in f32, bf16 and f16, twice, for
//     the same bits. Inside `run` a tensor's memory may be a GPU's: touch it through kernels alone
//     (Operands::temporary and show() for what lies between two of them).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/kernel.h"

namespace fjord {

/// One tensor of a case. f32 means "the backend's real type": the reference gets f64, and a feature
/// may be 16 bits long.
struct Operand {
  enum class Use : std::uint8_t { read, write, update } use = Use::read;
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  Write mode = Write::store;
  /// Value i; by default uniform in [-1, 1] from a hash of the case, the name and i.
  std::function<double(std::int64_t)> values = {};
};

Operand read(std::string name, Shape shape, std::function<double(std::int64_t)> values = {});
Operand write(std::string name, Shape shape, Write mode = Write::store);
Operand update(std::string name, Shape shape, std::function<double(std::int64_t)> values = {});
Operand typed(Operand operand, DType dtype);

/// Uniform in [low, high], the same for equal arguments; exact in float.
double uniform(std::uint64_t key, std::int64_t i, double low, double high);

/// Where a case runs. `feature` is the type of its features: f32, bf16 or f16.
struct Place {
  Backend backend = Backend::cpu;
  DType feature = DType::f32;
  /// Called before each run: poisons what kernels keep for themselves, such as a workspace.
  void (*prepare)(Stream&) = nullptr;
};

struct OpCase;

/// The values that a case's tensors begin with, by name; of those that are only written, none.
using Values = std::map<std::string, std::vector<double>>;
/// Drawn so that the features' type holds them exactly.
Values drawn(const OpCase& op_case, DType feature);

/// A case's tensors in one place, each between sentinels.
class Operands {
 public:
  Operands(const OpCase& op_case, Place place);
  Operands(const OpCase& op_case, Place place, const Values& values);

  In in(const std::string& name);  // absent when the case has no such tensor
  Out out(const std::string& name);
  InOut inout(const std::string& name);
  /// Scratch full of NaN between sentinels.
  void* scratch(std::size_t bytes);
  /// A tensor between two kernels of a case, full of NaN, of this very type.
  Out temporary(const std::string& name, Shape shape, DType dtype);
  /// After the run the values of tensor `from` become those of `to`, to be compared as its.
  void show(const std::string& from, const std::string& to);
  /// Bytes given to a tensor directly: structs such as StepParams.
  template <class T>
  In data(const std::string& name, const T& value);

  /// Waits for the case's kernels and brings the tensors back. What follows is of then.
  void finish(Stream& stream);
  DType dtype(const std::string& name) const { return tensors_.at(name).host.dtype; }
  std::vector<double> values(const std::string& name) const;
  std::vector<std::byte> bytes(const std::string& name) const;
  /// Names of tensors whose surroundings were written, or that were read only and changed.
  std::vector<std::string> damaged() const;

 private:
  struct Guarded {
    Buffer buffer, host;  // host: the same tensor in `memory`
    Write mode = Write::store;
    std::vector<std::byte> memory, original;  // original: of tensors that are read only
    std::size_t begin = 0;
    DeviceBlock block;  // empty where kernels work in `memory` itself
  };
  Guarded& allocate(const std::string& name, Shape shape, DType dtype);
  void send(Guarded& tensor);

  Place place_;
  std::map<std::string, Guarded> tensors_;
  std::vector<std::pair<std::string, std::string>> shown_;
};

template <class T>
In Operands::data(const std::string& name, const T& value) {
  const Shape shape{1, 1, 1, static_cast<std::int64_t>(sizeof(T))};
  Guarded& tensor = allocate(name, shape, DType::u8);
  *static_cast<T*>(tensor.host.data) = value;
  send(tensor);
  return {&tensor.buffer};
}

struct OpCase {
  std::string slot, what;
  std::int64_t reduction = 1;
  std::vector<Operand> tensors = {};
  /// Names of the tensors that may be bf16 or f16. Without any the case runs in f32 alone.
  std::vector<std::string> features = {};
  std::function<void(Operands&, Stream&)> run = {};
  /// Compare to the reference; off for shapes that would take it minutes (bits are compared still).
  bool compare = true;
  /// How many times a value is rounded to the features' type on its way into an output.
  int roundings = 1;
  /// How much larger the CPU's rounding errors are than those of a plain sum: an algorithm's doing.
  double amplification = 1;
  /// Of factors that the CPU rounds: what the rms of all errors may be, relative to the values' rms
  /// (more where values are few), in place of a bound of each. Products of two roundings have a
  /// longer tail than a sum's.
  double rms_error = 0;
  /// Names of f32 outputs that a kernel computes in the features' type first (filter gradients).
  std::vector<std::string> from_features = {};
};

/// The error allowed to a sum of `reduction` products, relative to the sum of the value's size and
/// the tensor's rms. Rounding errors of a sum grow as a random walk, so with the root of its
/// length; 8 covers the tail over all the values of a tensor. GPU kernels compute in f32 whatever
/// they store: to that a 16-bit output adds half its spacing for each rounding.
double tolerance(DType dtype, std::int64_t reduction, int roundings = 1);

std::vector<OpCase>& op_cases();
struct AddCases {
  explicit AddCases(std::vector<OpCase> (*make)());
};

/// Runs a case on the CPU with 1, 2 and 4 threads; one line a fault, none when it holds.
std::vector<std::string> faults_of(const OpCase& op_case);

/// Runs a case twice in a place that enable_device and the backend's kernels stand ready for.
std::vector<std::string> faults_of(const OpCase& op_case, Place place);

}  // namespace fjord
