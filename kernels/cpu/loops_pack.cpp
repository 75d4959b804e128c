// Filters in blocks of outputs.
#include "kernels/cpu/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

// Filters lie far apart in memory, more streams than the processor sees: each asks for what comes
// next in it.
void pack_outputs(const OutputBlock& b) {
  for (std::int64_t first = 0; first < b.width; first += kWidth) {
    const std::int64_t outputs = clipped(b.outputs - first);
    for (std::int64_t c = 0; c < b.channels; c += kWidth) {
      const std::int64_t channels = clipped(b.channels - c);
      Vector square[kWidth] = {};
      for (std::int64_t k = 0; k < outputs; ++k) {
        const float* from = b.filters + (first + k) * b.filter + c;
        square[k] = load_some(from, channels);
        if (channels == kWidth) __builtin_prefetch(from + kWidth);
      }
      transpose(square);
      for (std::int64_t k = 0; k < channels; ++k)
        store(b.packed + (c + k) * b.width + first, square[k]);
    }
  }
}

}  // namespace fjord::FJORD_ISA
