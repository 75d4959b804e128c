// The one sort of the CUDA backend: CUB's radix sort behind a function that the tests stand in for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel.h"

namespace fjord::cuda {

/// Bits [begin, end) of a key.
struct KeyBits {
  int begin, end;
};

/// Two buffers of `count` keys (below 2^32), and memory for the sort itself.
struct SortBuffers {
  std::uint64_t *keys, *other;
  std::int64_t count;
  void* temporary;
  std::size_t temporary_bytes;
};

/// Sorts `keys` by these bits, ascending and stable; returns which of the two buffers has the
/// result. The other one's contents are lost. Throws Error when `temporary` is too small.
std::uint64_t* sort_keys(const SortBuffers& buffers, KeyBits bits, Stream& stream);

}  // namespace fjord::cuda
