// The functions that code compiled with -fsanitize=thread calls at every access to memory. They are
// the sanitizer's by name only: its library is not linked.
#include <cstdint>

#include "tests/cuda/emulation/watch.h"

using emulation::watch::access;
using emulation::watch::Kind;

extern "C" {

void __tsan_init() { emulation::watch::set_has_hooks(); }

#define EMULATION_HOOKS(bytes)                                        \
  void __tsan_read##bytes(const void* address) {                      \
    access(address, bytes, Kind::read, __builtin_return_address(0));  \
  }                                                                   \
  void __tsan_write##bytes(const void* address) {                     \
    access(address, bytes, Kind::write, __builtin_return_address(0)); \
  }                                                                   \
  void __tsan_unaligned_read##bytes(const void* address) {            \
    access(address, bytes, Kind::read, __builtin_return_address(0));  \
  }                                                                   \
  void __tsan_unaligned_write##bytes(const void* address) {           \
    access(address, bytes, Kind::write, __builtin_return_address(0)); \
  }

EMULATION_HOOKS(1)
EMULATION_HOOKS(2)
EMULATION_HOOKS(4)
EMULATION_HOOKS(8)
EMULATION_HOOKS(16)

void __tsan_read_range(const void* address, unsigned long bytes) {
  access(address, bytes, Kind::read, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, unsigned long bytes) {
  access(address, bytes, Kind::write, __builtin_return_address(0));
}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}

// The host's own atomics in code so compiled: reference counts.
#define EMULATION_ATOMICS(bits)                                                              \
  std::uint##bits##_t __tsan_atomic##bits##_load(const std::uint##bits##_t* p, int) {        \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                             \
  }                                                                                          \
  void __tsan_atomic##bits##_store(std::uint##bits##_t* p, std::uint##bits##_t value, int) { \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                            \
  }                                                                                          \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_add(std::uint##bits##_t* p,                \
                                                      std::uint##bits##_t value, int) {      \
    return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);                                   \
  }

EMULATION_ATOMICS(8)
EMULATION_ATOMICS(32)
EMULATION_ATOMICS(64)

}  // extern "C"
