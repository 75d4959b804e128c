// Optimizers in double, from the algorithm boxes of torch.optim.AdamW and torch.optim.SGD.
#include "kernels/optimizer.h"

#include <cmath>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

void adamw(In params, In dweight, InOut weight, InOut first, InOut second, Out shadow,
           const std::vector<Segment>& segments, AdamW adamw, Stream&) {
  const StepParams& step = *params.as<StepParams>();
  if (step.skip != 0) return;
  const double t = static_cast<double>(step.step);
  for (const Segment& segment : segments)
    for (std::int64_t i = segment.begin; i < segment.end; ++i) {
      const double lr = step.lr * segment.lr_factor;
      const double g = step.gradient_scale * dweight.as<double>()[i];
      double &w = weight.as<double>()[i], &m = first.as<double>()[i], &v = second.as<double>()[i];
      w -= lr * segment.weight_decay * w;
      m = adamw.beta1 * m + (1 - adamw.beta1) * g;
      v = adamw.beta2 * v + (1 - adamw.beta2) * g * g;
      const double m_hat = m / (1 - std::pow(adamw.beta1, t));
      const double v_hat = v / (1 - std::pow(adamw.beta2, t));
      w -= lr * m_hat / (std::sqrt(v_hat) + adamw.eps);
      put(shadow, i, w);
    }
}

void sgd(In params, In dweight, InOut weight, InOut velocity, Out shadow,
         const std::vector<Segment>& segments, Sgd sgd, Stream&) {
  const StepParams& step = *params.as<StepParams>();
  if (step.skip != 0) return;
  for (const Segment& segment : segments)
    for (std::int64_t i = segment.begin; i < segment.end; ++i) {
      double& w = weight.as<double>()[i];
      double g = step.gradient_scale * dweight.as<double>()[i] + segment.weight_decay * w;
      if (velocity) {
        double& b = velocity.as<double>()[i];
        b = step.step > 1 ? sgd.momentum * b + g : g;
        g = sgd.nesterov ? g + sgd.momentum * b : b;
      }
      w -= step.lr * segment.lr_factor * g;
      put(shadow, i, w);
    }
}

void ema(In params, In weight, InOut average, Ema ema, Stream&) {
  const StepParams& step = *params.as<StepParams>();
  if (step.skip != 0) return;
  for (std::int64_t i = 0; i < weight.shape().count(); ++i) {
    const double w = weight.as<double>()[i];
    double& mean = average.as<double>()[i];
    mean = step.step > 1 ? ema.decay * mean + (1 - ema.decay) * w : w;
  }
}

void norm(In dweight, Out result, const std::vector<Segment>& segments, Stream&) {
  double sum = 0;
  for (const Segment& segment : segments)
    for (std::int64_t i = segment.begin; i < segment.end; ++i)
      sum += dweight.as<double>()[i] * dweight.as<double>()[i];
  result.as<double>()[0] = std::sqrt(sum);
}

// From the rules in words: what the optimizer's header and PyTorch's GradScaler say.
void prepare(In wish, In loss, In norm, InOut state, Out params, Out report, UpdateRule rule,
             Stream&) {
  const UpdateWish& w = *wish.as<UpdateWish>();
  UpdateState& s = *state.as<UpdateState>();
  StepParams& p = *params.as<StepParams>();
  p = {.step = s.step, .lr = w.lr, .gradient_scale = 0, .skip = 1};
  if (s.halted == 1) return;
  const std::int64_t attempt = s.step + s.skipped, entries = report.shape().c / 40;
  UpdateReport& r = report.as<UpdateReport>()[attempt % entries];
  r = {.attempt = attempt + 1,
       .loss = loss.as<double>()[0] / w.gradient_divisor,
       .gradient_norm = norm.as<double>()[0] / (w.gradient_divisor * s.loss_scale),
       .loss_scale = s.loss_scale};
  if (std::isfinite(r.loss) && std::isfinite(r.gradient_norm)) {
    s.step += 1;
    const double clipped =
        w.clip_norm == 0 ? 1 : std::fmin(1, w.clip_norm / (r.gradient_norm + 1e-6));
    p = {.step = s.step,
         .lr = w.lr,
         .gradient_scale = clipped / (w.gradient_divisor * s.loss_scale),
         .skip = 0};
    s.skipped_in_row = 0;
    if (rule.loss_scaling == LossScaling::dynamic) s.clean_steps += 1;
    if (rule.loss_scaling == LossScaling::dynamic && s.clean_steps == rule.growth_interval) {
      s.clean_steps = 0;
      if (s.loss_scale < 0x1p127f) s.loss_scale *= 2;
    }
    return;
  }
  s.skipped += 1;
  s.skipped_in_row += 1;
  s.clean_steps = 0;
  if (rule.loss_scaling == LossScaling::dynamic) s.loss_scale /= 2;
  if (rule.loss_scaling == LossScaling::fixed || s.skipped_in_row == rule.longest_skipped_run)
    s.halted = 1;
  r.skipped = 1;
  r.skipped_in_row = s.skipped_in_row;
  r.halted = s.halted;
}

}  // namespace

void fill_optimizer() {
  adamw_update.reference = adamw;
  sgd_update.reference = sgd;
  ema_update.reference = ema;
  gradient_norm.reference = norm;
  prepare_update.reference = prepare;
}

}  // namespace fjord::reference
