// The sort by CUB. Capturable: it launches kernels and clears memory, nothing else.
#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/sort.h"

namespace fjord::cuda {

std::uint64_t* sort_keys(const SortBuffers& buffers, KeyBits bits, Stream& stream) {
  cub::DoubleBuffer<std::uint64_t> keys(buffers.keys, buffers.other);
  const auto count = static_cast<std::uint32_t>(buffers.count);
  std::size_t needed = 0;
  check_cuda(cub::DeviceRadixSort::SortKeys(nullptr, needed, keys, count, bits.begin, bits.end,
                                            native(stream)),
             "size of a sort's memory");
  if (needed > buffers.temporary_bytes)
    throw Error(ExitCode::bug, "sort", fmt::format("a sort of {} keys", buffers.count),
                fmt::format("this version of CUB needs {} bytes for it, {} are planned", needed,
                            buffers.temporary_bytes),
                "build with another CUDA toolkit, or use --device cpu");
  check_cuda(cub::DeviceRadixSort::SortKeys(buffers.temporary, needed, keys, count, bits.begin,
                                            bits.end, native(stream)),
             "sort");
  return keys.Current();
}

}  // namespace fjord::cuda
