// One recorded batch of a training run: its tape, plan and memory, queued again and again.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "engine/trainer.h"

namespace fjord {

class TrainingStep {
 public:
  /// Records and lays out; the parameters are allocated, they and the options must outlive the
  /// step.
  TrainingStep(Model model, Parameters& parameters, const TrainerOptions& options);

  /// Throws Error{device, "device-memory"} naming the largest batch that fits, where a card has
  /// less free than the step and the validation after it need.
  void demand_memory(const Evaluator& evaluator) const;
  /// Gives the plan its memory; before the first step, and after another plan of the arena ran.
  void bind();

  /// Takes the next batch of a source, ready or raw; returns how many images there were.
  int fill(BatchSource& source);
  /// The next batch's memory on the host, where it is not raw.
  float* images();
  std::uint8_t* labels();

  /// The step is recorded anew where this epoch has another loss than the last one. What an epoch's
  /// end left short of an update is dropped.
  void start_epoch(int epoch);
  /// Whether the next batch completes an update.
  bool update_due() const { return batch_in_step_ + 1 == options_.accumulate; }
  /// Queues one batch; its result comes back by take(), in order.
  void enqueue(double lr);
  /// Forward alone: the running statistics follow the batch, no weight does.
  void forward();
  /// The oldest batch's result; waits for it. `due`: what update_due() said before it was queued.
  Trainer::StepResult take(bool due);
  /// Whether results are there when enqueue() returns.
  bool immediate() const { return home_.is_host(); }

  Arena& arena() { return arena_; }
  Optimizer& optimizer() { return *optimizer_; }
  std::size_t bytes() const;  // arena, moments, sums
  std::string report() const { return plan_->report(); }

  /// Forward, loss and backward on a tape.
  struct Tensors {
    Tensor image, label, loss, loss_scale;
    std::vector<Tensor> inputs;  // what the host fills: image and label, or pixels, classes, draws
    Tensor band_scale, band_offset;  // of raw images
  };
  const Tensors& tensors() const { return t_; }

 private:
  void record(const LossExpression& loss);
  void attach();
  void run(bool first, bool due);
  void send_batch();
  void* host(std::size_t input);
  void send_bands(const RawImages& raw);
  std::size_t largest_arena(std::int64_t batch) const;
  std::size_t bytes_of_batch(std::int64_t batch, const Evaluator& evaluator) const;

  Device& home_;
  const Model model_;
  const TrainerOptions& options_;
  Parameters& parameters_;
  Arena arena_;
  Stream stream_;
  LossExpression loss_;  // that the tape holds
  std::optional<Tape> tape_;
  Tensors t_;
  std::optional<Plan> plan_;
  std::size_t arena_bytes_ = 0;  // of the largest plan that the loss's schedule leads to
  std::optional<Optimizer> optimizer_;
  std::vector<std::unique_ptr<Staging>> staging_;  // none where the host writes into the plan
  std::unique_ptr<Mailbox> losses_;
  DeviceBlock sums_, bands_;
  Buffer loss_sum_, gradient_sum_;
  std::array<Replay, 4> replays_;  // by: first batch of an update, last batch
  int batch_in_step_ = 0;
};

}  // namespace fjord
