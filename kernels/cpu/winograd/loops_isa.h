// Declarations in the namespace of the instruction set that the loop files are compiled for.
// Included by them alone.
#pragma once

#include "kernels/cpu/winograd/loops.h"

namespace fjord::FJORD_ISA {

void winograd_input(const Patch&, const PixelPoints&, std::int64_t tile);
void winograd_gradient(const Patch&, const PixelPoints&, std::int64_t tile);
void winograd_output(const PixelPoints& products, std::int64_t slot, const OutputTile&);
void winograd_filter(const FilterBlock&);
void winograd_filter_taps(const FilterBlock&);
void winograd_filter_of_taps(const float* taps, const FilterBlock&);
void winograd_filter_gradient(const FilterSums&, const FilterTarget&);
void winograd_fence();
void winograd_multiply(const PointProduct&);
void winograd_accumulate(std::int64_t slots, int vectors, const float* gradients,
                         const float* pixels, float* sums, bool first);

}  // namespace fjord::FJORD_ISA
