// The losses by formula in double, as their papers and pytorch-toolbelt's documentation state them.
#include "kernels/formula_loss.h"

#include <vector>

#include "tests/reference/dual.h"
#include "tests/reference/loss.h"

namespace fjord::reference {
namespace {

using Duals = std::vector<Dual>;

struct Part {
  Dual value, factor;
};

Duals softmax(const Duals& z) {
  double largest = z[0].x;
  for (const Dual& one : z) largest = std::max(largest, one.x);
  Dual sum;
  Duals p;
  for (const Dual& one : z) p.push_back(exp(one - largest));
  for (const Dual& one : p) sum = sum + one;
  for (Dual& one : p) one = one / sum;
  return p;
}

Dual cross_entropy(Dual z, double y) { return y * softplus(-z) + (1 - y) * softplus(z); }

Dual focal_factor(const LossFormula& f, Dual missing) {
  if (1 - missing.x < f.threshold) return 1;
  return pow(f.threshold > 0 ? missing / f.threshold : missing, f.gamma);
}

// -log softmax(z) at the label, and Lin et al. 2017's loss of it.
Part softmax_focal(const LossFormula& f, const Duals& z, const std::vector<double>& y) {
  const Duals p = softmax(z);
  Dual p_t;
  for (std::size_t c = 0; c < z.size(); ++c) p_t = p_t + y[c] * p[c];
  const Dual factor = focal_factor(f, 1 - p_t);
  return {factor * -log(p_t), factor};
}

Part ce_focal(const LossFormula& f, const Duals& z, const std::vector<double>& y,
              const std::vector<double>& weights) {
  const Duals q = softmax(z);
  Part sum;
  for (std::size_t c = 0; c < z.size(); ++c) {
    const Dual wrong = (1 - y[c]) * q[c] + y[c] * (1 - q[c]);
    const bool whole = wrong.x < f.threshold;
    const Dual factor = whole ? 1 : pow(f.threshold > 0 ? wrong / f.threshold : wrong, f.gamma);
    sum.value = sum.value + (weights.empty() ? 1 : weights[c]) * factor * cross_entropy(z[c], y[c]);
    sum.factor = sum.factor + factor;
  }
  return sum;
}

Part focal_cosine(const LossFormula& f, const Duals& z, const std::vector<double>& y) {
  Dual square, cosine;
  for (const Dual& one : z) square = square + one * one;
  Duals unit;
  for (const Dual& one : z) unit.push_back(one / sqrt(square));
  for (std::size_t c = 0; c < z.size(); ++c) cosine = cosine + y[c] * unit[c];
  LossFormula plain = f;
  plain.threshold = 0;
  return {1 - cosine + f.xent * f.alpha * softmax_focal(plain, unit, y).value, 0};
}

Dual log_t(Dual u, double t) { return t == 1 ? log(u) : (pow(u, 1 - t) - 1) / (1 - t); }
Dual exp_t(Dual u, double t) { return t == 1 ? exp(u) : pow(1 + (1 - t) * u, 1 / (1 - t)); }

// The fixed point in numbers, then its derivative from sum(exp_t(z - normaliser)) = 1.
Dual normaliser(const LossFormula& f, const Duals& z) {
  double largest = z[0].x;
  for (const Dual& one : z) largest = std::max(largest, one.x);
  double result = largest, sum = 0;
  std::vector<double> shifted;
  for (const Dual& one : z) shifted.push_back(one.x - largest);
  for (int i = 0; i <= f.iterations; ++i) {
    sum = 0;
    for (double one : shifted) sum += exp_t(one, f.t2).x;
    if (i < f.iterations)
      for (std::size_t c = 0; c < z.size(); ++c)
        shifted[c] = (z[c].x - largest) * std::pow(sum, 1 - f.t2);
  }
  result -= log_t(1 / sum, f.t2).x;
  double slope = 0, escort = 0;
  for (const Dual& one : z) {
    const double weight = std::pow(exp_t(one.x - result, f.t2).x, f.t2);
    slope += weight * one.d;
    escort += weight;
  }
  return {result, slope / escort};
}

Part bi_tempered(const LossFormula& f, Duals z, std::vector<double> y) {
  if (z.size() == 1) {
    z.insert(z.begin(), -z[0]);
    y.insert(y.begin(), 1 - y[0]);
  }
  const double all = static_cast<double>(z.size());
  const Dual shift = normaliser(f, z);
  Dual sum;
  for (std::size_t c = 0; c < z.size(); ++c) {
    const Dual p = exp_t(z[c] - shift, f.t2);
    const double t = y[c] * (1 - f.smooth * all / (all - 1)) + f.smooth / (all - 1);
    if (t > 0) sum = sum + t * (log_t(t + 1e-10, f.t1) - log_t(p, f.t1));
    sum = sum + (pow(p, 2 - f.t1) - std::pow(t, 2 - f.t1)) / (2 - f.t1);
  }
  return {sum, 0};
}

Part part(const LossFormula& f, const Duals& z, const std::vector<double>& y,
          const std::vector<double>& weights) {
  const Dual difference = abs(z[0] - y[0]);
  const Dual p = exp(-softplus(-z[0]));
  switch (f.kind) {
    case LossFormula::Kind::balanced_bce:
      return {y[0] * softplus(-z[0]), (1 - y[0]) * softplus(z[0])};
    case LossFormula::Kind::quality_focal: {
      const Dual factor = pow(abs(p - y[0]), f.gamma);
      return {factor * cross_entropy(z[0], y[0]), factor};
    }
    case LossFormula::Kind::wing:
      if (difference.x < f.width) return {f.width * log(1 + difference / f.curvature), 0};
      return {difference - (f.width - f.width * std::log(1 + f.width / f.curvature)), 0};
    case LossFormula::Kind::log_cosh:
      return {difference + softplus(-2.0 * difference) - std::log(2.0), 0};
    case LossFormula::Kind::softmax_focal:
      return softmax_focal(f, z, y);
    case LossFormula::Kind::ce_focal:
      return ce_focal(f, z, y, weights);
    case LossFormula::Kind::focal_cosine:
      return focal_cosine(f, z, y);
    case LossFormula::Kind::bi_tempered:
      return bi_tempered(f, z, y);
  }
  return {};
}

// A pixel with all its classes, or one logit: `logit` is the one whose derivative is carried.
struct Entries {
  const Problem& problem;
  const FormulaLoss& loss;

  std::int64_t each() const { return problem.by_class() ? problem.shape.c : 1; }
  std::int64_t count() const { return problem.shape.count() / each(); }
  bool ignored(std::int64_t i) const {
    return problem.by_class() ? problem.ignored(i, 0)
                              : problem.ignored(i / problem.shape.c, i % problem.shape.c);
  }
  double label(std::int64_t i) const { return problem.stored(i); }
  Part at(std::int64_t i, std::int64_t logit) const {
    Duals z;
    std::vector<double> y;
    for (std::int64_t c = 0; c < each(); ++c) {
      z.emplace_back(problem.z[i * each() + c], c == logit ? 1.0 : 0.0);
      y.push_back(!problem.by_class() ? label(i) : label(i) == static_cast<double>(c) ? 1 : 0);
    }
    Part one = part(loss.formula, z, y, loss.class_weights);
    const double weight = own_weight(i);
    one.value = weight * one.value;
    if (loss.formula.kind == LossFormula::Kind::balanced_bce) one.factor = weight * one.factor;
    return one;
  }
  // Of the label's class or of the channel; ce_focal weighs each logit by itself.
  double own_weight(std::int64_t i) const {
    if (loss.class_weights.empty() || loss.formula.kind == LossFormula::Kind::ce_focal) return 1;
    const double c = problem.by_class() ? label(i) : static_cast<double>(i % problem.shape.c);
    return loss.class_weights[static_cast<std::size_t>(c)];
  }
};

void forward(In logits, In label, Out slopes, Out loss, const FormulaLoss& of, Stream&) {
  const Problem problem(logits, label, of.label);
  const Entries entries{problem, of};
  double value = 0, factor = 0, ones = 0, zeros = 0;
  for (std::int64_t i = 0; i < entries.count(); ++i) {
    if (entries.ignored(i)) continue;
    const Part one = entries.at(i, -1);
    value += one.value.x, factor += one.factor.x;
    ones += entries.label(i) == 1, zeros += entries.label(i) == 0;
  }
  const double scale = of.weight / (of.sum ? 1 : static_cast<double>(entries.count()));
  double* by = slopes.as<double>();
  by[0] = scale, by[1] = 0;
  double result = scale * value;
  if (of.formula.kind == LossFormula::Kind::balanced_bce) {
    const double rare = std::pow(zeros / (ones + zeros + 1e-7), of.formula.gamma);
    by[0] = scale * std::pow(rare, of.formula.gamma);
    by[1] = scale * std::pow(1 - rare, of.formula.gamma);
    result = by[0] * value + by[1] * factor;
  } else if (of.normalized) {
    const Dual all{factor, factor < 1e-6 ? 0.0 : 1.0},
        quotient = Dual{value} / Dual{std::max(factor, 1e-6), all.d};
    by[0] = scale / std::max(factor, 1e-6);
    by[1] = scale * quotient.d;
    result = scale * quotient.x;
  }
  put(loss, 0, result);
}

void backward(In logits, In label, In slopes, In scale, Out dlogits, const FormulaLoss& of,
              Stream&) {
  const Problem problem(logits, label, of.label);
  const Entries entries{problem, of};
  double factor = 1;
  if (scale) factor = scale.dtype() == DType::f64 ? *scale.as<double>() : *scale.as<float>();
  const double* by = slopes.as<double>();
  for (std::int64_t i = 0; i < entries.count(); ++i)
    for (std::int64_t c = 0; c < entries.each(); ++c) {
      const Part one = entries.ignored(i) ? Part{} : entries.at(i, c);
      put(dlogits, i * entries.each() + c, factor * (by[0] * one.value.d + by[1] * one.factor.d));
    }
}

}  // namespace

void fill_formula_loss() {
  formula_loss_forward.reference = forward;
  formula_loss_backward.reference = backward;
}

}  // namespace fjord::reference
