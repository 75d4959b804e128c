// Losses that change while a network is trained: "bce; 5: 0.5*dice+0.5*bce; 10..14: lovasz".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/loss_expression.h"

namespace fjord {

/// From one loss to the next. Epochs count from 0 here, from 1 in texts.
struct LossSchedule {
  struct Stage {
    int begin = 0;  // the first epoch that this loss has a share in
    int end = 0;    // the first that has this loss alone: its share grows evenly until then
    LossExpression loss;
  };

  LossSchedule() : LossSchedule(LossExpression{}) {}
  /// The same loss in every epoch.
  LossSchedule(LossExpression loss) : stages{{0, 0, std::move(loss)}} {}

  /// The loss of an epoch. Between two stages, share of the new + (1 - share) of the old, with
  /// share = (epoch - begin + 1) / (end - begin + 1); a loss that both have stands once.
  LossExpression at(int epoch) const;
  /// One epoch of each mixture of losses that the schedule has: what it will ask the kernels for.
  std::vector<int> samples() const;

  std::vector<Stage> stages;  // in order, never empty
};

/// Reads losses divided by ';', each but the first after "E:" or "E..F:", the epochs in which it
/// takes over. Throws Error{usage} for epochs that are none or not in order, stages that ignore
/// different labels, and what parse_loss throws.
LossSchedule parse_loss_schedule(std::string_view text);

/// The stages with everything that is not a default written out.
std::string to_string(const LossSchedule& schedule);

}  // namespace fjord
