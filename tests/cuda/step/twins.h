// One network trained twice, by the CPU backend and by the CUDA backend on the emulated card.
#pragma once

#include <string>
#include <vector>

#include "engine/trainer.h"
#include "models/models.h"

namespace fjord::test {

/// Fills the slots of both backends and enables the emulated card.
void enable_backends();

struct TwinOptions {
  std::string encoder = "resnet18";
  int classes = 1;
  std::string loss = "0.5*dice+0.5*bce";
  OptimizerKind optimizer = OptimizerKind::adamw;
  Precision precision = Precision::fp32;  // of the CUDA backend; the CPU's is fp32
  int accumulate = 1;
};

/// The network that is trained.
Model model_of(const TwinOptions& options);

/// A trainer with its parameters, on one backend.
struct Twin {
  Twin(const TwinOptions& options, Backend backend, Precision precision);

  /// What a checkpoint carries: weights, statistics, counters, moments, the count of updates.
  void take_state(Twin& from);
  std::vector<float> values(const Buffer& buffer) const;

  Backend backend;
  Parameters parameters;
  std::unique_ptr<Trainer> trainer;
};

inline constexpr Shape kBatch{8, 64, 64, 3};

/// Drawn scenes under the standard augmentation, from one number on, ready or raw.
class SceneBatches : public BatchSource {
 public:
  SceneBatches(int classes, int number);
  static RawImages raw_images(int classes);

  void start(int, std::int64_t) override {}
  int next(float* images, std::uint8_t* labels) override;
  int next_raw(const RawBatch& batch) override;
  std::int64_t batches() const override { return 1000; }

 private:
  int classes_, number_;
};

/// The batch of that number to the trainer: raw on the card, ready on the CPU.
void fill_batch(Twin& twin, int classes, int number);

/// |a - b| / |b| by norm, 0 for two zeros.
double relative_distance(const float* a, const float* b, std::int64_t count);
/// The largest of the trained tensors' distances of the gradients, and whose it is.
struct Worst {
  double distance = 0;
  std::string tensor;
};
Worst gradient_distance(const Twin& found, const Twin& wanted);

}  // namespace fjord::test
