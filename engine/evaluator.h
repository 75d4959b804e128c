// Evaluating a model: logits of images, scores of a split.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/batch_source.h"
#include "engine/loss_expression.h"
#include "engine/metrics.h"
#include "engine/model.h"
#include "engine/plan.h"

namespace fjord {

/// Sums over one pass of a split.
struct Scores {
  ConfusionMatrix confusion;
  double loss = 0;  // per batch, weighted by images
  std::int64_t images = 0;
};

/// Evaluation plans, one for each image size, batch size and loss met; the latest `kPlans` are
/// kept.
class Evaluator {
 public:
  /// The parameters are allocated; they and the arena must outlive the evaluator. The arena may be
  /// shared with a training plan. `filters`: what is held of them between runs, beside the
  /// parameters, for plans of all sizes together.
  Evaluator(Model model, Parameters& parameters, Arena& arena, Backend backend, PlanOptions plan,
            Precision precision = Precision::fp32, ConvAlgorithm algorithm = ConvAlgorithm::any,
            FilterMemory filters = FilterMemory::normal);

  /// Logits of n x h x w x bands values: n x h x w x classes, valid until any plan of the arena is
  /// run or made.
  const float* predict(Shape images, const float* values);
  /// Passes over a split, in batches of at most `batch`: confusion matrix and, when an expression
  /// is given, loss. `classes` are the channels of the logits. Throws Error{numeric} for NaN.
  Scores score(BatchSource& source, Shape batch, int classes, double threshold,
               const LossExpression* loss);
  /// Of the plan of these images, made when there is none yet: Plan::report, bytes of the arena.
  std::string report(Shape images);
  std::size_t arena_bytes(Shape images);
  /// What scoring these images takes of the arena, and keeps beside it; nothing is taken.
  struct Needs {
    std::size_t arena_bytes = 0, kept_bytes = 0;
  };
  Needs needs(Shape images, const LossExpression& loss) const;

 private:
  struct Recorded;
  TapeOptions options() const;
  Recorded& recorded(Shape images, const LossExpression* loss);
  void run(Recorded& recorded, const float* images);
  Buffer at_device(const std::uint8_t* labels, Shape shape);

  static constexpr std::size_t kPlans = 4;
  const Model model_;
  Parameters& parameters_;
  Arena& arena_;
  const Backend backend_;
  const PlanOptions plan_;
  const Precision precision_;
  const ConvAlgorithm algorithm_;
  const FilterMemory filters_;
  Stream stream_;
  std::vector<float> logits_;  // of the latest prediction, where the host can't read the plan's
  DeviceBlock labels_;         // likewise of the batch in hand
  std::vector<std::shared_ptr<Recorded>> recorded_;  // the latest used last
};

}  // namespace fjord
