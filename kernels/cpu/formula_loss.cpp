// Losses by formula on the CPU: one pass for the sums, one for the gradient.
#include "kernels/formula_loss.h"

#include <vector>

#include "kernels/cpu/loss.h"

namespace fjord {
namespace {

// A pixel of class labels, or a logit with a label of its own.
struct FormulaPixel {
  const float* logits;
  int classes;
  int label;              // class, where there are several
  double truth;           // label of one logit
  const double* weights;  // of the classes, or of the logit's channel; none: 1

  double z(int c) const { return static_cast<double>(logits[c]); }
  double y(int c) const { return classes == 1 ? truth : c == label ? 1 : 0; }
  double weight(int c) const { return weights ? weights[c] : 1; }
  double own_weight() const { return weight(label); }
};

// What both passes read.
struct FormulaInput {
  In logits, label;
  const FormulaLoss& loss;
  ElementLabel labels;
  bool elements;
  int classes;

  FormulaInput(In logits, In label, const FormulaLoss& loss)
      : logits(logits),
        label(label),
        loss(loss),
        labels(label, loss.label),
        elements(loss.label.form == LabelForm::elements),
        classes(elements ? 1 : static_cast<int>(logits.shape().c)) {}

  std::int64_t count() const { return elements ? logits.shape().count() : logits.shape().pixels(); }
  // False where the label is ignored.
  bool read(std::int64_t i, FormulaPixel& pixel) const {
    pixel = {logits.as<float>() + i * classes, classes, 0, 0, nullptr};
    if (!loss.class_weights.empty())
      pixel.weights = loss.class_weights.data() + (elements ? i % logits.shape().c : 0);
    if (elements) {
      pixel.truth = static_cast<double>(labels[i]);
      return labels.counts(i);
    }
    pixel.label = class_of(label.as<std::uint8_t>()[i], classes, loss.label);
    return pixel.label >= 0;
  }
};

void add(FormulaSums& sums, const FormulaPart& part, double truth) {
  sums.value += part.value;
  sums.factor += part.factor;
  sums.ones += truth == 1 ? 1 : 0;
  sums.zeros += truth == 0 ? 1 : 0;
}

void forward(In logits, In label, Out slopes, Out loss, const FormulaLoss& of, Stream&) {
  require_f32(logits, "formula_loss_forward");
  const FormulaInput input(logits, label, of);
  std::vector<FormulaSums> chunks(static_cast<std::size_t>(loss_chunks(input.count())));
  for_each_chunk(input.count(), [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    FormulaSums sums;
    with_formula(of.formula, [&](const auto& formula) {
      FormulaPixel pixel;
      for (std::int64_t i = begin; i < end; ++i)
        if (input.read(i, pixel)) add(sums, formula.value(pixel), pixel.truth);
    });
    chunks[static_cast<std::size_t>(chunk)] = sums;
  });
  FormulaSums all;
  for (const FormulaSums& sums : chunks) {
    all.value += sums.value;
    all.factor += sums.factor;
    all.ones += sums.ones;
    all.zeros += sums.zeros;
  }
  write_loss(loss, formula_mean(of, logits.shape())(of.formula, all, slopes.as<double>()));
}

void backward(In logits, In label, In slopes, In scale, Out dlogits, const FormulaLoss& of,
              Stream&) {
  require_f32(logits, "formula_loss_backward");
  const FormulaInput input(logits, label, of);
  const double factor = scale ? static_cast<double>(*scale.as<float>()) : 1;
  const double by_value = factor * slopes.as<double>()[0];
  const double by_factor = factor * slopes.as<double>()[1];
  const bool adds = dlogits.write == Write::add;
  for_each_chunk(input.count(), [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    with_formula(of.formula, [&](const auto& formula) {
      FormulaPixel pixel;
      for (std::int64_t i = begin; i < end; ++i) {
        float* dz = dlogits.as<float>() + i * input.classes;
        const auto write = [&](int c, double value) {
          dz[c] = static_cast<float>(adds ? static_cast<double>(dz[c]) + value : value);
        };
        if (input.read(i, pixel))
          formula.gradient(pixel, [&](int c, const FormulaPart& by) {
            write(c, by_value * by.value + by_factor * by.factor);
          });
        else
          for (int c = 0; c < input.classes; ++c) write(c, 0);
      }
    });
  });
}

}  // namespace

void fill_formula_loss_kernels() {
  formula_loss_forward.cpu = forward;
  formula_loss_backward.cpu = backward;
}

}  // namespace fjord
