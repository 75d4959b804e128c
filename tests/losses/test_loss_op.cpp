// The loss op: gradients against finite differences, sums of losses, labels and logits at their
// worst.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/ops.h"
#include "kernels/cpu/backend.h"
#include "tests/losses/loss_run.h"

using namespace fjord;

namespace {

struct Problem {
  const char* what;
  Shape shape;
  std::vector<double> logits;
  LossLabel label;
  std::vector<const char*> losses;
};

const std::vector<const char*> kElementLosses{"dice",
                                              "dice(smooth=1, log_loss=true)",
                                              "jaccard",
                                              "tversky(alpha=0.3, beta=0.7, gamma=1.5)",
                                              "bce",
                                              "bce(smooth=0.1, pos_weight=3)",
                                              "lovasz",
                                              "lovasz(per_image=true)",
                                              "focal",
                                              "focal(alpha=0.25, gamma=1.5, normalized=true)",
                                              "focal(gamma=0.5, reduced_threshold=0.4)",
                                              "focal(gamma=0, reduction=sum)",
                                              "log_cosh_dice",
                                              "balanced_bce",
                                              "balanced_bce(gamma=1.5, reduction=sum)",
                                              "bi_tempered(iterations=60)",
                                              "bi_tempered(t1=0.5, t2=1, smooth=0.2)",
                                              "log_cosh",
                                              "quality_focal(beta=1.5)",
                                              "quality_focal(normalized=true)",
                                              "wing(width=2)",
                                              "0.5*dice+0.5*bce+0.2*lovasz+0.3*focal+0.1*wing"};
const std::vector<const char*> kChannelLosses{
    "balanced_bce(gamma=1.5, class_weights=[1, 2, 3])",
    "bi_tempered(iterations=60, class_weights=[1, 2, 3])", "log_cosh(class_weights=[1, 2, 3])",
    "quality_focal(normalized=true, class_weights=[1, 2, 3])",
    "wing(class_weights=[1, 2, 3])+dice"};
const std::vector<const char*> kClassLosses{
    "dice",
    "jaccard(log_loss=true, smooth=0.5)",
    "dice(classes=[0, 2])",
    "tversky(alpha=0.3, beta=0.7, gamma=1.5, class_weights=[1, 2, 3])",
    "softce",
    "softce(smooth=0.1, class_weights=[1, 2, 3])",
    "lovasz",
    "lovasz(per_image=true)",
    "focal",
    "focal(alpha=0.25, gamma=1.5, normalized=true, class_weights=[1, 2, 3])",
    "focal(gamma=3, reduced_threshold=0.4)",
    "log_cosh_dice",
    "soft_f1",
    "bi_tempered(iterations=60)",
    "bi_tempered(t1=0.5, t2=1, smooth=0.2)",
    "ce_focal",
    "ce_focal(gamma=1.5, reduced_threshold=0.4, normalized=true)",
    "ce_focal(gamma=1.5, normalized=true, class_weights=[1, 2, 3])",
    "focal_cosine(alpha=2, gamma=1.5)",
    "focal_cosine(class_weights=[1, 2, 3])",
    "bi_tempered(iterations=60, class_weights=[1, 2, 3])",
    "soft_f1(class_weights=[1, 2, 3])",
    "softmax_focal(gamma=1.5)",
    "softmax_focal(reduced_threshold=0.4, normalized=true)",
    "softmax_focal(normalized=true, class_weights=[1, 2, 3])",
    "focal_cosine+bi_tempered(iterations=60)",
    "0.3*focal+0.5*lovasz+0.5*softce(smooth=0.1)+0.1*dice+0.1*softmax_focal"};

LossLabel label(Shape shape, bool hard, int classes) {
  LossLabel l{shape, hard, golden::stream("losses.label", shape.count())};
  for (double& t : l.values) t = hard ? std::floor((t + 1) / 2 * classes) : (t + 1) / 2;
  l.values.back() = 255;
  return l;
}

std::vector<Problem> problems() {
  const Shape one{2, 3, 5, 1}, three{2, 3, 4, 3}, pixels{2, 3, 4, 1};
  LossLabel many = label(three, false, 2);
  for (double& t : many.values) t = t == 255 ? t : std::round(t);
  std::vector<const char*> binary{"mcc", "0.5*mcc(eps=0.1)+dice", "soft_f1"};
  binary.insert(binary.end(), kElementLosses.begin(), kElementLosses.end());
  std::vector<const char*> channels = kChannelLosses;
  channels.insert(channels.end(), kElementLosses.begin(), kElementLosses.end());
  return {{"binary", one, golden::tensor("losses.logits", one, 3), label(one, true, 2), binary},
          {"soft binary", one, golden::tensor("losses.logits", one, 3), label(one, false, 2),
           kElementLosses},
          {"multi-label", three, golden::tensor("losses.logits", three, 3), many, channels},
          {"classes", three, golden::tensor("losses.logits", three, 3), label(pixels, true, 3),
           kClassLosses}};
}

LossExpression ignoring(const char* text) {
  LossExpression expression = parse_loss(text);
  expression.ignore = 255;
  return expression;
}

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (double v : x) sum += v * v;
  return std::sqrt(sum);
}

double distance(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a) / std::max(norm(b), 1e-300);
}

std::vector<double> differences(const LossExpression& expression, const Problem& p) {
  constexpr double step = 1e-5;
  std::vector<double> logits = p.logits, gradient;
  for (double& z : logits) {
    const double middle = z;
    z = middle + step;
    const double above = run_loss(expression, p.shape, logits, p.label, Backend::reference).value;
    z = middle - step;
    const double below = run_loss(expression, p.shape, logits, p.label, Backend::reference).value;
    z = middle;
    gradient.push_back((above - below) / (2 * step));
  }
  return gradient;
}

}  // namespace

TEST_CASE("gradients: the reference against finite differences, the CPU against the reference") {
  for (const Problem& p : problems())
    for (const char* text : p.losses) {
      CAPTURE(std::string(p.what));
      CAPTURE(std::string(text));
      const LossExpression expression = ignoring(text);
      const LossRun exact = run_loss(expression, p.shape, p.logits, p.label, Backend::reference);
      // The central difference's own error: step^2 of curvature, 1e-16 / step of rounding.
      CHECK(distance(exact.dlogits, differences(expression, p)) <= 1e-8);
      const LossRun cpu = run_loss(expression, p.shape, p.logits, p.label, Backend::cpu);
      CHECK(std::fabs(cpu.value - exact.value) <= 2e-6 * std::fabs(exact.value));
      CHECK(distance(cpu.dlogits, exact.dlogits) <= 2e-6);
    }
}

TEST_CASE("a sum of losses is the weighted sum of their values and gradients") {
  for (const Problem& p : problems()) {
    CAPTURE(std::string(p.what));
    const bool classes = std::string_view(p.what) == "classes";
    const char* pixel = classes ? "softce(smooth=0.1)" : "bce";
    std::vector<double> sum(p.logits.size(), 0);
    double value = 0;
    for (const char* one : {pixel, "dice", "lovasz"}) {
      const LossRun run = run_loss(ignoring(one), p.shape, p.logits, p.label, Backend::cpu);
      value += 0.25 * run.value;
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += 0.25 * run.dlogits[i];
    }
    const std::string all = std::string("0.25*dice+0.25*lovasz+0.25*") + pixel;
    const LossRun fused = run_loss(ignoring(all.c_str()), p.shape, p.logits, p.label, Backend::cpu);
    // A few roundings to float: the fused loss is rounded once, each of the three by itself.
    CHECK(fused.value == doctest::Approx(value).epsilon(1e-6));
    CHECK(distance(fused.dlogits, sum) <= 1e-6);
  }
}

TEST_CASE("a batch that is all ignored costs nothing and teaches nothing") {
  for (Problem p : problems()) {
    std::fill(p.label.values.begin(), p.label.values.end(), 255.0);
    for (const char* text : p.losses)
      for (const Backend backend : {Backend::cpu, Backend::reference}) {
        CAPTURE(std::string(p.what));
        CAPTURE(std::string(text));
        const LossRun run = run_loss(ignoring(text), p.shape, p.logits, p.label, backend);
        CHECK(run.value == 0);
        CHECK(norm(run.dlogits) == 0);
      }
  }
}

TEST_CASE("labels that are no class count as ignored") {
  for (Problem p : problems()) {
    if (!p.label.hard) continue;
    const char* text = p.losses.back();
    LossLabel wrong = p.label;
    std::replace(wrong.values.begin(), wrong.values.end(), 255.0, 77.0);
    const LossRun ignored = run_loss(ignoring(text), p.shape, p.logits, p.label, Backend::cpu);
    const LossRun unknown = run_loss(parse_loss(text), p.shape, p.logits, wrong, Backend::cpu);
    CHECK(ignored.value == unknown.value);
    CHECK(ignored.dlogits == unknown.dlogits);
  }
}

TEST_CASE("logits of +-1e30 give finite losses and gradients") {
  for (Problem p : problems()) {
    for (std::size_t i = 0; i < p.logits.size(); ++i) p.logits[i] = i % 3 == 0 ? 1e30 : -1e30;
    for (const char* text : p.losses) {
      CAPTURE(std::string(p.what));
      CAPTURE(std::string(text));
      const LossRun run = run_loss(ignoring(text), p.shape, p.logits, p.label, Backend::cpu);
      CHECK(std::isfinite(run.value));
      CHECK(std::isfinite(norm(run.dlogits)));
    }
  }
}

TEST_CASE("a NaN logit reaches the loss") {
  for (Problem p : problems()) {
    p.logits[0] = NAN;
    for (const char* text : p.losses) {
      CAPTURE(std::string(p.what));
      CAPTURE(std::string(text));
      CHECK(std::isnan(run_loss(ignoring(text), p.shape, p.logits, p.label, Backend::cpu).value));
    }
  }
}

TEST_CASE("a label of another type than u8 or the logits' is refused while recording") {
  Parameters parameters;
  Tape tape(parameters, {});
  const Net net{&tape, "loss."};
  Tensor logits = net.resident({1, 2, 2, 1}, DType::f32, "logits");
  for (const DType wrong : {DType::f64, DType::u16, DType::i64})
    CHECK_THROWS_AS(
        loss(net, logits, net.resident({1, 2, 2, 1}, wrong, "label"), parse_loss("dice")), Error);
}

TEST_CASE("in evaluation the loss leaves no backward steps") {
  enable_cpu_kernels();
  Parameters parameters;
  Tape tape(parameters, {Backend::cpu, DType::f32, Mode::eval});
  const Net net{&tape, "loss."};
  Tensor logits = net.resident({1, 2, 2, 1}, DType::f32, "logits");
  loss(net, logits, net.resident({1, 2, 2, 1}, DType::u8, "label"), parse_loss("dice+lovasz"));
  net.backward();
  CHECK(tape.steps.size() == 2);
}
