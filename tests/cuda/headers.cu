// Every header that host and device share, used in one kernel: compiled by nvcc, never run.
#include "kernels/augment.h"
#include "kernels/formula_loss.h"
#include "kernels/host_device.h"
#include "kernels/loss.h"
#include "kernels/loss_math.h"
#include "kernels/optimizer_math.h"
#include "kernels/rng.h"

namespace fjord {

__global__ void use_random(Philox random, double* y) {
  const RandomWords words = random.draw(Draw::dropout, blockIdx.x, threadIdx.x, 0);
  y[0] = uniform(words[0], -1, 1) + normal(words[1], words[2]);
  y[1] = static_cast<double>(uniform_int(words[3], 0, 9));
}

template <class T>
__global__ void use_optimizers(StepParams params, AdamW adamw, Sgd sgd, T* w, T* m, T* v) {
  adamw_step(w[0], m[0], v[0], w[3], adamw_scalars<T>(params, 1, 0, adamw));
  ema_step(w[4], w[0], T(0.1));
  const SgdScalars<T> scalars = sgd_scalars<T>(params, 1, 0, sgd);
  sgd_step(w[1], w[3], scalars);
  sgd_momentum_step(w[2], v[1], w[3], params.step == 1, sgd.nesterov, scalars);
}
template __global__ void use_optimizers(StepParams, AdamW, Sgd, float*, float*, float*);
template __global__ void use_optimizers(StepParams, AdamW, Sgd, double*, double*, double*);

template <class T>
__global__ void use_losses(RegionScore region, RegionPower power, Bce<T> bce, SoftCe<T> soft_ce,
                           Focal<T> focal, FocalMean mean, const T* z, T* y) {
  const T p = sigmoid(z[0]);
  y[0] = bce.value(z[0], z[1]) + bce.gradient(p, z[1]) + sign(z[0]);
  const RegionValue value = region({p, z[1], z[2]});
  y[1] = static_cast<T>(value.value + value.dp + value.dd);
  y[4] = static_cast<T>(power.value(z[0]) + power.slope(z[1]) + pixel_factor(z[0], z[1]));
  y[2] = static_cast<T>(soft_ce.value(1, z[0], z[1]) + soft_ce.gradient(1, true, p, 1, 1));
  y[3] = static_cast<T>(lovasz_step(z[0], z[1], z[2]));
  y[5] = focal.value(z[0], z[1]).value + focal.gradient(z[0], p, z[1]).factor;
  y[6] = static_cast<T>(mean(1, 2, {z[0], z[1]}).value);
}
template __global__ void use_losses(RegionScore, RegionPower, Bce<float>, SoftCe<float>,
                                    Focal<float>, FocalMean, const float*, float*);
template __global__ void use_losses(RegionScore, RegionPower, Bce<double>, SoftCe<double>,
                                    Focal<double>, FocalMean, const double*, double*);

struct AnyPixel {
  const double* values;
  int classes;

  __device__ double z(int c) const { return values[c]; }
  __device__ double y(int c) const { return c == 0; }
  __device__ double weight(int c) const { return values[c]; }
  __device__ double own_weight() const { return weight(0); }
};
struct UseFormula {
  AnyPixel pixel;
  double* y;

  __device__ void operator()(int c, const FormulaPart& by) const { y[c] = by.value + by.factor; }
  template <class Formula>
  __device__ void operator()(const Formula& formula) const {
    y[0] += formula.value(pixel).value;
    formula.gradient(pixel, *this);
  }
};
__global__ void use_formulas(LossFormula formula, FormulaMean mean, AnyPixel pixel, double* y) {
  with_formula(formula, UseFormula{pixel, y});
  y[9] = mean(formula, {y[0], y[1], 1, 2}, y + 3);
}

__global__ void use_augmentation(AugmentSample sample, float* rgb) {
  augment::shift_hsv(rgb[0], rgb[1], rgb[2], sample.color);
  const PixelMap turned = augment::compose(sample.map, {augment::kOne, 0, 0, 0, augment::kOne, 0});
  const augment::Taps taps = augment::taps_at(turned.x0, turned.y0);
  rgb[3] = augment::bilinear(rgb[0], rgb[1], rgb[2], rgb[3], taps.fx, taps.fy);
  rgb[4] = static_cast<float>(augment::nearest(turned.xx));
  augment::inverse_scale(1.1, 512, 3, sample.map.xx, sample.map.x0);
  rgb[5] = static_cast<float>(sample.map.x0);
}

}  // namespace fjord
