// The table of one instruction set's Winograd loops.
#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

extern const WinogradLoops winograd_table;
const WinogradLoops winograd_table = {
    .width = kWidth,
    .packed = kPacked,
    .wide_rows = kWideRows,
    .narrow_rows = kNarrowRows,
    .input = winograd_input,
    .gradient = winograd_gradient,
    .output = winograd_output,
    .filter = winograd_filter,
    .filter_taps = winograd_filter_taps,
    .filter_of_taps = winograd_filter_of_taps,
    .filter_gradient = winograd_filter_gradient,
    .multiply = winograd_multiply,
    .accumulate = winograd_accumulate,
    .fence = winograd_fence,
};

}  // namespace fjord::FJORD_ISA
