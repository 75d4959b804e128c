// Python pickles read as data: a machine that knows plain values, containers and the few names that
// PyTorch's files need, and has nothing that could be called. Everything else is refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fjord {

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  long_integer,  // more than 64 bits: text() has its bytes, lowest first
  real,
  text,
  bytes,
  tuple,
  list,
  set,
  dict,     // items are key, value, key, value ...
  name,     // a known global; text() is "torch FloatStorage"
  storage,  // items are what the file says of it: 'storage', type, key, place, elements
  tensor,   // items are the arguments it was made from: storage, offset, sizes, strides ...
  other,    // harmless and of no use here: a numpy scalar, a path, a device
};

/// Index of a value in its Pickle; values may be shared.
using PickleRef = std::uint32_t;

/// What one read of a pickle gave. Text points into the bytes it was read from.
class Pickle {
 public:
  PickleKind kind(PickleRef value) const { return values_[value].kind; }
  std::int64_t integer(PickleRef value) const { return values_[value].integer; }
  std::string_view text(PickleRef value) const;
  const std::vector<PickleRef>& items(PickleRef value) const;
  /// A dictionary's value under a text key; nullptr if it is not there or not a dictionary.
  const PickleRef* find(PickleRef dict, std::string_view key) const;

  PickleRef root() const { return root_; }
  /// All values, whether the root reaches them or not.
  PickleRef count() const { return static_cast<PickleRef>(values_.size()); }
  /// Bytes read, up to and with STOP: legacy files go on behind it.
  std::size_t size() const { return size_; }

 private:
  friend class PickleMachine;
  struct Value {
    PickleKind kind = PickleKind::none;
    std::uint8_t depth = 0;  // of containers in containers
    std::uint32_t length = 0;
    union {
      std::int64_t integer;
      double real;
      const char* text;
      std::size_t container;  // index into containers_
    };
    Value() : integer(0) {}
  };
  std::vector<Value> values_;
  std::vector<std::vector<PickleRef>> containers_;
  PickleRef root_ = 0;
  std::size_t size_ = 0;
};

/// What a pickle may ask of this reader; more is Error{model_file, "pickle"}. Weights need some 40
/// operations a tensor, and a hostile one costs up to 30 bytes of memory.
struct PickleLimits {
  static constexpr std::size_t operations = 2'000'000, items = 4'000'000, memo = 1'000'000,
                               text = 65'536, depth = 64, long_bytes = 256;
};

/// Reads the pickle at the start of `bytes`; `file` names it in errors, `offset` is where in the
/// file the bytes begin. Throws Error{model_file, "pickle"}.
Pickle read_pickle(std::string_view file, std::string_view bytes, std::uint64_t offset = 0);

}  // namespace fjord
