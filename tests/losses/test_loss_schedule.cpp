// What a schedule of losses may say, which loss each epoch has, and what each mistake is told.
#include <doctest/doctest.h>

#include "engine/loss_schedule.h"
#include "kernels/error.h"

using namespace fjord;

namespace {

std::string message(const std::string& text) {
  try {
    parse_loss_schedule(text);
  } catch (const Error& e) {
    CHECK(e.exit == ExitCode::usage);
    CHECK(e.slug == "loss");
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("one loss is a schedule of one stage") {
  const LossSchedule schedule = parse_loss_schedule(" 0.5*dice+0.5*bce ");
  for (const int epoch : {0, 1, 100}) CHECK(schedule.at(epoch) == parse_loss("0.5*dice+0.5*bce"));
  CHECK(schedule.samples() == std::vector<int>{0});
  CHECK(to_string(schedule) == "0.5*dice + 0.5*bce");
}

TEST_CASE("stages take over at once, or along the epochs that they name") {
  const LossSchedule schedule = parse_loss_schedule("bce; 3: 0.5*dice + 0.5*bce ;6..8:lovasz");
  CHECK(to_string(schedule) == "bce; 3: 0.5*dice + 0.5*bce; 6..8: lovasz");
  CHECK(schedule.samples() == std::vector<int>{0, 2, 5, 7});
  for (const int epoch : {0, 1}) CHECK(schedule.at(epoch) == parse_loss("bce"));
  for (const int epoch : {2, 3, 4}) CHECK(schedule.at(epoch) == parse_loss("0.5*dice+0.5*bce"));
  for (const int epoch : {7, 8, 99}) CHECK(schedule.at(epoch) == parse_loss("lovasz"));
  for (const int epoch : {5, 6}) {
    const LossExpression mixture = schedule.at(epoch);
    REQUIRE(mixture.terms.size() == 3);
    const double share = (epoch - 4) / 3.0;
    CHECK(mixture.terms[0].weight == doctest::Approx((1 - share) / 2));
    CHECK(mixture.terms[1].weight == doctest::Approx((1 - share) / 2));
    CHECK(mixture.terms[2].weight == doctest::Approx(share));
  }
}

TEST_CASE("what two stages share stands once in their mixture; options tell losses apart") {
  const LossSchedule schedule = parse_loss_schedule("bce + focal(gamma=1); 2..3: 3*bce + focal");
  const LossExpression mixture = schedule.at(1);
  REQUIRE(mixture.terms.size() == 3);
  CHECK(mixture.terms[0].kind == LossTerm::Kind::bce);
  CHECK(mixture.terms[0].weight == doctest::Approx(2));  // (1 + 3) / 2
  CHECK(mixture.terms[1].gamma == 1);
  CHECK(mixture.terms[1].weight == doctest::Approx(0.5));
  CHECK(mixture.terms[2].gamma == 2);
  CHECK(mixture.terms[2].weight == doctest::Approx(0.5));
}

TEST_CASE("mistakes are told with the stage that has them") {
  const std::string remedy =
      " - write \"bce; 5: dice; 8..10: lovasz\": from epoch 5 on, then from 8 to 10";
  const auto told = [&](const char* stage, const std::string& why) {
    return std::string("error[E-loss] --loss, stage \"") + stage + "\" - " + why + remedy;
  };
  CHECK(message("bce; dice") == told("dice", "each loss but the first says from which epoch"));
  CHECK(message("bce; 0: dice") == told("0: dice", "\"0\" is no epoch: a whole number from 1 on"));
  CHECK(message("bce; 2x: dice") ==
        told("2x: dice", "\"2x\" is no epoch: a whole number from 1 on"));
  CHECK(message("bce; 1: dice") == told("1: dice", "the loss before it is there from epoch 1 on"));
  CHECK(message("bce; 2..5: dice; 5: jaccard") ==
        told("5: jaccard", "the loss before it is there from epoch 5 on"));
  CHECK(message("bce; 5..4: dice") == told("5..4: dice", "it would end before it begins"));
  CHECK(message("bce;") == told("", "each loss but the first says from which epoch"));
  CHECK(message("bce; 3: dise").find("did you mean 'dice'?") != std::string::npos);
  CHECK(message("bce; 2: dice(ignore=255)") ==
        told("2: dice(ignore=255)", "the losses of one run ignore the same label"));
  CHECK(message("3: dice").find("position 2: expected '*' after a weight") != std::string::npos);
}
