// The losses by name: the options that each takes and their defaults.
#pragma once

#include "engine/loss_expression.h"

namespace fjord {

/// One word an option may be: what it sets and from which of number, list or word.
struct LossOption {
  std::string_view name;
  double LossTerm::*number = nullptr;
  std::vector<double> LossTerm::*list = nullptr;
  bool LossTerm::*flag = nullptr;
  std::optional<double> LossTerm::*optional = nullptr;
};

struct KnownLoss {
  std::string_view name;
  LossTerm::Kind kind;
  std::vector<LossOption> options;
};

/// In the order of their names.
const std::vector<KnownLoss>& known_losses();

/// A loss with its defaults.
LossTerm fresh_term(LossTerm::Kind kind);

}  // namespace fjord
