// Traffic of losses and of the confusion matrix.
#include "kernels/confusion.h"
#include "kernels/formula_loss.h"
#include "kernels/loss.h"
#include "tests/cuda/gates/traffic_cases.h"

namespace fjord {

namespace {

Shape label_shape(Shape logits, LabelForm form) {
  return {logits.n, logits.h, logits.w, form == LabelForm::elements ? logits.c : 1};
}

Operand labels(Shape logits, LabelForm form) {
  const double classes = form == LabelForm::elements ? 2 : static_cast<double>(logits.c);
  const auto label = [classes](std::int64_t i) { return uniform(3, i, 0, classes); };
  return typed(read("label", label_shape(logits, form), label), DType::u8);
}

// Dice and a cross-entropy; `focal`: and the focal loss.
LossTerms terms_of(LabelForm form, Shape logits, bool focal = false) {
  const bool elements = form == LabelForm::elements;
  const auto classes = static_cast<std::size_t>(logits.c);
  const std::vector<double> share(classes, 1 / static_cast<double>(classes));
  const auto kind = elements ? PixelLoss::Kind::bce : PixelLoss::Kind::softce;
  LossTerms terms{{form, 255}, {{.share = share}}, {{.kind = kind, .weight = 0.5}}};
  if (focal) terms.focal = FocalLoss{.share = share};
  return terms;
}

void add_sums(std::vector<Measured>& all, const char* what, Shape logits, const LossTerms& terms,
              Bounds bounds = {}) {
  const std::int64_t slopes = loss_slope_count(logits.c, terms);
  all.push_back(
      {traffic_case("loss_forward", what,
                    {read("logits", logits), labels(logits, terms.label.form),
                     typed(write("slopes", {1, 1, 1, slopes}), DType::f64), write("loss", {})},
                    {"logits"},
                    [terms](Operands& t, Stream& s) {
                      loss_forward(t.in("logits"), t.in("label"), t.out("slopes"), t.out("loss"),
                                   terms, s);
                    }),
       bounds});
}

void add_gradient(std::vector<Measured>& all, const char* what, Shape logits,
                  const LossTerms& terms, Bounds bounds = {}) {
  const std::int64_t slopes = loss_slope_count(logits.c, terms);
  all.push_back({traffic_case("loss_backward", what,
                              {read("logits", logits), labels(logits, terms.label.form),
                               typed(read("slopes", {1, 1, 1, slopes}), DType::f64),
                               write("dlogits", logits)},
                              {"logits", "dlogits"},
                              [terms](Operands& t, Stream& s) {
                                loss_backward(t.in("logits"), t.in("label"), t.in("slopes"), {}, {},
                                              t.out("dlogits"), terms, s);
                              }),
                 bounds});
}

// A block leaves its sums 8 bytes at a time, each in another sector. They are more with more
// classes and do not grow with the image from 1024 blocks on, so that with several classes images
// of 512x512 are the small ones. A table of constants too long for a kernel's arguments
// (fill_table) would ask for larger ones still: it is there for the gradient as well, whose blocks
// leave no sums, but read table and slopes for two tiles each.
void add_sums_and_gradients(std::vector<Measured>& all) {
  const auto elements = LabelForm::elements, classes = LabelForm::classes;
  const Shape one{2, 128, 128, 1}, three{2, 128, 128, 3}, four{2, 64, 64, 4}, many{2, 64, 64, 11};
  const Shape most{2, 32, 32, 128}, large4{1, 512, 512, 4}, large11{1, 512, 512, 11};
  const Bounds sums{.asked = 1.35};
  add_sums(all, "Dice, BCE", one, terms_of(elements, one));
  add_gradient(all, "Dice, BCE", one, terms_of(elements, one));
  add_sums(all, "Dice, BCE, focal, 3 channels", three, terms_of(elements, three, true), sums);
  add_gradient(all, "Dice, BCE, focal, 3 channels", three, terms_of(elements, three, true));
  add_sums(all, "Dice, CE, 4 classes", large4, terms_of(classes, large4), sums);
  add_gradient(all, "Dice, CE, 4 classes", four, terms_of(classes, four));
  add_sums(all, "Dice, CE, focal, 4 classes", {2, 512, 512, 4}, terms_of(classes, four, true),
           sums);
  add_gradient(all, "Dice, CE, focal, 4 classes", four, terms_of(classes, four, true));
  add_sums(all, "Dice, CE, 11 classes", large11, terms_of(classes, large11), sums);
  add_gradient(all, "Dice, CE, 11 classes", many, terms_of(classes, many), {.asked = 1.2});
  add_gradient(all, "Dice, CE, focal, 128 classes", most, terms_of(classes, most, true),
               {.asked = 1.9});
}

void add_formulas(std::vector<Measured>& all) {
  const auto add = [&](const char* what, Shape logits, const FormulaLoss& loss, Bounds bounds) {
    const Operand label = labels(logits, loss.label.form);
    all.push_back(
        {traffic_case("formula_loss_forward", what,
                      {read("logits", logits), label,
                       typed(write("slopes", {1, 1, 1, 2}), DType::f64), write("loss", {})},
                      {"logits"},
                      [loss](Operands& t, Stream& s) {
                        formula_loss_forward(t.in("logits"), t.in("label"), t.out("slopes"),
                                             t.out("loss"), loss, s);
                      }),
         bounds});
    all.push_back(
        {traffic_case("formula_loss_backward", what,
                      {read("logits", logits), label,
                       typed(read("slopes", {1, 1, 1, 2}), DType::f64), write("dlogits", logits)},
                      {"logits", "dlogits"},
                      [loss](Operands& t, Stream& s) {
                        formula_loss_backward(t.in("logits"), t.in("label"), t.in("slopes"), {},
                                              t.out("dlogits"), loss, s);
                      }),
         bounds});
  };
  // A thread reads its own pixel, value by value and as often as the formula asks: of many classes
  // each access of a warp is of 32 sectors, which the first-level cache keeps for the next ones.
  using Kind = LossFormula::Kind;
  add("wing", {2, 128, 128, 1},
      {.label = {LabelForm::elements, 255}, .formula = {.kind = Kind::wing}}, {.asked = 1.5});
  add("softmax focal, 19 classes", {2, 64, 64, 19},
      {.label = {LabelForm::classes, 255}, .formula = {.kind = Kind::softmax_focal}},
      {.asked = 35});
}

void add_lovasz(std::vector<Measured>& all, const char* what, Shape logits, const Operand& label,
                LabelForm form, Bounds bounds) {
  const Lovasz lovasz{.label = {form, 255}};
  const std::int64_t scratch = lovasz_scratch_count(logits, lovasz);
  std::vector<std::string> features{"logits"};
  if (label.dtype == DType::f32) features.emplace_back("label");
  all.push_back(
      {traffic_case("lovasz_forward", what,
                    {read("logits", logits), label, write("slope", logits), write("loss", {})},
                    features,
                    [=](Operands& t, Stream& s) {
                      const Out keys = t.temporary("scratch", {1, 1, 1, scratch}, DType::i64);
                      lovasz_forward(t.in("logits"), t.in("label"), t.out("slope"), keys,
                                     t.out("loss"), lovasz, s);
                    }),
       bounds});
}

// The kernels stand before and behind a sort, which is the library's and not counted. Its keys, 8
// bytes an error, are written once and read twice: blocks do not wait for each other, so each part
// of the scan needs the labels' sums of those before. Slopes are written where the errors came
// from.
void add_sorts(std::vector<Measured>& all) {
  const Shape one{1, 128, 128, 1}, four{1, 128, 128, 4};
  const auto share = [](std::int64_t i) { return uniform(5, i, 0, 1); };
  const auto elements = LabelForm::elements, classes = LabelForm::classes;
  add_lovasz(all, "hinge", one, labels(one, elements), elements, {.moved = 4.5, .asked = 8.6});
  add_lovasz(all, "hinge, soft labels", one, read("label", one, share), elements,
             {.moved = 4.1, .asked = 10.8});
  add_lovasz(all, "softmax, 4 classes", four, labels(four, classes), classes,
             {.moved = 5, .asked = 9.6});
}

void add_confusion(std::vector<Measured>& all, const char* what, Shape logits, Bounds bounds) {
  const auto form = logits.c == 1 ? LabelForm::elements : LabelForm::classes;
  const std::int64_t cells = confusion_cells(confusion_classes(logits.c));
  all.push_back({traffic_case("confusion_count", what,
                              {read("logits", logits), labels(logits, form),
                               typed(update("counts", {1, 1, 1, cells}), DType::i64)},
                              {"logits"},
                              [](Operands& t, Stream& s) {
                                confusion_count(t.in("logits"), t.in("label"), t.inout("counts"),
                                                {}, s);
                              }),
                 bounds});
}

}  // namespace

void add_loss_traffic(std::vector<Measured>& all) {
  add_sums_and_gradients(all);
  add_formulas(all);
  add_sorts(all);
  add_confusion(all, "one channel", {2, 128, 128, 1}, {});
  add_confusion(all, "4 classes", {2, 64, 64, 4}, {});
  // Each block adds its counts to those of all.
  add_confusion(all, "19 classes", {2, 64, 64, 19}, {.asked = 1.7});
}

}  // namespace fjord
