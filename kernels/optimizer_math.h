// The optimizers' update formulas, in PyTorch's order of operations, and the decision whether a
// step updates at all, for host and device.
#pragma once

#include <math.h>

#include <cstdint>

#include "kernels/host_device.h"

namespace fjord {

/// What the host wishes of a step; uploaded before it.
struct UpdateWish {
  double lr = 1e-3;
  double clip_norm = 0;         // of all gradients together; 0 is off
  double gradient_divisor = 1;  // batches whose losses and gradients were added up
};

enum class LossScaling : std::uint8_t { fixed, dynamic };

/// When updates are left out, and how the loss scale moves (the numbers of PyTorch's GradScaler).
struct UpdateRule {
  LossScaling loss_scaling = LossScaling::fixed;
  std::int32_t growth_interval = 2000;    // sound steps until the scale doubles
  std::int32_t longest_skipped_run = 25;  // then the run is halted
};

/// The loss scale that fp16 starts with: UpdateState{.loss_scale = kFirstLossScale}.
inline constexpr float kFirstLossScale = 65536;

/// Where a run stands; in the backend's memory from its first step to its last, and in checkpoints.
struct UpdateState {
  float loss_scale = 1;  // first: the state's address is that of an f32 scalar for loss_backward
  std::int32_t clean_steps = 0;     // sound steps since the scale last changed
  std::int32_t skipped_in_row = 0;  // up to now
  std::int32_t halted = 0;          // 1: no later step changes anything; sticky
  std::int64_t step = 0;            // updates made: Adam's bias correction counts them
  std::int64_t skipped = 0;         // updates left out since the run began
};

/// What the optimizer kernels read; written by prepare_update.
struct StepParams {
  std::int64_t step = 1;  // counts from 1: Adam's bias correction
  double lr = 1e-3;
  double gradient_scale = 1.0;  // mean, clipping and loss scale, multiplied into every gradient
  std::int64_t skip = 0;        // 1: nothing is to be written
};

/// What became of one step; the host reads it later.
struct UpdateReport {
  std::int64_t attempt = 0;  // steps tried, from 1; 0: nothing was written here yet
  double loss = 0;           // mean over the step's batches
  double gradient_norm = 0;  // of the mean gradient, without loss scale, before clipping
  float loss_scale = 1;      // that this step's gradients had
  std::int32_t skipped = 0;  // 1: loss or norm are not finite and no weight was changed
  std::int32_t skipped_in_row = 0;
  std::int32_t halted = 0;  // 1: this step stopped the run; no report follows
};

static_assert(sizeof(UpdateWish) == 24 && sizeof(UpdateState) == 32 && sizeof(StepParams) == 32 &&
                  sizeof(UpdateReport) == 40,
              "these structs are written to files and to devices: no padding");

/// inf - inf and NaN - NaN are NaN.
FJORD_HD bool is_finite(double x) { return x - x == 0; }

/// Decides on one step. `norm` is that of the gradients as they are: summed over
/// `gradient_divisor` batches, times the loss scale; `loss` is summed, not scaled. The report goes
/// to reports[attempts so far % report_count]; a halted run writes none.
FJORD_HD StepParams decide_update(const UpdateWish& wish, const UpdateRule& rule, double loss,
                                  double norm, UpdateState& state, UpdateReport* reports,
                                  std::int64_t report_count) {
  StepParams params{state.step, wish.lr, 0.0, 1};
  if (state.halted) return params;
  const double divisor = wish.gradient_divisor * static_cast<double>(state.loss_scale);
  const std::int64_t attempts = state.step + state.skipped;
  UpdateReport& report = reports[attempts % report_count];
  report.attempt = attempts + 1;
  report.loss = loss / wish.gradient_divisor;
  report.gradient_norm = norm / divisor;
  report.loss_scale = state.loss_scale;
  const bool dynamic = rule.loss_scaling == LossScaling::dynamic;
  const bool sound = is_finite(report.loss) && is_finite(report.gradient_norm);
  if (sound) {
    // As torch.nn.utils.clip_grad_norm_: the 1e-6 keeps the division finite.
    const double ratio = wish.clip_norm / (report.gradient_norm + 1e-6);
    const double factor = wish.clip_norm > 0 && ratio < 1 ? ratio : 1.0;
    params = {++state.step, wish.lr, factor / divisor, 0};
    state.skipped_in_row = 0;
    const bool grow = dynamic && ++state.clean_steps >= rule.growth_interval;
    if (grow) state.clean_steps = 0;
    if (grow && is_finite(2 * state.loss_scale)) state.loss_scale *= 2;
  } else {
    ++state.skipped;
    ++state.skipped_in_row;
    state.clean_steps = 0;
    if (dynamic) state.loss_scale *= 0.5f;
    state.halted = !dynamic || state.skipped_in_row >= rule.longest_skipped_run;
  }
  report.skipped = !sound;
  report.skipped_in_row = state.skipped_in_row;
  report.halted = state.halted;
  return params;
}

/// PyTorch's AdamW (Loshchilov and Hutter 2019): decay decoupled, no amsgrad.
struct AdamW {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

/// PyTorch's SGD: decay coupled (added to the gradient), no dampening.
struct Sgd {
  double momentum = 0.9;
  bool nesterov = false;
};

FJORD_HD float square_root(float x) { return sqrtf(x); }
FJORD_HD double square_root(double x) { return sqrt(x); }

/// Constants of one step and one segment, computed in double and rounded once.
template <class T>
struct AdamWScalars {
  T gradient_scale, keep, beta1, beta2, one_minus_beta1, one_minus_beta2, sqrt_bias2, eps,
      step_size;
};

template <class T>
FJORD_HD AdamWScalars<T> adamw_scalars(const StepParams& params, double lr_factor,
                                       double weight_decay, const AdamW& adamw) {
  const double lr = params.lr * lr_factor, step = static_cast<double>(params.step);
  return {static_cast<T>(params.gradient_scale),
          static_cast<T>(1.0 - lr * weight_decay),
          static_cast<T>(adamw.beta1),
          static_cast<T>(adamw.beta2),
          static_cast<T>(1.0 - adamw.beta1),
          static_cast<T>(1.0 - adamw.beta2),
          static_cast<T>(sqrt(1.0 - pow(adamw.beta2, step))),
          static_cast<T>(adamw.eps),
          static_cast<T>(lr / (1.0 - pow(adamw.beta1, step)))};
}

/// w decays; m and v move towards g and g^2; w -= lr / bias1 * m / (sqrt(v) / sqrt(bias2) + eps).
template <class T>
FJORD_HD void adamw_step(T& weight, T& first, T& second, T gradient, const AdamWScalars<T>& s) {
  const T g = gradient * s.gradient_scale;
  const T w = weight * s.keep;
  first = s.beta1 * first + s.one_minus_beta1 * g;
  second = s.beta2 * second + s.one_minus_beta2 * g * g;
  weight = w - s.step_size * (first / (square_root(second) / s.sqrt_bias2 + s.eps));
}

template <class T>
struct SgdScalars {
  T gradient_scale, weight_decay, momentum, lr;
};

template <class T>
FJORD_HD SgdScalars<T> sgd_scalars(const StepParams& params, double lr_factor, double weight_decay,
                                   const Sgd& sgd) {
  return {static_cast<T>(params.gradient_scale), static_cast<T>(weight_decay),
          static_cast<T>(sgd.momentum), static_cast<T>(params.lr * lr_factor)};
}

/// Without momentum: w -= lr * (g + decay * w).
template <class T>
FJORD_HD void sgd_step(T& weight, T gradient, const SgdScalars<T>& s) {
  weight -= s.lr * (gradient * s.gradient_scale + s.weight_decay * weight);
}

/// With momentum: the first step's velocity is the gradient itself.
template <class T>
FJORD_HD void sgd_momentum_step(T& weight, T& velocity, T gradient, bool first_step, bool nesterov,
                                const SgdScalars<T>& s) {
  const T d = gradient * s.gradient_scale + s.weight_decay * weight;
  velocity = first_step ? d : s.momentum * velocity + d;
  weight -= s.lr * (nesterov ? d + s.momentum * velocity : velocity);
}

/// The moving average of the weights, as torch.optim.swa_utils.get_ema_multi_avg_fn keeps it.
struct Ema {
  double decay = 0.999;
};

template <class T>
FJORD_HD void ema_step(T& average, T weight, T one_minus_decay) {
  average += one_minus_decay * (weight - average);
}

}  // namespace fjord
