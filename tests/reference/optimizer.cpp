// Optimizers in double, from the algorithm boxes of torch.optim.AdamW and torch.optim.SGD.
#include "kernels/optimizer.h"

#include <cmath>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

void adamw(In params, In dweight, InOut weight, InOut first, InOut second,
           const std::vector<Segment>& segments, AdamW adamw, Stream&) {
  const StepParams& step = *params.as<StepParams>();
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
    }
}

void sgd(In params, In dweight, InOut weight, InOut velocity, const std::vector<Segment>& segments,
         Sgd sgd, Stream&) {
  const StepParams& step = *params.as<StepParams>();
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
    }
}

void norm(In dweight, Out result, const std::vector<Segment>& segments, Stream&) {
  double sum = 0;
  for (const Segment& segment : segments)
    for (std::int64_t i = segment.begin; i < segment.end; ++i)
      sum += dweight.as<double>()[i] * dweight.as<double>()[i];
  result.as<double>()[0] = std::sqrt(sum);
}

}  // namespace

void fill_optimizer() {
  adamw_update.reference = adamw;
  sgd_update.reference = sgd;
  gradient_norm.reference = norm;
}

}  // namespace fjord::reference
