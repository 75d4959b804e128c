// Any image size, any options; what is impossible says why.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/cpu/backend.h"
#include "tests/golden/model_run.h"

namespace fjord {

namespace {

/// Sizes chosen for their halves: odd everywhere, one pixel, a line.
constexpr std::pair<int, int> kSizes[] = {{75, 101}, {1, 1}, {1, 37}, {33, 32}, {64, 2}};

std::string message(const ModelOptions& options) {
  try {
    validate(options);
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a Unet answers every size with logits of that size") {
  enable_cpu_kernels();
  for (int depth = 3; depth <= 5; ++depth)
    for (auto [h, w] : kSizes) {
      const std::vector<int> channels = {32, 16, 16, 8, 8};
      golden::ModelRun run(
          {.model = {.encoder = "resnet18",
                     .in_channels = 2,
                     .classes = 3,
                     .encoder_depth = depth,
                     .decoder_channels = {channels.begin(), channels.begin() + depth}},
           .image = {.n = 1, .h = h, .w = w, .c = 2}});
      run.fill_parameters();
      run.fill_image("input");
      run.run();
      CHECK(run.results.at(0).shape() == Shape{1, h, w, 3});
      for (double logit : golden::values(*run.results.at(0).slot)) REQUIRE(std::isfinite(logit));
    }
}

TEST_CASE("features halve, rounding up") {
  enable_cpu_kernels();
  const golden::ModelRun run({.model = {.encoder = "resnet34"},
                              .image = {.n = 1, .h = 75, .w = 101, .c = 3},
                              .encoder_only = true});
  const Shape expected[] = {{1, 75, 101, 3},  {1, 38, 51, 64}, {1, 19, 26, 64},
                            {1, 10, 13, 128}, {1, 5, 7, 256},  {1, 3, 4, 512}};
  REQUIRE(run.results.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) CHECK(run.results[i].shape() == expected[i]);
}

TEST_CASE("impossible options name themselves and the way out") {
  CHECK(message({}) == "accepted");
  CHECK(message({.encoder = "resnet35"})
            .starts_with("error[E-unknown-encoder] --encoder resnet35 - there is no such name; "
                         "known are resnet18, resnet34, resnet50, "));
  CHECK(message({.encoder = "resnet35"}).ends_with(" - use --encoder resnet34"));
  CHECK(message({.arch = "umet"}) ==
        "error[E-unknown-arch] --arch umet - there is no such name; known are unet, unetplusplus, "
        "linknet, manet - use --arch unet");
  CHECK(message({.encoder = "res\nnet\xff"}).find("res\\x0anet\\xff") != std::string::npos);
  CHECK(message({.encoder_depth = 3}) ==
        "error[E-model-options] --decoder-channels 256,128,64,32,16 - model depth is 3, but you "
        "provide `decoder_channels` for 5 blocks - give --decoder-channels 3 numbers, or another "
        "--encoder-depth");
  CHECK(message({.encoder_depth = 6}) ==
        "error[E-model-options] --encoder-depth 6 - the depth is 3, 4 or 5 - use --encoder-depth "
        "5");
  CHECK(message({.in_channels = 0}).find("--in-channels 0") != std::string::npos);
  CHECK(message({.classes = -2}).find("--classes -2") != std::string::npos);
  CHECK(message({.decoder_channels = {256, 128, 0, 32, 16}}).find("at least one channel") !=
        std::string::npos);
}

TEST_CASE("options that an architecture does not have are refused") {
  for (const char* arch : {"unet", "unetplusplus"})
    CHECK(message({.arch = arch, .attention = Attention::scse}) == "accepted");
  for (const char* arch : {"linknet", "manet"})
    CHECK(message({.arch = arch, .attention = Attention::scse}).find("has no such attention") !=
          std::string::npos);
  CHECK(message({.decoder_channels = {64, 32, 16, 16, 8}, .attention = Attention::scse})
            .starts_with("error[E-model-options] --decoder-channels 64,32,16,16,8 - "
                         "--decoder-attention scse divides them by 16"));
  CHECK(message({.decoder_channels = {64, 32, 16, 16, 8}}) == "accepted");
  CHECK(message({.arch = "linknet"}) == "accepted");
  CHECK(message({.arch = "linknet", .decoder_channels = {64, 32, 16, 16, 8}})
            .find("linknet takes its decoder's channels from the encoder") != std::string::npos);
  CHECK(message({.arch = "linknet", .interpolation = Interpolation::bilinear})
            .find("--decoder-interpolation") != std::string::npos);
  CHECK(message({.arch = "manet", .interpolation = Interpolation::bilinear}) == "accepted");
}

TEST_CASE("manet's attention is refused where its pairs of positions cannot be counted") {
  for (const std::int64_t size : {8192, 65536}) {
    const auto record = [&] {
      golden::ModelRun({.model = {.arch = "manet", .encoder = "resnet18"},
                        .image = {.n = 1, .h = size, .w = size, .c = 3}});
    };
    CHECK_THROWS_WITH_AS(record(), doctest::Contains("use --size 6880 or less"), Error);
  }
}

TEST_CASE("an image of other channels than the model's is refused") {
  enable_cpu_kernels();
  CHECK_THROWS_WITH_AS(
      golden::ModelRun({.model = {.in_channels = 4}, .image = {.n = 1, .h = 8, .w = 8, .c = 3}}),
      doctest::Contains("the model takes 4 channels, but the image has 3"), Error);
}

TEST_CASE("training on an image too small for batch norm says so") {
  enable_cpu_kernels();
  CHECK_THROWS_WITH_AS(golden::ModelRun({.mode = Mode::train,
                                         .model = {.encoder = "resnet18"},
                                         .image = {.n = 1, .h = 16, .w = 16, .c = 3},
                                         .loss = "bce"}),
                       doctest::Contains("more than one value per channel"), Error);
}

}  // namespace fjord
