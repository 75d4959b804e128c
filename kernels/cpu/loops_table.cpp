// The table of one instruction set's loops.
#include "kernels/cpu/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

extern const Loops table;
const Loops table = {
    .width = kWidth,
    .relu = relu,
    .relu_backward = relu_backward,
    .add = add,
    .copy = copy,
    .activate = activate,
    .activate_backward = activate_backward,
    .sum_of_squares = sum_of_squares,
    .channel_scale = channel_scale,
    .channel_sums = channel_sums,
    .channel_products = channel_products,
    .channel_deviations = channel_deviations,
    .norm_apply = norm_apply,
    .norm_backward_sums = norm_backward_sums,
    .norm_backward_apply = norm_backward_apply,
    .scale_backward = scale_backward,
    .max_pool = max_pool,
    .max_pool_backward = max_pool_backward,
    .few_outputs = few_outputs,
    .few_outputs_gradient = few_outputs_gradient,
    .depthwise = depthwise,
    .depthwise_gradient = depthwise_gradient,
    .pack_outputs = pack_outputs,
    .adamw = adamw,
    .sgd = sgd,
    .sgd_momentum = sgd_momentum,
    .ema = ema,
};

}  // namespace fjord::FJORD_ISA
