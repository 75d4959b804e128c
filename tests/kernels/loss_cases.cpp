// Cases of the losses and of the confusion matrix.
#include "kernels/loss.h"

#include <cmath>
#include <vector>

#include "kernels/confusion.h"
#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

// A form of label on a shape of logits.
struct Setting {
  const char* what;
  Shape logits;
  LabelForm form;
  bool soft;  // labels of the logits' type
};

// The sizes are odd, one value, one channel, one more than a chunk of pixels, and the most classes.
const std::vector<Setting> settings{
    {"binary", {1, 1, 1, 1}, LabelForm::elements, false},
    {"binary", {2, 7, 9, 1}, LabelForm::elements, false},
    {"binary, chunks", {3, 64, 65, 1}, LabelForm::elements, false},
    {"soft binary", {2, 7, 9, 1}, LabelForm::elements, true},
    {"multi-label", {2, 5, 7, 3}, LabelForm::elements, true},
    {"multi-label, chunks", {2, 47, 91, 3}, LabelForm::elements, true},
    {"classes", {1, 1, 1, 2}, LabelForm::classes, false},
    {"classes", {2, 5, 7, 4}, LabelForm::classes, false},
    {"classes, chunks", {3, 41, 67, 5}, LabelForm::classes, false},
    {"two classes, chunks", {3, 41, 67, 2}, LabelForm::classes, false},
    {"classes, most", {1, 3, 5, 256}, LabelForm::classes, false},
};

Operand logits_of(const Setting& s) {
  return read("logits", s.logits, [](std::int64_t i) { return uniform(1, i, -4, 4); });
}

// Hard labels: mostly classes, some 255, some that are no class. Soft ones: in [0, 1], some 255.
Operand label_of(const Setting& s) {
  const double classes = s.form == LabelForm::classes ? static_cast<double>(s.logits.c) : 2;
  const Shape shape{s.logits.n, s.logits.h, s.logits.w,
                    s.form == LabelForm::classes ? 1 : s.logits.c};
  auto value = [=, soft = s.soft](std::int64_t i) {
    const double kind = uniform(2, i, 0, 1), u = uniform(3, i, 0, 1);
    if (i > 0 && kind < 0.1) return 255.0;
    if (soft) return kind < 0.5 ? std::round(u) : u;
    if (i > 0 && kind < 0.13 && classes < 200) return classes + 3;
    return std::min(std::floor(u * classes), classes - 1);
  };
  Operand label = read("label", shape, value);
  return s.soft ? label : typed(label, DType::u8);
}

std::vector<double> weights(std::int64_t channels) {
  std::vector<double> values;
  for (std::int64_t c = 0; c < channels; ++c) values.push_back(0.5 + 0.25 * static_cast<double>(c));
  return values;
}

std::vector<double> shares(std::int64_t channels) {
  std::vector<double> values = weights(channels);
  double sum = 0;
  for (double v : values) sum += v;
  for (double& v : values) v /= sum;
  return values;
}

// Every region and pixel loss that the form takes, with every option used by one of them.
LossTerms terms_of(const Setting& s) {
  LossTerms terms{{s.form, 255}, {}, {}};
  const std::vector<double> share = shares(s.logits.c);
  terms.regions.push_back({.weight = 0.7, .share = share});
  terms.regions.push_back({.alpha = 0.3, .beta = 0.7, .gamma = 1.5, .smooth = 1, .share = share});
  terms.regions.push_back({.alpha = 1, .beta = 1, .smooth = 0.5, .log_loss = true, .share = share});
  if (s.form == LabelForm::elements) {
    terms.pixels.push_back({.weight = 0.5});
    terms.pixels.push_back(
        {.smooth = 0.1, .positive = weights(s.logits.c), .class_weights = weights(s.logits.c)});
  } else {
    const auto ce = PixelLoss::Kind::softce;
    terms.pixels.push_back({.kind = ce, .weight = 0.5, .smooth = 0.1});
    terms.pixels.push_back({.kind = ce, .class_weights = weights(s.logits.c)});
  }
  return terms;
}

// Runs loss_forward and shows its double slopes as a tensor of the backend's type, so that they are
// held to what float probabilities allow.
void run_forward(Operands& t, const LossTerms& terms, Stream& stream) {
  const Shape shape = t.in("slopes").shape();
  std::vector<double> values(static_cast<std::size_t>(shape.count()), NAN);
  Buffer slopes{"slopes", shape, DType::f64, values.data()};
  loss_forward(t.in("logits"), t.in("label"), Out{&slopes}, t.out("loss"), terms, stream);
  Out shown = t.out("slopes");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (shown.dtype() == DType::f64)
      shown.as<double>()[i] = values[i];
    else
      shown.as<float>()[i] = static_cast<float>(values[i]);
}

void run_lovasz(Operands& t, const Lovasz& lovasz, Stream& stream) {
  const std::int64_t count = lovasz_scratch_count(t.in("logits").shape(), lovasz);
  Buffer scratch{"scratch",
                 {1, 1, 1, count},
                 DType::i64,
                 t.scratch(static_cast<std::size_t>(count) * sizeof(std::int64_t))};
  lovasz_forward(t.in("logits"), t.in("label"), t.out("slope"), Out{&scratch}, t.out("loss"),
                 lovasz, stream);
}

OpCase forward_case(const Setting& s, Write mode, const std::string& what) {
  const LossTerms terms = terms_of(s);
  const std::int64_t slopes =
      loss_slope_count(s.logits.c, static_cast<std::int64_t>(terms.pixels.size()));
  return {.slot = "loss_forward",
          .what = what,
          .reduction = s.logits.pixels(),
          .tensors = {logits_of(s), label_of(s), write("slopes", {1, 1, 1, slopes}),
                      write("loss", {}, mode)},
          .run = [=](Operands& t, Stream& stream) { run_forward(t, terms, stream); }};
}

// Errors that float and double sort alike, since a swap changes slopes: logits and soft labels
// whose products are exact in float; probabilities of two classes at least 1e-5 apart (z and -z
// never meet on this grid); else so few pixels that none are near.
std::vector<Operand> sortable(const Setting& s) {
  Operand logits = logits_of(s), label = label_of(s);
  if (s.form == LabelForm::elements) {
    logits.values = [](std::int64_t i) { return std::round(uniform(1, i, -4, 4) * 1024) / 1024; };
    label.values = [values = label.values](std::int64_t i) {
      return std::round(values(i) * 16) / 16;
    };
  } else if (s.logits.c == 2) {
    logits.values = [pixels = s.logits.pixels()](std::int64_t i) {
      const auto place = static_cast<double>(i / 2 * 4099 % pixels) + 0.25;
      return i % 2 ? 0 : -4 + 8 * place / static_cast<double>(pixels);
    };
  }
  return {logits, label};
}

OpCase lovasz_case(const Setting& s, Write mode, const std::string& what) {
  const Lovasz lovasz{{s.form, 255}, 0.5, mode == Write::add};
  return {.slot = "lovasz_forward",
          .what = what + (lovasz.per_image ? " per image" : ""),
          .reduction = s.logits.pixels(),
          .tensors = {sortable(s)[0], sortable(s)[1], write("slope", s.logits),
                      write("loss", {}, mode)},
          .run = [=](Operands& t, Stream& stream) { run_lovasz(t, lovasz, stream); }};
}

// Which of the two slopes the backward step is given.
struct Given {
  bool sums, lovasz;
};

OpCase backward_case(const Setting& s, Write mode, const std::string& what, Given given) {
  LossTerms terms = terms_of(s);
  if (!given.sums) terms = {terms.label, {}, {}};
  std::vector<Operand> tensors{logits_of(s), label_of(s), write("dlogits", s.logits, mode)};
  const std::int64_t slopes =
      loss_slope_count(s.logits.c, static_cast<std::int64_t>(terms.pixels.size()));
  if (given.sums) tensors.push_back(typed(read("slopes", {1, 1, 1, slopes}), DType::f64));
  if (given.lovasz) tensors.push_back(read("slope", s.logits));
  return {.slot = "loss_backward",
          .what = what + (given.sums ? " sums" : "") + (given.lovasz ? " lovasz" : ""),
          .reduction = 16 * s.logits.c,  // each of a pixel's probabilities is rounded a few times
          .tensors = tensors,
          .run = [=](Operands& t, Stream& stream) {
            loss_backward(t.in("logits"), t.in("label"), t.in("slopes"), t.in("slope"),
                          t.out("dlogits"), terms, stream);
          }};
}

OpCase confusion_case(Shape logits) {
  const std::int64_t classes = confusion_classes(logits.c);
  const Shape pixels{logits.n, logits.h, logits.w, 1};
  auto logit = [](std::int64_t i) {  // coarse, so that logits tie; some are NaN
    return i % 97 == 5 ? NAN : std::round(uniform(4, i, -3, 3));
  };
  auto label = [=](std::int64_t i) {
    return i % 11 == 3 ? 255 : std::floor(uniform(5, i, 0, static_cast<double>(classes) + 0.3));
  };
  return {.slot = "confusion_count",
          .what = to_string(logits),
          .tensors = {read("logits", logits, logit), typed(read("label", pixels, label), DType::u8),
                      typed(update("counts", {1, 1, 1, confusion_cells(classes)},
                                   [](std::int64_t i) { return static_cast<double>(i % 3); }),
                            DType::i64)},
          .run = [](Operands& t, Stream& stream) {
            confusion_count(t.in("logits"), t.in("label"), t.inout("counts"), {}, stream);
          }};
}

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> cases;
  for (const Setting& s : settings)
    for (const Write mode : {Write::store, Write::add}) {
      const std::string what =
          std::string(s.what) + " " + to_string(s.logits) + (mode == Write::add ? " added" : "");
      cases.push_back(forward_case(s, mode, what));
      if (s.form == LabelForm::elements || s.logits.c == 2 || s.logits.pixels() < 100)
        cases.push_back(lovasz_case(s, mode, what));
      for (const Given given : {Given{true, true}, Given{true, false}, Given{false, true}})
        cases.push_back(backward_case(s, mode, what, given));
    }
  for (const Shape logits : {Shape{1, 1, 1, 1}, {3, 17, 23, 1}, {1, 1, 1, 2}, {2, 31, 33, 6}})
    cases.push_back(confusion_case(logits));
  return cases;
}

const AddCases added(loss_cases);

}  // namespace

}  // namespace fjord
