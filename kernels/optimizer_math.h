// The optimizers' update formulas, in PyTorch's order of operations, for host and device.
#pragma once

#include <math.h>

#include <cstdint>

#include "kernels/host_device.h"

namespace fjord {

/// Uploaded before every step; the content of the buffer that optimizer kernels read.
struct StepParams {
  std::int64_t step = 1;  // counts from 1: Adam's bias correction
  double lr = 1e-3;
  double gradient_scale = 1.0;  // clipping and loss scale, multiplied into every gradient
};

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

}  // namespace fjord
