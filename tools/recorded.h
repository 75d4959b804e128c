// A network recorded and planned for one shape without data: what inspect describes and bench
// times.
#pragma once

#include <memory>
#include <optional>

#include "engine/multiply_adds.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "models/models.h"

namespace fjord {

struct RecordedOptions {
  ModelOptions model;
  Shape image;
  Mode mode = Mode::train;
  Backend backend = Backend::cpu;
  Precision precision = Precision::fp32;
  ConvAlgorithm algorithm = ConvAlgorithm::any;
  FilterMemory filters = FilterMemory::normal;  // of a forward pass
  Activations activations = Activations::kept;  // of a training step
  std::string loss = "0.5*dice+0.5*bce";
  std::uint64_t seed = 0;
};

/// A training step (forward, loss, backward, AdamW) or a forward pass.
class Recorded {
 public:
  explicit Recorded(const RecordedOptions& options);

  /// One step, to its end.
  void run();
  /// Memory of the host to be filled before the first run().
  float* images();
  std::uint8_t* labels();
  /// Arena, weights, gradients and moments.
  std::size_t planned_bytes() const;
  /// The loss of the latest step, or the logits of the latest forward pass, in the device's memory.
  const Buffer* loss_value() const { return loss_.slot; }
  const Buffer* logits() const { return logits_.slot; }
  /// Runs once, step by step: seconds of each, and of the optimizer where there is one.
  std::vector<double> step_seconds();

  Parameters parameters;
  Arena arena;
  std::optional<Tape> tape;
  std::optional<Plan> plan;
  std::optional<Optimizer> optimizer;

 private:
  void send_inputs();
  void enqueue();

  Tensor image_, label_, loss_, scale_, logits_;
  Stream stream_;
  Replay replay_;
  std::vector<float> host_images_;  // where the host can't write into the plan
  std::vector<std::uint8_t> host_labels_;
};

/// Trained values, without the padding between them.
std::int64_t parameter_count(const Parameters& parameters);

}  // namespace fjord
