// A loss as SMP states it: logits against labels, pixel by pixel, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/loss.h"
#include "tests/reference/reference.h"

namespace fjord::reference {

// One logit per entry with its label, or a whole pixel with its class.
struct Problem {
  Shape shape;
  const double* z;
  In label;
  LabelRule rule;

  Problem(In logits, In label, LabelRule rule)
      : shape(logits.shape()), z(logits.as<double>()), label(label), rule(rule) {
    for (std::int64_t i = 0; i < shape.pixels() && by_class(); ++i) add_log_softmax(i);
  }

  bool by_class() const { return rule.form == LabelForm::classes; }
  double stored(std::int64_t i) const {
    return label.dtype() == DType::u8 ? label.as<std::uint8_t>()[i] : label.as<double>()[i];
  }
  double raw(std::int64_t pixel, std::int64_t c) const {
    return stored(by_class() ? pixel : pixel * shape.c + c);
  }
  bool ignored(std::int64_t pixel, std::int64_t c) const {
    const double value = raw(pixel, c);
    if (rule.ignore && value == *rule.ignore) return true;
    return label.dtype() == DType::u8 && value >= (by_class() ? static_cast<double>(shape.c) : 2.0);
  }
  double target(std::int64_t pixel, std::int64_t c) const {
    if (!by_class()) return raw(pixel, c);
    return raw(pixel, c) == static_cast<double>(c) ? 1 : 0;
  }
  double logit(std::int64_t pixel, std::int64_t c) const { return z[pixel * shape.c + c]; }
  double log_softmax(std::int64_t pixel, std::int64_t c) const {
    return log_softmax_[static_cast<std::size_t>(pixel * shape.c + c)];
  }
  double probability(std::int64_t pixel, std::int64_t c) const {
    return by_class() ? softmax_[static_cast<std::size_t>(pixel * shape.c + c)]
                      : 1 / (1 + std::exp(-logit(pixel, c)));
  }

 private:
  // Once for each logit: with 256 classes every gradient asks for all of a pixel's.
  void add_log_softmax(std::int64_t pixel) {
    double largest = logit(pixel, 0), sum = 0;
    for (std::int64_t k = 1; k < shape.c; ++k) largest = std::max(largest, logit(pixel, k));
    for (std::int64_t k = 0; k < shape.c; ++k) sum += std::exp(logit(pixel, k) - largest);
    for (std::int64_t k = 0; k < shape.c; ++k) {
      log_softmax_.push_back(logit(pixel, k) - largest - std::log(sum));
      softmax_.push_back(std::exp(log_softmax_.back()));
    }
  }

  std::vector<double> log_softmax_, softmax_;
};

inline double signum(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

}  // namespace fjord::reference
