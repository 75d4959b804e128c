// A loss expression run through the public op: tape, backward, plan with poisoned memory.
#pragma once

#include <string_view>
#include <vector>

#include "engine/loss_expression.h"
#include "tests/golden/recipe.h"

namespace fjord {

/// A label in fjord's memory: u8, or soft in the logits' type.
struct LossLabel {
  Shape shape;
  bool hard = true;
  std::vector<double> values;
};

struct LossRun {
  double value = 0;
  std::vector<double> dlogits;
};

/// On the CPU in f32, on the reference in f64.
LossRun run_loss(const LossExpression& expression, Shape shape, const std::vector<double>& logits,
                 const LossLabel& label, Backend backend);

namespace golden {

/// An entry of golden_losses.inc.
struct LossEntry {
  const char *name, *expression, *logits, *label;
  double value;
  Figures gradient;
};
const std::vector<LossEntry>& loss_entries();

struct LossInput {
  Shape shape;
  std::vector<double> logits;
  LossLabel label;
};
/// The logits "lg", "lb" and labels "tm", "tm2", "tmi", "tb", "tbi", "tl", "ts" of the recipe.
LossInput loss_input(std::string_view logits, std::string_view label);

}  // namespace golden
}  // namespace fjord
