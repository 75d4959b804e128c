// The globals that a pickle may name, and what a call of each means to a reader of tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fjord {

enum class PickleName : std::uint8_t {
  type,       // stands for itself, never called: torch.FloatStorage, torch.float32
  dict,       // OrderedDict() or OrderedDict([(key, value), ...])
  set,        // set([...])
  tuple,      // torch.Size((2, 3))
  tensor,     // _rebuild_tensor_v2(storage, offset, sizes, strides, ...)
  parameter,  // _rebuild_parameter(tensor, ...): the tensor
  other,      // any arguments: a value of no use here
};

/// `name` as pickles have it, module and name with a space between: "collections OrderedDict".
std::optional<PickleName> pickle_name(std::string_view name);

/// Throws Error{model_file, "pickle"}: why a name that is not known is refused, and what to do.
/// `byte` is where in the file it stands.
[[noreturn]] void refuse_name(std::string_view file, std::string_view name, std::uint64_t byte);

}  // namespace fjord
