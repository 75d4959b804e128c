// Element-wise operations.
#pragma once

#include "kernels/kernel.h"
#include "kernels/norm.h"
#include "kernels/rng.h"

namespace fjord {

/// y = max(x, 0).
inline Kernel<In, Out> relu_forward{"relu_forward"};
/// y, dy -> dx = dy where y > 0.
inline Kernel<In, In, Out> relu_backward{"relu_backward"};
/// a, b -> a + b.
inline Kernel<In, In, Out> add_forward{"add_forward"};
/// x -> y, stored or added: the backward of every sum and copy.
inline Kernel<In, Out> copy_forward{"copy_forward"};

/// x -> act(x): relu6, silu, sigmoid.
inline Kernel<In, Out, Act> activate_forward{"activate_forward"};
/// x, dy -> dx = dy * act'(x).
inline Kernel<In, In, Out, Act> activate_backward{"activate_backward"};

/// Which values of a layer are kept in training: 1 / keep with probability `keep`, else 0. One draw
/// serves `repeats` neighbouring values (all channels of a sample, say).
struct RandomMask {
  double keep = 1;
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  // layers draw apart from each other
  std::int64_t repeats = 1;
};

/// Value i of a random mask in a training step.
FJORD_HD float mask_value(const RandomMask& mask, std::uint32_t step, std::int64_t i) {
  const auto draw = static_cast<std::uint32_t>(i / mask.repeats);
  const RandomWords words = Philox{mask.seed}.draw(Draw::dropout, mask.layer, step, draw / 4);
  const std::uint32_t pair = draw % 2 == 0 ? words[0] : words[1];
  const std::uint32_t other = draw % 2 == 0 ? words[2] : words[3];
  const bool kept = uniform(draw % 4 < 2 ? pair : other) < mask.keep;
  return kept ? static_cast<float>(1.0 / mask.keep) : 0.0f;
}
/// An i64 counter of training steps -> mask. The same bits on every device.
inline Kernel<In, Out, RandomMask> random_mask{"random_mask"};

}  // namespace fjord
