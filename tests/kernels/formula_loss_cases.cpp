// Cases of the losses by formula.
#include "kernels/formula_loss.h"

#include "tests/kernels/loss_settings.h"

namespace fjord {
namespace {

using Kind = LossFormula::Kind;
const Kind kElementFormulas[]{Kind::balanced_bce, Kind::bi_tempered, Kind::log_cosh,
                              Kind::quality_focal, Kind::wing};
const Kind kClassFormulas[]{Kind::bi_tempered, Kind::ce_focal, Kind::focal_cosine,
                            Kind::softmax_focal};

// With the options that are not defaults where `mode` is to add.
FormulaLoss formula_of(const Setting& s, Kind kind, Write mode) {
  FormulaLoss loss{.label = {s.form, 255}, .weight = 0.5, .formula = {.kind = kind}};
  if (mode == Write::store) return loss;
  loss.normalized = kind == Kind::quality_focal || kind == Kind::ce_focal;
  loss.sum = kind == Kind::wing;
  loss.formula.gamma = 1.5;
  loss.formula.threshold = kind == Kind::softmax_focal ? 0.4 : 0;
  loss.formula.t2 = kind == Kind::bi_tempered ? 1 : 1.4;
  loss.formula.smooth = kind == Kind::bi_tempered ? 0.1 : 0;
  for (std::int64_t c = 0; c < s.logits.c; ++c)
    loss.class_weights.push_back(0.5 + 0.25 * static_cast<double>(c));
  return loss;
}

void add_formula_cases(const Setting& s, Kind kind, Write mode, std::vector<OpCase>& cases) {
  const FormulaLoss loss = formula_of(s, kind, mode);
  const std::string what = std::string(s.what) + " " + to_string(s.logits) + " formula " +
                           std::to_string(static_cast<int>(kind));
  cases.push_back({.slot = "formula_loss_forward",
                   .what = what,
                   .reduction = s.logits.pixels(),
                   .tensors = {logits_of(s), label_of(s), write("slopes", {1, 1, 1, 2}),
                               write("loss", {}, mode)},
                   .features = features_of(s),
                   .run = [=](Operands& t, Stream& stream) {
                     const Out slopes = t.temporary("doubles", t.in("slopes").shape(), DType::f64);
                     formula_loss_forward(t.in("logits"), t.in("label"), slopes, t.out("loss"),
                                          loss, stream);
                     t.show("doubles", "slopes");
                   }});
  std::vector<Operand> tensors{logits_of(s), label_of(s), write("dlogits", s.logits, mode),
                               typed(read("slopes", {1, 1, 1, 2}), DType::f64)};
  if (mode == Write::add) tensors.push_back(read("scale", {}, [](std::int64_t) { return 512.0; }));
  cases.push_back({.slot = "formula_loss_backward",
                   .what = what,
                   .tensors = tensors,
                   .features = features_of(s),
                   .run = [=](Operands& t, Stream& stream) {
                     formula_loss_backward(t.in("logits"), t.in("label"), t.in("slopes"),
                                           t.in("scale"), t.out("dlogits"), loss, stream);
                   }});
}

// Every formula once with its defaults and once with others; on one more shape so that chunks and
// blocks are several, soft and ignored labels are met.
std::vector<OpCase> formula_cases() {
  std::vector<OpCase> cases;
  for (const Setting& s : settings) {
    const std::string_view what = s.what;
    if (s.logits.pixels() > 70 && what != "multi-label, large") continue;
    if (what == "classes, most") continue;
    const bool elements = s.form == LabelForm::elements;
    for (const Kind kind : kElementFormulas)
      for (const Write mode : {Write::store, Write::add})
        if (elements) add_formula_cases(s, kind, mode, cases);
    for (const Kind kind : kClassFormulas)
      for (const Write mode : {Write::store, Write::add})
        if (!elements) add_formula_cases(s, kind, mode, cases);
  }
  const Setting chunks{"binary, chunks", {3, 64, 65, 1}, LabelForm::elements};
  add_formula_cases(chunks, Kind::balanced_bce, Write::add, cases);
  return cases;
}

const AddCases added(formula_cases);

}  // namespace
}  // namespace fjord
