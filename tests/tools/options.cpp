// The options parser: every kind of wrong flag (rows 58 to 60 and 63 of the bad-input table).
#include "tools/options.h"

#include <doctest/doctest.h>

#include "kernels/error.h"
#include "tools/train_settings.h"
#include "user.h"

using namespace fjord;
using fjord::test::operator+;

namespace {

std::string refusal(std::vector<std::string> args) {
  TrainSettings settings;
  Options options({.name = "fjord-train", .usage = "DATA", .purpose = "", .examples = ""});
  add_train_flags(options, settings);
  std::vector<const char*> argv = {"fjord-train"};
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  try {
    options.parse(static_cast<int>(argv.size()), argv.data());
    options.check_conflicts();
    settle(settings);
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("an unknown flag is refused with the nearest one") {
  CHECK(refusal({"d", "--epoch", "3"}) ==
        "error[E-unknown-flag] --epoch - fjord-train has no such flag - did you mean --epochs?");
  CHECK(refusal({"d", "--lerning-rate", "3"}) ==
        "error[E-unknown-flag] --lerning-rate - fjord-train has no such flag - did you mean --lr?");
  CHECK(
      refusal({"d", "--batch-size=4"}) ==
      "error[E-unknown-flag] --batch-size - fjord-train has no such flag - did you mean --batch?");
  CHECK(refusal({"d", "--encodr", "x"}) ==
        "error[E-unknown-flag] --encodr - fjord-train has no such flag - did you mean --encoder?");
  CHECK(refusal({"d", "--in_channels", "3"}) ==
        "error[E-unknown-flag] --in_channels - fjord-train has no such flag - did you mean "
        "--in-channels?");
  CHECK(refusal({"d", "-e", "3"}) ==
        "error[E-unknown-flag] -e - fjord-train has no such flag - did you mean --encoder?");
}

TEST_CASE("a wrong value is refused with what is allowed") {
  const std::string change = " - change it; --help says what --";
  CHECK(refusal({"d", "--lr", "abc"}) ==
        "error[E-flag-value] --lr abc - needs a number above 0" + change + "lr is");
  CHECK(refusal({"d", "--lr", "-1"}) ==
        "error[E-flag-value] --lr -1 - needs a number above 0" + change + "lr is");
  CHECK(refusal({"d", "--lr", "nan"}) ==
        "error[E-flag-value] --lr nan - needs a number above 0" + change + "lr is");
  CHECK(refusal({"d", "--lr", "inf"}) ==
        "error[E-flag-value] --lr inf - needs a number above 0" + change + "lr is");
  CHECK(refusal({"d", "--lr", "0,001"}) ==
        "error[E-flag-value] --lr 0,001 - needs a number above 0" + change + "lr is");
  CHECK(refusal({"d", "--epochs", "1.5"}) ==
        "error[E-flag-value] --epochs 1.5 - needs a whole number from 1 to 1000000" + change +
            "epochs is");
  CHECK(refusal({"d", "--batch", "0"}) ==
        "error[E-flag-value] --batch 0 - needs a whole number from 1 to 65536" + change +
            "batch is");
  CHECK(refusal({"d", "--batch", "99999999999999999999"}) ==
        "error[E-flag-value] --batch 99999999999999999999 - needs a whole number from 1 to 65536" +
            change + "batch is");
  CHECK(refusal({"d", "--momentum", "1"}) ==
        "error[E-flag-value] --momentum 1 - needs a number of at least 0 and below 1" + change +
            "momentum is");
  CHECK(refusal({"d", "--class-weights", "1,0"}) ==
        "error[E-flag-value] --class-weights 1,0 - needs a number above 0" + change +
            "class-weights is");
  CHECK(refusal({"d", "--seed", "-3"}) ==
        "error[E-flag-value] --seed -3 - needs a whole number of at least 0" + change + "seed is");
  CHECK(refusal({"d", "--size", "12y"}) ==
        "error[E-flag-value] --size 12y - needs a size in pixels such as 512, 384x640 (height x "
        "width) or 0" +
            change + "size is");
  CHECK(refusal({"d", "--schedule", "cosin"}) ==
        "error[E-flag-value] --schedule cosin - needs one of cosine-restarts, cosine, poly, "
        "constant (did you mean cosine?)" +
            change + "schedule is");
}

TEST_CASE("conflicting flags are both named") {
  CHECK(refusal({"d", "--crop", "64", "--size", "128"}) ==
        "error[E-conflict] --crop and --size were both given - --crop takes the images at their "
        "own size - leave one of them out");
  CHECK(refusal({"d", "--init", "a", "--encoder-weights", "b"}) ==
        "error[E-conflict] --init and --encoder-weights were both given - each says where the "
        "encoder starts from - leave one of them out");
  CHECK(refusal({"--resume", "--out", "r", "--init", "a"}) ==
        "error[E-conflict] --resume and --init were both given - a resumed run goes on from its "
        "own checkpoint - leave one of them out");
  CHECK(refusal({"d", "--optimizer", "sgd", "--nesterov", "--momentum", "0"}) ==
        "error[E-conflict] --nesterov and --momentum 0 were both given - Nesterov's step needs a "
        "momentum - leave one of them out");
}

TEST_CASE("a flag that the optimizer or the schedule does not read is refused") {
  CHECK(refusal({"d", "--nesterov"}) ==
        "error[E-conflict] --nesterov and --optimizer adamw were both given - only sgd takes "
        "Nesterov's step - leave one of them out");
  CHECK(refusal({"d", "--momentum", "0.5"}) ==
        "error[E-conflict] --momentum and --optimizer adamw were both given - only sgd has a "
        "momentum - leave one of them out");
  CHECK(refusal({"d", "--schedule", "poly", "--t0", "3"}) ==
        "error[E-conflict] --t0 and --schedule poly were both given - only cosine-restarts has "
        "cycles - leave one of them out");
  CHECK(refusal({"d", "--optimizer", "sgd", "--momentum", "0.5", "--nesterov"}) == "accepted");
}

TEST_CASE("row 73: as many class weights as classes") {
  CHECK(refusal({"d", "--classes", "6", "--class-weights", "1,2,3"}) ==
        "error[E-class-weights] --class-weights has 3 numbers - --classes 6 needs one for each "
        "class - give as many as there are classes");
}

TEST_CASE("a lowest rate above the first is refused where the schedule has one") {
  CHECK(refusal({"d", "--lr", "0.001", "--eta-min", "0.5"}) ==
        "error[E-conflict] --eta-min 0.5 and --lr 0.001 - the lowest rate is above the first, so "
        "the rate would rise - give a smaller --eta-min");
  CHECK(refusal({"d", "--lr", "1e-6", "--schedule", "poly"}) == "accepted");
}

TEST_CASE("values that are missing, repeated or too many") {
  CHECK(refusal({"d", "--lr"}) ==
        "error[E-missing-value] --lr - needs a value after it - give --lr X");
  CHECK(refusal({"d", "--out", "--quiet"}) ==
        "error[E-missing-value] --out - is followed by the flag --quiet, not by a value - give "
        "--out DIR");
  CHECK(refusal({"d", "--lr", "1", "--lr", "2"}) ==
        "error[E-repeated-flag] --lr - was given 2 times - give it once");
  CHECK(refusal({"d", "e"}) ==
        "error[E-extra-argument] e - fjord-train takes no further argument - usage: fjord-train "
        "DATA");
}

TEST_CASE("what the CPU does not compute in is refused by name") {
  CHECK(refusal({"d", "--precision", "fp16"}) ==
        "error[E-not-yet] --precision fp16 - this build computes in fp32 and bf16 only - use "
        "--precision fp32");
  CHECK(refusal({"d", "--precision", "bf16"}) == "accepted");
  CHECK(refusal({"d", "--memory", "low"}) == "accepted");
}

TEST_CASE("an average of epochs needs some, and a run has one average") {
  CHECK(refusal({"d", "--swa-start", "14"}) == "accepted");
  CHECK(refusal({"d", "--swa-start", "15"}) ==
        "error[E-swa] --swa-start 15 and --epochs 14 - no epoch would be averaged - give a smaller "
        "--swa-start or more --epochs");
  CHECK(refusal({"d", "--swa-lr", "0.1"}) ==
        "error[E-swa] --swa-lr without --swa-start - it is the rate of the epochs that are "
        "averaged - give --swa-start E, or leave it");
  for (const auto& [flag, value] : {std::pair{"--ema", "0.9"}, {"--patience", "3"}})
    CHECK(refusal({"d", flag, value, "--swa-start", "5"}).starts_with("error[E-conflict]"));
}

TEST_CASE("odd file names arrive as they are") {
  for (const std::string name : {"-folder", "--lr", "a b", "line\nbreak", "\xff\xfe", "ü", "="}) {
    TrainSettings settings;
    Options options({.name = "fjord-train", .usage = "DATA", .purpose = "", .examples = ""});
    add_train_flags(options, settings);
    const std::vector<const char*> argv = {"fjord-train", "--lr", "0.5", "--", name.c_str()};
    REQUIRE(options.parse(static_cast<int>(argv.size()), argv.data()));
    CHECK(settings.data == name);
    CHECK(*settings.lr == 0.5);
  }
}
