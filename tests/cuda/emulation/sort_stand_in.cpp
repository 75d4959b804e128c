// Stands in for CUB's radix sort behind kernels/cuda/sort.h: one thread sorts, in the stream's
// order. Like CUB it leaves the result in either buffer, and nothing of use in the other one and in
// the temporary memory.
#include <algorithm>
#include <cstring>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/sort.h"

namespace fjord::cuda {

namespace {

__global__ void sort_stand_in(SortBuffers buffers, KeyBits bits, bool to_other) {
  const auto end = buffers.keys + buffers.count;
  const std::uint64_t mask = ((std::uint64_t{1} << (bits.end - bits.begin)) - 1) << bits.begin;
  std::stable_sort(buffers.keys, end,
                   [mask](std::uint64_t a, std::uint64_t b) { return (a & mask) < (b & mask); });
  if (to_other) std::copy(buffers.keys, end, buffers.other);
  const auto bytes = static_cast<std::size_t>(buffers.count) * sizeof(std::uint64_t);
  std::memset(to_other ? buffers.keys : buffers.other, 0xFF, bytes);
  std::memset(buffers.temporary, 0xFF, buffers.temporary_bytes);
}

}  // namespace

std::uint64_t* sort_keys(const SortBuffers& buffers, KeyBits bits, Stream& stream) {
  const bool to_other = (bits.end - bits.begin + 7) / 8 % 2 != 0;  // CUB sorts 8 bits a pass
  launch(sort_stand_in, 1, 1, 0, stream, buffers, bits, to_other);
  return to_other ? buffers.other : buffers.keys;
}

}  // namespace fjord::cuda
