// Cases of the losses and of the confusion matrix.
#include "kernels/loss.h"

#include <cmath>
#include <vector>

#include "kernels/confusion.h"
#include "tests/kernels/loss_settings.h"

namespace fjord {

namespace {

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

// Every region and pixel loss that the form takes, with every option used by one of them; `all`
// with those that count pixels too, which other kernels sum.
enum class Extent : std::uint8_t { few, all };

LossTerms terms_of(const Setting& s, Extent extent) {
  LossTerms terms{{s.form, 255}, {}, {}};
  const std::vector<double> share = shares(s.logits.c);
  terms.regions.push_back({.weight = 0.7, .share = share});
  terms.regions.push_back({.weight = 0.6, .share = share, .log_cosh = true});
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
  if (extent == Extent::few) return terms;
  if (!s.soft)  // an eps that does not vanish beside what float leaves of a count of one pixel
    terms.regions.push_back(
        {.weight = 0.3, .eps = 0.1, .share = share, .score = RegionScore::Kind::matthews});
  if (!s.soft)
    terms.regions.push_back(
        {.weight = 0.4, .eps = 1e-6, .share = share, .score = RegionScore::Kind::soft_f1});
  terms.focal = FocalLoss{.weight = 0.8, .share = share};
  if (s.logits.w % 2 == 1) {
    terms.focal->gamma = 1.5;
    terms.focal->alpha = 0.25;
    terms.focal->normalized = true;
  }
  if (s.logits.h % 2 == 1) terms.focal->reduced_threshold = 0.5;
  return terms;
}

// Shows loss_forward's double slopes as a tensor of the backend's type, so that they are held to
// what float probabilities allow.
void run_forward(Operands& t, const LossTerms& terms, Stream& stream) {
  const Out slopes = t.temporary("doubles", t.in("slopes").shape(), DType::f64);
  loss_forward(t.in("logits"), t.in("label"), slopes, t.out("loss"), terms, stream);
  t.show("doubles", "slopes");
}

void run_lovasz(Operands& t, const Lovasz& lovasz, Stream& stream) {
  const std::int64_t count = lovasz_scratch_count(t.in("logits").shape(), lovasz);
  const Out scratch = t.temporary("scratch", {1, 1, 1, count}, DType::i64);
  lovasz_forward(t.in("logits"), t.in("label"), t.out("slope"), scratch, t.out("loss"), lovasz,
                 stream);
}

Extent extent_of(Write mode) { return mode == Write::add ? Extent::all : Extent::few; }

OpCase forward_case(const Setting& s, Write mode, const std::string& what) {
  const LossTerms terms = terms_of(s, extent_of(mode));
  const std::int64_t slopes = loss_slope_count(s.logits.c, terms);
  return {.slot = "loss_forward",
          .what = what,
          .reduction = s.logits.pixels(),
          .tensors = {logits_of(s), label_of(s), write("slopes", {1, 1, 1, slopes}),
                      write("loss", {}, mode)},
          .features = features_of(s),
          .run = [=](Operands& t, Stream& stream) { run_forward(t, terms, stream); }};
}

// Errors that float and double sort alike, since a swap changes slopes: logits and soft labels
// whose products are exact in float; for two classes logits of 8 bits, even ones above 0 and odd
// ones below, so that errors are equal (and stay in order) or at least 1e-4 apart, for z and -z
// never meet; else so few pixels that none are near.
std::vector<Operand> sortable(const Setting& s) {
  Operand logits = logits_of(s), label = label_of(s);
  if (s.form == LabelForm::elements) {
    logits.values = [values = logits.values](std::int64_t i) {
      return std::round(values(i) * 1024) / 1024;
    };
    label.values = [values = label.values](std::int64_t i) {
      return std::round(values(i) * 16) / 16;
    };
  } else if (s.logits.c == 2) {
    logits.values = [](std::int64_t i) {
      const bool below = uniform(6, i, 0, 1) < 0.5;
      const double bits = 128 + 2 * std::floor(uniform(7, i, 0, 64)) + (below ? 1 : 0);
      const double size = std::ldexp(bits, static_cast<int>(uniform(8, i, 0, 3.99)) - 9);
      return i % 2 ? 0 : below ? -size : size;
    };
  }
  return {logits, label};
}

// `together`: how many errors a GPU sorts at once; few, so that it has to sort several times.
OpCase lovasz_case(const Setting& s, Write mode, const std::string& what, std::int64_t together) {
  const Lovasz lovasz{{s.form, 255}, 0.5, mode == Write::add, together};
  return {.slot = "lovasz_forward",
          .what = what + (lovasz.per_image ? " per image " : " ") + std::to_string(together),
          .reduction = s.logits.pixels(),
          .tensors = {sortable(s)[0], sortable(s)[1], write("slope", s.logits),
                      write("loss", {}, mode)},
          .features = features_of(s),
          .run = [=](Operands& t, Stream& stream) { run_lovasz(t, lovasz, stream); }};
}

// Which inputs the backward step is given besides logits and label.
struct Given {
  bool sums, lovasz, scale;
};

OpCase backward_case(const Setting& s, Write mode, const std::string& what, Given given) {
  LossTerms terms = terms_of(s, extent_of(mode));
  if (!given.sums) terms = {terms.label, {}, {}};
  std::vector<Operand> tensors{logits_of(s), label_of(s), write("dlogits", s.logits, mode)};
  const std::int64_t slopes = loss_slope_count(s.logits.c, terms);
  if (given.sums) tensors.push_back(typed(read("slopes", {1, 1, 1, slopes}), DType::f64));
  if (given.lovasz) tensors.push_back(read("slope", s.logits));
  if (given.scale) tensors.push_back(read("scale", {}, [](std::int64_t) { return 512.0; }));
  return {
      .slot = "loss_backward",
      .what = what + (given.sums ? " sums" : "") + (given.lovasz ? " lovasz" : "") +
              (given.scale ? " scale" : ""),
      // A pixel's probabilities are rounded a few times each, then their mean slope is taken away.
      .reduction = 64 * s.logits.c,
      .tensors = tensors,
      .features = features_of(s),
      .run = [=](Operands& t, Stream& stream) {
        loss_backward(t.in("logits"), t.in("label"), t.in("slopes"), t.in("slope"), t.in("scale"),
                      t.out("dlogits"), terms, stream);
      }};
}

// A NaN logit reaches the loss: seen as a pixel that the confusion matrix counts as NaN, for a NaN
// itself compares with nothing.
OpCase nan_case(const Setting& s, bool lovasz) {
  Operand logits = logits_of(s);
  logits.values = [values = logits.values](std::int64_t i) { return i == 0 ? NAN : values(i); };
  const auto ones = [](std::int64_t) { return 1.0; };
  return {.slot = lovasz ? "lovasz_forward" : "loss_forward",
          .what = std::string("NaN ") + s.what + " " + to_string(s.logits),
          .tensors = {logits, label_of(s), typed(read("one", {}, ones), DType::u8),
                      typed(update("counts", {1, 1, 1, confusion_cells(2)}, ones), DType::i64)},
          .features = features_of(s),
          .run = [=, terms = terms_of(s, Extent::all)](Operands& t, Stream& stream) {
            const bool exact = stream.backend == Backend::reference;
            const DType real = exact ? DType::f64 : DType::f32;
            const Shape shape = t.in("logits").shape();
            const Out loss = t.temporary("loss", {}, real);
            const Lovasz hinge{{s.form, 255}};
            if (lovasz)
              lovasz_forward(
                  t.in("logits"), t.in("label"), t.temporary("slope", shape, real),
                  t.temporary("scratch", {1, 1, 1, lovasz_scratch_count(shape, hinge)}, DType::i64),
                  loss, hinge, stream);
            else
              loss_forward(
                  t.in("logits"), t.in("label"),
                  t.temporary("slopes", {1, 1, 1, loss_slope_count(shape.c, terms)}, DType::f64),
                  loss, terms, stream);
            confusion_count(In{loss.buffer}, t.in("one"), t.inout("counts"), {}, stream);
          }};
}

OpCase confusion_case(Shape logits, double threshold) {
  const std::int64_t classes = confusion_classes(logits.c);
  const Shape pixels{logits.n, logits.h, logits.w, 1};
  auto logit = [](std::int64_t i) {  // coarse, so that logits tie; some are NaN
    return i % 97 == 5 ? NAN : std::round(uniform(4, i, -3, 3));
  };
  auto label = [=](std::int64_t i) {
    return i % 11 == 3 ? 255 : std::floor(uniform(5, i, 0, static_cast<double>(classes) + 0.3));
  };
  return {.slot = "confusion_count",
          .what = to_string(logits) + " " + std::to_string(threshold),
          .tensors = {read("logits", logits, logit), typed(read("label", pixels, label), DType::u8),
                      typed(update("counts", {1, 1, 1, confusion_cells(classes)},
                                   [](std::int64_t i) { return static_cast<double>(i % 3); }),
                            DType::i64)},
          .features = {"logits"},
          .run = [=](Operands& t, Stream& stream) {
            confusion_count(t.in("logits"), t.in("label"), t.inout("counts"),
                            {.threshold_logit = threshold}, stream);
          }};
}

void add_cases_of(const Setting& s, Write mode, std::vector<OpCase>& cases) {
  const std::string what =
      std::string(s.what) + " " + to_string(s.logits) + (mode == Write::add ? " added" : "");
  cases.push_back(forward_case(s, mode, what));
  const bool sortable = s.form == LabelForm::elements || s.logits.c == 2 || s.logits.pixels() < 100;
  if (sortable && !s.nan_ignored && s.range < 10)
    cases.push_back(lovasz_case(s, mode, what, mode == Write::add ? 300 : 1 << 22));
  cases.push_back(backward_case(s, mode, what, {true, true, mode == Write::add}));
  cases.push_back(backward_case(s, mode, what, {true, false, false}));
  // Where softmax is nearly 0 or 1, Lovasz's gradient alone is the rounding of what cancels in it.
  if (s.form == LabelForm::elements || s.range < 10)
    cases.push_back(backward_case(s, mode, what, {false, true, true}));
}

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> cases;
  for (const Setting& s : settings)
    for (const Write mode : {Write::store, Write::add}) add_cases_of(s, mode, cases);
  for (const std::size_t i : {1, 7, 13})
    for (const bool lovasz : {false, true}) cases.push_back(nan_case(settings[i], lovasz));
  for (const Shape logits : {Shape{1, 1, 1, 1},
                             {3, 17, 23, 1},
                             {1, 1, 1, 2},
                             {2, 31, 33, 6},
                             {1, 9, 7, 16},
                             {2, 9, 5, 19},
                             {1, 5, 7, 100},
                             {1, 3, 5, 256}})
    cases.push_back(confusion_case(logits, 0));
  cases.push_back(confusion_case({1, 17, 23, 1}, 1.5));
  return cases;
}

const AddCases added(loss_cases);

}  // namespace

}  // namespace fjord
