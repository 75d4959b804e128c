// AdamW and SGD over the flat buffers of a model's parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/arena.h"
#include "engine/parameters.h"
#include "kernels/kernel.h"
#include "kernels/optimizer.h"

namespace fjord {

enum class OptimizerKind : std::uint8_t { adamw, sgd };

/// What one parameter is trained with.
struct ParameterGroup {
  double lr_factor = 1, weight_decay = 0;
};

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adamw;
  double weight_decay = 1e-3;
  AdamW adamw;
  Sgd sgd;
  double clip_norm = 0;  // of all gradients together; 0 is off
  /// Groups (no decay for norms, another rate for the encoder); absent: `weight_decay` for all.
  std::function<ParameterGroup(const Parameter&)> group;
};

/// Updates every parameter that a recorded backward pass writes a gradient for; the others stay.
class Optimizer {
 public:
  Optimizer(Parameters& parameters, OptimizerOptions options, Backend backend = Backend::cpu);

  struct Step {
    double lr = 0;
    double gradient_scale = 1;          // multiplied into the gradients (accumulation)
    const Buffer* gradients = nullptr;  // absent: the parameters' own
  };
  /// The l2 norm of all gradients, scaled and not yet clipped.
  double gradient_norm(const Step& step);
  /// One update. `norm` is what gradient_norm gave.
  void update(const Step& step, double norm);

  /// Updates made so far: Adam's bias correction counts them. Part of a checkpoint.
  std::int64_t steps = 0;
  /// Flat moments, for checkpoints; named "moment1", "moment2" or "velocity".
  std::vector<Buffer>& state() { return state_; }
  std::size_t bytes() const;
  const std::vector<Segment>& segments() const { return segments_; }

 private:
  Parameters& parameters_;
  const OptimizerOptions options_;
  Stream stream_;
  std::vector<Segment> segments_;
  std::vector<Buffer> state_;
  Arena state_memory_[2];
};

}  // namespace fjord
