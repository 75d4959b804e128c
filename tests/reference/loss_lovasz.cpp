// The Lovasz losses in double, from the definition: Jaccard losses of the k worst errors,
// differenced.
#include <algorithm>
#include <utility>
#include <vector>

#include "tests/reference/loss.h"

namespace fjord::reference {
namespace {

struct Ranked {
  double error, label;
  std::int64_t place;  // in the logits
  double slope;        // of the error by what it is made of
};

// Adds weight * the Lovasz extension of the Jaccard loss to `slope`; returns its value.
double lovasz_extension(std::vector<Ranked> errors, double weight, double* slope) {
  std::stable_sort(errors.begin(), errors.end(),
                   [](const Ranked& a, const Ranked& b) { return a.error > b.error; });
  double positives = 0;
  for (const Ranked& e : errors) positives += e.label;
  double value = 0, intersection = positives, union_ = positives, previous = 0;
  for (const Ranked& e : errors) {
    intersection -= e.label;
    union_ += 1 - e.label;
    const double jaccard = 1 - intersection / union_;
    const double g = jaccard - previous;
    previous = jaccard;
    if (e.error <= 0) continue;
    value += e.error * g;
    slope[e.place] += weight * g * e.slope;
  }
  return weight * value;
}

double hinge(const Problem& problem, std::int64_t begin, std::int64_t end, double weight,
             double* slope) {
  std::vector<Ranked> errors;
  for (std::int64_t i = begin; i < end; ++i)
    for (std::int64_t c = 0; c < problem.shape.c; ++c) {
      if (problem.ignored(i, c)) continue;
      const double t = problem.target(i, c), side = 2 * t - 1;
      errors.push_back({1 - problem.logit(i, c) * side, t, i * problem.shape.c + c, -side});
    }
  return lovasz_extension(std::move(errors), weight, slope);
}

double softmax_form(const Problem& problem, std::int64_t begin, std::int64_t end, double weight,
                    double* slope) {
  std::vector<std::vector<Ranked>> present;
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    std::vector<Ranked> errors;
    bool found = false;
    for (std::int64_t i = begin; i < end; ++i) {
      if (problem.ignored(i, c)) continue;
      const double t = problem.target(i, c), difference = problem.probability(i, c) - t;
      found = found || t == 1;
      errors.push_back({std::fabs(difference), t, i * problem.shape.c + c, signum(difference)});
    }
    if (found) present.push_back(std::move(errors));
  }
  double value = 0;
  for (std::vector<Ranked>& errors : present)
    value +=
        lovasz_extension(std::move(errors), weight / static_cast<double>(present.size()), slope);
  return value;
}

void lovasz(In logits, In label, Out slope, Out, Out loss, const Lovasz& lovasz, Stream&) {
  const Problem problem(logits, label, lovasz.label);
  std::fill_n(slope.as<double>(), logits.shape().count(), 0.0);
  const std::int64_t problems = lovasz.per_image ? problem.shape.n : 1;
  const std::int64_t pixels = problem.shape.pixels() / problems;
  double value = 0;
  for (std::int64_t i = 0; i < problems; ++i)
    value += (problem.by_class() ? softmax_form : hinge)(
        problem, i * pixels, (i + 1) * pixels, lovasz.weight / static_cast<double>(problems),
        slope.as<double>());
  put(loss, 0, value);
}

}  // namespace

void fill_lovasz() { lovasz_forward.reference = lovasz; }

}  // namespace fjord::reference
