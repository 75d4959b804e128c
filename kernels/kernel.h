// A kernel is a named slot that each backend fills; its type is its signature.
#pragma once

#include <string_view>
#include <typeinfo>

#include "kernels/error.h"
#include "kernels/view.h"

namespace fjord {

/// `reference` is filled by the tests: naive loops in double.
enum class Backend : std::uint8_t { cpu, cuda, reference };

std::string_view to_string(Backend backend);

/// Where kernels run. `native` is the backend's own stream (null on the CPU).
struct Stream {
  Backend backend = Backend::cpu;
  void* native = nullptr;
};

/// A slot of any signature. All of them form a list, so that tests can demand a reference and a
/// case for each.
struct AnyKernel {
  explicit AnyKernel(const char* name) : name(name), next(first) { first = this; }
  AnyKernel(const AnyKernel&) = delete;
  virtual ~AnyKernel() = default;
  virtual bool filled(Backend backend) const = 0;
  /// Copies the CUDA function of the slot of the same name in a library. False when that is another
  /// kind of slot.
  virtual bool take_cuda(const AnyKernel& from) = 0;

  const char* name;
  AnyKernel* next;
  static inline AnyKernel* first = nullptr;
};

[[noreturn]] void throw_empty_slot(const char* name, Backend backend);

/// In is read, Out is written, InOut is both; anything else is an attribute.
template <class... Args>
struct Kernel : AnyKernel {
  using Function = void (*)(Args..., Stream&);
  using AnyKernel::AnyKernel;

  Function cpu = nullptr, cuda = nullptr, reference = nullptr;

  Function of(Backend backend) const {
    return backend == Backend::cpu ? cpu : backend == Backend::cuda ? cuda : reference;
  }
  bool filled(Backend backend) const override { return of(backend) != nullptr; }
  bool take_cuda(const AnyKernel& from) override {
    // By the name of the type: each library has its own copy of it.
    if (typeid(from) != typeid(Kernel)) return false;
    cuda = static_cast<const Kernel&>(from).cuda;
    return true;
  }

  /// Throws "max_pool_forward: no cuda kernel in this build" when the slot is empty.
  void require(Backend backend) const {
    if (!of(backend)) throw_empty_slot(name, backend);
  }
  void operator()(Args... args, Stream& stream) const {
    require(stream.backend);
    of(stream.backend)(args..., stream);
  }
};

}  // namespace fjord
