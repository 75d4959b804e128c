// AdamW and SGD over the flat buffers of a model's parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include "engine/parameters.h"
#include "engine/schedule.h"
#include "kernels/device.h"
#include "kernels/optimizer.h"

namespace fjord {

enum class OptimizerKind : std::uint8_t { adamw, sgd };

/// What one parameter is trained with.
struct ParameterGroup {
  double lr_factor = 1, weight_decay = 0;
};

/// An average kept beside the weights: moving, of every update, or equal, of the ends of epochs.
using Average = std::variant<Ema, Swa>;

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adamw;
  double weight_decay = 1e-3;
  AdamW adamw;
  Sgd sgd;
  double clip_norm = 0;  // of all gradients together; 0 is off
  std::optional<Average> average = {};
  /// Groups (no decay for norms, another rate for the encoder); absent: `weight_decay` for all.
  std::function<ParameterGroup(const Parameter&)> group;
  UpdateRule rule = {};  // dynamic loss scaling for fp16
};

/// Updates every parameter that a recorded backward pass writes a gradient for; the others stay.
/// One update is decided and made on the device: its wish goes there before, its report comes back
/// when it suits, and an update whose loss or gradients are not finite changes no weight.
class Optimizer {
 public:
  Optimizer(Parameters& parameters, OptimizerOptions options, Backend backend = Backend::cpu);

  /// What the next update is made from.
  struct Sources {
    const Buffer* loss = nullptr;       // one value: the sum over the batches
    const Buffer* gradients = nullptr;  // likewise; absent: the parameters' own
  };
  /// Uploads the rate, and how many batches were summed.
  void wish(double lr, int batches = 1);
  /// Queues norm, decision and update: what a Replay may record.
  void enqueue(const Sources& sources);
  /// Sends the report of the update on its way; take() waits for the oldest one sent.
  void post();
  UpdateReport take();
  /// All of it for one update of one batch.
  UpdateReport update(double lr, const Sources& sources);

  /// Where the run stands: updates made (Adam's bias correction counts them), the loss scale. Part
  /// of a checkpoint. Reading waits for the updates queued.
  UpdateState progress();
  void set_progress(const UpdateState& progress);
  /// The f32 scalar that fp16's loss gradient is multiplied by.
  const Buffer& loss_scale() const { return loss_scale_; }

  /// Flat moments, for checkpoints; named "moment1", "moment2" or "velocity". Then, where there is
  /// a moving average, the "trained_weights": for files are written while the two have changed
  /// places. Or the equal average so far, "swa_weights".
  std::vector<Buffer>& state() { return state_; }
  /// Weights and their moving average change places, for scores and files, and back again before
  /// the next update; nothing happens where there is none. Buffers and running statistics are not
  /// averaged (as torch's AveragedModel by default): they are moving averages themselves.
  void exchange_average();
  /// The weights as they stand join the equal average, as the `count`th; it may then take their
  /// place for good.
  void join_average(std::int64_t count);
  void adopt_average();
  Backend backend() const { return stream_.backend; }
  std::size_t bytes() const;
  const std::vector<Segment>& segments() const { return segments_; }

 private:
  void lay_out_scalars();
  const Ema* moving_average() const;

  Parameters& parameters_;
  const OptimizerOptions options_;
  Stream stream_;
  std::vector<Segment> segments_;
  std::vector<Buffer> state_;  // moments, then the average
  std::size_t moments_ = 0;
  std::vector<DeviceBlock> state_memory_;
  DeviceBlock scalars_;
  Buffer wish_, norm_, progress_, params_, report_, loss_scale_;
  std::unique_ptr<Mailbox> mailbox_;
};

}  // namespace fjord
