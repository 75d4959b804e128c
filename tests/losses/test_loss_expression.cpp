// What a loss expression may say, and what each mistake is told.
#include <doctest/doctest.h>

#include "engine/loss_expression.h"
#include "kernels/error.h"

using namespace fjord;

namespace {

std::string message(const std::string& text) {
  try {
    parse_loss(text);
  } catch (const Error& e) {
    CHECK(e.exit == ExitCode::usage);
    CHECK(e.slug == "loss");
    return e.what();
  }
  return "accepted";
}

const std::string kKnown =
    "Known: balanced_bce, bce, bi_tempered, ce_focal, dice, focal, focal_cosine, jaccard, "
    "log_cosh, "
    "log_cosh_dice, lovasz, mcc, quality_focal, soft_f1, softce, softmax_focal, tversky, wing";
const Shape kBinary{2, 4, 4, 1}, kClasses{2, 4, 4, 3}, kPixels{2, 4, 4, 1};

std::string refusal(const LossExpression& expression, Shape logits, Shape label, DType dtype) {
  try {
    loss_kernels(expression, logits, label, dtype);
  } catch (const Error& e) {
    CHECK(e.exit == ExitCode::usage);
    return e.what();
  }
  return "accepted";
}

std::string refusal(const std::string& text, Shape logits = kClasses, Shape label = kPixels,
                    DType dtype = DType::u8) {
  return refusal(parse_loss(text), logits, label, dtype);
}

}  // namespace

TEST_CASE("expressions say what was written, spaces and defaults aside") {
  CHECK(to_string(parse_loss("0.5*dice+0.5*bce")) == "0.5*dice + 0.5*bce");
  CHECK(to_string(parse_loss(" 0.5 * lovasz + .5*softce( smooth = 0.1 ) ")) ==
        "0.5*lovasz + 0.5*softce(smooth=0.1)");
  CHECK(to_string(
            parse_loss("dice(smooth=0, log_loss=true, classes=[1, 2], class_weights=[1,2,3])")) ==
        "dice(log_loss=true, classes=[1, 2], class_weights=[1, 2, 3])");
  CHECK(to_string(parse_loss("tversky(alpha=.3,beta=.7,gamma=1.5)")) ==
        "tversky(alpha=0.3, beta=0.7, gamma=1.5)");
  CHECK(to_string(parse_loss("bce(pos_weight=3, weight=[1,2], reduction=sum)")) ==
        "bce(pos_weight=[3], weight=[1, 2], reduction=sum)");
  CHECK(to_string(parse_loss("lovasz(per_image=1, ignore=255)+dice(ignore=255)")) ==
        "lovasz(per_image=true) + dice, ignoring label 255");
  CHECK(to_string(parse_loss("jaccard()")) == "jaccard");
}

TEST_CASE("a written expression reads back as itself") {
  for (const char* text :
       {"0.5*dice + 0.5*bce(smooth=0.1)", "2*lovasz(per_image=true)",
        "tversky(smooth=1, eps=1e-05, alpha=0.3)", "softce + jaccard", "focal",
        "focal(alpha=0.25, gamma=1.5, normalized=true, reduced_threshold=0.5, "
        "class_weights=[1, 2, 3], reduction=sum)",
        "mcc", "mcc(eps=1e-07)", "balanced_bce(gamma=2)",
        "bi_tempered(t1=0.5, t2=2, smooth=0.1, iterations=9)", "ce_focal(gamma=1)",
        "focal_cosine(alpha=2, gamma=1, xent=0.3)", "log_cosh", "log_cosh_dice(smooth=1)",
        "quality_focal(beta=1, normalized=true)", "soft_f1(eps=0.1)",
        "softmax_focal(reduced_threshold=0.5)", "wing(width=2, curvature=1, reduction=sum)"}) {
    CHECK(to_string(parse_loss(text)) == text);
    CHECK(to_string(parse_loss(to_string(parse_loss(text)))) == text);
  }
}

TEST_CASE("mistakes name the position, what stands there and the nearest name") {
  CHECK(message("0.5*dicce+bce") ==
        "error[E-loss] --loss \"0.5*dicce+bce\" - position 5: there is no loss 'dicce' - did you "
        "mean 'dice'? " +
            kKnown);
  CHECK(message("softce(smoth=0.1)") ==
        "error[E-loss] --loss \"softce(smoth=0.1)\" - position 8: there is no option of softce "
        "'smoth' - did you mean 'smooth'? Known: smooth, ignore, reduction, class_weights");
  CHECK(message("") ==
        "error[E-loss] --loss \"\" - position 1: expected loss - k" + kKnown.substr(1));
  CHECK(message("dice + ") ==
        "error[E-loss] --loss \"dice + \" - position 8: expected loss - k" + kKnown.substr(1));
  CHECK(message("0*dice").find("position 1: a weight is above 0") != std::string::npos);
  CHECK(message("-1*dice").find("position 1: a weight is above 0") != std::string::npos);
  CHECK(message("1e999*dice").find("position 1: expected a finite number") != std::string::npos);
  CHECK(message("0.5dice").find("position 4: expected '*' after a weight") != std::string::npos);
  CHECK(message("dice bce").find("position 6: expected '+' or the end") != std::string::npos);
  CHECK(message("dice(smooth=1").find("position 14: expected ')' after the options") !=
        std::string::npos);
  CHECK(message("dice(smooth)").find("position 12: expected '='") != std::string::npos);
  CHECK(message("dice(smooth=nan)").find("position 13: expected a finite number") !=
        std::string::npos);
  CHECK(message("dice(classes=[1,2)").find("position 18: expected ']'") != std::string::npos);
  CHECK(message("dice(log_loss=yes)").find("position 15: expected true or false") !=
        std::string::npos);
  CHECK(message("bce(ignore=256)").find("position 12: an ignored label is 0..255") !=
        std::string::npos);
  CHECK(message("bce(reduction=none)").find("position 15: a reduction is mean or sum") !=
        std::string::npos);
  CHECK(message("dice(ignore=1)+bce(ignore=2)").find("ignore the same label") != std::string::npos);
  CHECK(message("di\x1b[31mce").find("\\x1b") != std::string::npos);
}

TEST_CASE("an expression is refused where it does not fit the shapes") {
  CHECK(refusal("softce", kBinary) ==
        "error[E-loss] --loss \"softce\" - softce needs more than one class - use bce");
  CHECK(
      refusal("bce(ignore=255)") ==
      "error[E-loss] --loss \"bce\" - bce compares each logit with a label of its own; here are 3 "
      "channels and class labels - use softce for more than one class");
  CHECK(refusal("softce", kClasses, kClasses, DType::f32).find("softce needs class labels") !=
        std::string::npos);
  CHECK(
      refusal("dice", kClasses, {2, 4, 5, 1}) ==
      "error[E-loss] --loss \"dice\" - logits are 2x4x4x3, the label is 2x4x5x1 of class numbers - "
      "give one class number per pixel (at most 256 classes) or one label per channel");
  CHECK(refusal("dice", {1, 4, 4, 257}, {1, 4, 4, 1}).find("at most 256") != std::string::npos);
  CHECK(refusal("dice(classes=[3])").find("names class 3, the classes are 0..2") !=
        std::string::npos);
  CHECK(refusal("dice(classes=[0])", kBinary).find("needs more than one class") !=
        std::string::npos);
  CHECK(refusal("lovasz+lovasz").find("lovasz stands twice") != std::string::npos);
  CHECK(refusal("focal+focal(gamma=1)").find("focal stands twice") != std::string::npos);
  CHECK(refusal("focal(alpha=25)").find("alpha between 0 and 1") != std::string::npos);
  CHECK(refusal("focal(reduced_threshold=0)").find("reduced_threshold above 0") !=
        std::string::npos);
  CHECK(refusal("mcc").find("mcc is a loss of binary labels") != std::string::npos);
  CHECK(refusal("mcc", kBinary, kPixels, DType::f32).find("mcc is a loss of binary labels") !=
        std::string::npos);
  CHECK(refusal("wing").find("wing compares each logit with a label of its own") !=
        std::string::npos);
  CHECK(refusal("focal_cosine", kBinary).find("focal_cosine needs more than one class") !=
        std::string::npos);
  CHECK(refusal("soft_f1", kBinary, kPixels, DType::f32).find("soft_f1 is a loss of hard labels") !=
        std::string::npos);
  CHECK(refusal("bi_tempered(t1=1.5)").find("t1 <= 1 <= t2") != std::string::npos);
  CHECK(refusal("bi_tempered(iterations=1.5)").find("1 to 1000 iterations") != std::string::npos);
  CHECK(refusal("wing(width=0)", kBinary).find("width and curvature above 0") != std::string::npos);
  CHECK(refusal("dice(eps=0)").find("eps > 0") != std::string::npos);
  CHECK(refusal("softce(smooth=2)").find("smooth between 0 and 1") != std::string::npos);
}

TEST_CASE("class weights are checked, given to every term that takes them") {
  LossExpression e = parse_loss("0.5*lovasz+0.5*softce(smooth=0.1)");
  e.class_weights = {1, 2, 3};
  CHECK(to_string(e).ends_with(", class weights [1, 2, 3]"));
  const LossKernels kernels = loss_kernels(e, kClasses, kPixels, DType::u8);
  CHECK(kernels.terms.pixels.at(0).class_weights == std::vector<double>{1, 2, 3});
  CHECK(kernels.lovasz);
  e.class_weights = {1, 0, 3};
  CHECK(refusal(e, kClasses, kPixels, DType::u8).find("class_weights has 0 - give finite values") !=
        std::string::npos);
  e.class_weights = {1, 1.0 / 0.0, 3};
  CHECK(refusal(e, kClasses, kPixels, DType::u8).find("class_weights has inf") !=
        std::string::npos);
  e.class_weights = {1, 2};
  CHECK(refusal(e, kClasses, kPixels, DType::u8).find("2 values for 3 channels") !=
        std::string::npos);
  CHECK(loss_kernels(parse_loss("softmax_focal(class_weights=[1, 2, 3])"), kClasses, kPixels,
                     DType::u8)
            .formulas.at(0)
            .class_weights == std::vector<double>{1, 2, 3});
  e = parse_loss("0.5*lovasz+0.5*bi_tempered");
  e.class_weights = {3, 2, 1};
  CHECK(loss_kernels(e, kClasses, kPixels, DType::u8).formulas.at(0).class_weights ==
        std::vector<double>{3, 2, 1});
  e = parse_loss("lovasz");
  e.class_weights = {1, 2, 3};
  CHECK(refusal(e, kClasses, kPixels, DType::u8).find("none of its losses takes class weights") !=
        std::string::npos);
  e = parse_loss("dice+bce");
  e.class_weights = {3};
  CHECK(refusal(e, kBinary, kPixels, DType::u8).find("class weights need more than one class") !=
        std::string::npos);
}
