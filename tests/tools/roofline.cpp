// The predicted step: bytes and products of steps, the model's arithmetic, and the whole of U-Net.
#include "tools/roofline.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "kernels/cpu/backend.h"
#include "kernels/error.h"
#include "tests/tools/user.h"
#include "tools/paper_cuda.h"
#include "tools/recorded.h"

namespace fjord {

namespace {

const Card h200 = known_cards().front();

Slot slot(Shape shape, DType dtype = DType::bf16, Kind kind = Kind::activation) {
  Slot made;
  made.shape = shape, made.dtype = dtype, made.kind = kind;
  return made;
}

double sum(const std::vector<Work>& work, double Work::*member) {
  return std::accumulate(work.begin(), work.end(), 0.0,
                         [=](double total, const Work& w) { return total + w.*member; });
}

double milliseconds(const Work& work, const Card& card = h200) {
  return predict({work}, card, ConvMath::exact).total.ms;
}

Recorded unet34(Precision precision) {
  enable_cpu_kernels();
  enable_cuda_on_paper();
  return Recorded({.model = {.arch = "unet", .encoder = "resnet34"},
                   .image = {8, 512, 512, 3},
                   .backend = Backend::cuda,
                   .precision = precision});
}

}  // namespace

TEST_CASE("roofline: bytes count once, twice where a gradient is added to, and scratch both ways") {
  Parameters parameters;
  Tape tape(parameters, {});
  Slot x = slot({1, 4, 4, 8}), y = slot({1, 4, 4, 8}), dx = slot({1, 4, 4, 8}, DType::f32);
  Slot space = slot({1, 1, 1, 100}, DType::u8, Kind::scratch);
  tape.steps.push_back({"add_forward", "a", {&x, &y}, {&dx}, nullptr});
  tape.steps.push_back({"copy_forward", "a", {&x}, {&dx, &space}, nullptr});
  tape.steps.push_back({"sgd_update", "a", {&x, &dx}, {&dx}, nullptr});
  const std::vector<Work> work = work_of(tape);
  REQUIRE(work.size() == 3);
  CHECK(work[0].bytes == 256 + 256 + 512);
  CHECK(work[1].bytes == 256 + 2 * 512 + 2 * 100);
  CHECK(work[1].scratch == 200);
  CHECK(work[2].bytes == 256 + 512 + 512);  // said to be read: not an addition besides
}

TEST_CASE("roofline: products of each kind of convolution") {
  Slot x = slot({2, 8, 8, 16}), w = slot({32, 3, 3, 16}), y = slot({2, 8, 8, 32});
  const std::int64_t plain = 2 * 8 * 8 * 32 * 9 * 16;
  CHECK(multiply_adds({"conv_forward", "", {&x, &w}, {&y}, nullptr}) == plain);
  CHECK(multiply_adds({"conv_backward_data", "", {&y, &w}, {&x}, nullptr}) == plain);
  CHECK(multiply_adds({"conv_backward_filter", "", {&x, &y}, {&w}, nullptr}) == plain);
  CHECK(multiply_adds({"relu_forward", "", {&x}, {&y}, nullptr}) == 0);
  // A transposed convolution of stride 2: each pixel that it reads meets the whole filter.
  Slot small = slot({2, 4, 4, 32}), large = slot({2, 8, 8, 16}), taps = slot({32, 4, 4, 16});
  const std::int64_t transposed = 2 * 4 * 4 * 32 * 16 * 16;
  CHECK(multiply_adds({"conv_transpose_forward", "", {&small, &taps}, {&large}, nullptr}) ==
        transposed);
  CHECK(multiply_adds({"conv_transpose_backward_data", "", {&large, &taps}, {&small}, nullptr}) ==
        transposed);
  CHECK(multiply_adds({"conv_transpose_backward_filter", "", {&small, &large}, {&taps}, nullptr}) ==
        transposed);
  // 10 enlarged channels meet 4 taps of a filter, 6 others all 9.
  Slot low = slot({2, 4, 4, 10}), skip = slot({2, 8, 8, 6});
  Slot dlow = slot({2, 4, 4, 10}, DType::f32, Kind::gradient);
  Slot dskip = slot({2, 8, 8, 6}, DType::f32, Kind::gradient);
  Parameter parameter;
  w.parameter = &parameter;
  const std::int64_t split = 2 * 8 * 8 * 32 * (10 * 4 + 6 * 9);
  CHECK(multiply_adds({"upsample_conv_forward", "", {&low, &skip, &w}, {&y}, nullptr}) == split);
  CHECK(multiply_adds({"upsample_conv_backward_data", "", {&y, &w}, {&dlow, &dskip}, nullptr}) ==
        split);
  CHECK(multiply_adds({"upsample_conv_backward_data", "", {&y, &w}, {&dskip}, nullptr}) ==
        2 * 8 * 8 * 32 * 6 * 9);
  // Of two rows: vectors and scratch are as high as the enlarged image was.
  Slot two = slot({2, 2, 2, 32}), one = slot({2, 1, 1, 16}, DType::f32, Kind::gradient);
  Slot sums = slot({1, 1, 2, 16}, DType::f32),
       space = slot({1, 1, 1, 100}, DType::u8, Kind::scratch);
  Slot dgamma = slot({1, 1, 1, 16}, DType::f32, Kind::gradient);
  dgamma.parameter = &parameter;
  CHECK(multiply_adds({"upsample_conv_backward_data",
                       "",
                       {&two, &w},
                       {&one, &sums, &dgamma, &space},
                       nullptr}) == 2 * 2 * 2 * 32 * 16 * 4);
  CHECK(multiply_adds({"upsample_conv_backward_filter", "", {&low, &skip, &y}, {&w}, nullptr}) ==
        split);
}

TEST_CASE("roofline: sums that a convolution leaves beside its image take a kernel more") {
  Parameters parameters;
  Tape tape(parameters, {});
  Slot x = slot({2, 8, 8, 16}), w = slot({16, 3, 3, 16}), y = slot({2, 8, 8, 16});
  Slot mean = slot({1, 1, 1, 16}, DType::f32), sums = slot({1, 1, 2, 16}, DType::f32);
  Slot space = slot({1, 1, 1, 100}, DType::u8, Kind::scratch);
  tape.steps.push_back({"conv_forward", "", {&x, &w}, {&y, &space}, nullptr});
  tape.steps.push_back({"conv_forward", "", {&x, &w}, {&y, &mean, &space}, nullptr});
  tape.steps.push_back({"conv_backward_data", "", {&y, &w}, {&x, &sums, &space}, nullptr});
  const std::vector<Work> work = work_of(tape);
  CHECK(work[0].kernels == 2);
  CHECK(work[1].kernels == 3);
  CHECK(work[2].kernels == 3);
}

TEST_CASE("roofline: the longer of bytes and products, and the start of kernels") {
  const Work pass{.op = "batch_norm_apply", .bytes = 4.3e9, .largest = 1e9, .kernels = 2};
  const Prediction p = predict({pass}, h200, ConvMath::exact);
  CHECK(p.total.floor_ms == doctest::Approx(1));
  CHECK(p.total.ms == doctest::Approx(1 / 0.88 + 0.003));
  CHECK(p.total.kernels == 2);
  Work cached = pass;
  cached.largest = 1e6;
  CHECK(milliseconds(cached) < milliseconds(pass));
  const Work conv{.op = "conv_forward",
                  .bytes = 1e6,
                  .largest = 1e6,
                  .flops = 790e9,
                  .dtype = DType::bf16,
                  .pass = ConvPass::forward,
                  .rows = 1 << 20,
                  .columns = 256};
  CHECK(milliseconds(conv) == doctest::Approx(1 / 0.7 + 0.0015));
  Work few = conv;
  few.columns = 64;
  CHECK(milliseconds(few) == doctest::Approx(1 / (0.7 * 0.72) + 0.0015));
  few.rows = 128 * 66;  // half a wave of tiles: no better than the bound for split sums
  CHECK(milliseconds(few) == doctest::Approx(1 / (0.7 * 0.72 * 0.6) + 0.0015));
  Work single = conv;
  single.dtype = DType::f32;
  CHECK(milliseconds(single) > 10 * milliseconds(conv));
  CHECK(predict({single}, h200, ConvMath::tf32).total.ms < milliseconds(single) / 5);
  for (const Card& card : known_cards()) {
    CAPTURE(card.name);
    CHECK(milliseconds(pass, card) >= milliseconds(pass));
    CHECK(milliseconds(conv, card) >= milliseconds(conv));
  }
}

TEST_CASE("roofline: on paper every slot can be recorded, and none can be run") {
  enable_cpu_kernels();
  enable_cuda_on_paper();
  for (const AnyKernel* slot = AnyKernel::first; slot; slot = slot->next)
    CHECK_MESSAGE(slot->filled(Backend::cuda), slot->name);
  Recorded recorded({.model = {.arch = "unet", .encoder = "resnet18"},
                     .image = {1, 64, 64, 3},
                     .backend = Backend::cuda});
  CHECK_THROWS_WITH_AS(recorded.run(), doctest::Contains("only described"), Error);
}

// Figures of a script that knows the layers by itself: 1490 GFLOP a step without the split of the
// decoder's first convolutions, 1329 with it.
TEST_CASE("roofline: Unet-resnet34 at 512x512, batch 8") {
  const Recorded half = unet34(Precision::bf16);
  const std::vector<Work> work = work_of(*half.tape);
  const double gflop = sum(work, &Work::flops) * 1e-9;
  const bool split = std::any_of(work.begin(), work.end(),
                                 [](const Work& w) { return w.op == "upsample_conv_forward"; });
  CHECK(gflop == doctest::Approx(split ? 1329 : 1490).epsilon(0.001));
  const Recorded single = unet34(Precision::tf32);
  const double half_bytes = sum(work, &Work::bytes);
  const double single_bytes = sum(work_of(*single.tape), &Work::bytes);
  CHECK(single_bytes / half_bytes > 1.7);
  CHECK(single_bytes / half_bytes < 2.1);
}

TEST_CASE("bench --predict: a table without a card, JSON, and what it refuses") {
  using test::run;
  const auto predicted = run({"fjord-bench", "train", "--device", "cuda", "--predict", "--encoder",
                              "resnet18", "--size", "64", "--batch", "2"});
  CHECK(predicted.code == 0);
  for (const char* expected : {"H200", "RTX 4090", "conv_forward", "adamw_update", "GB planned"})
    CHECK_MESSAGE(predicted.out.find(expected) != std::string::npos, expected);
  const auto json = run({"fjord-bench", "infer", "--device", "cuda", "--predict", "--encoder",
                         "resnet18", "--size", "64", "--batch", "2", "--json", "-"})
                        .json();
  CHECK(json.at("device") == "cuda");
  CHECK(json.at("precision") == "bf16");
  CHECK(json.at("cards").size() == known_cards().size());
  CHECK(json.at("cards").at(0).at("images_per_s") > 0);
  const auto steps = run({"fjord-bench", "infer", "--device", "cuda", "--predict", "--profile",
                          "--encoder", "resnet18", "--size", "64", "--json", "-"})
                         .json();
  double sum = 0;
  for (const auto& step : steps["each_step"]) sum += step["ms"].get<double>();
  CHECK(steps["each_step"].size() > 30);
  CHECK(sum == doctest::Approx(steps["cards"][0]["ms"].get<double>()));
  CHECK(run({"fjord-bench", "train", "--predict"}).code == 2);
  CHECK(run({"fjord-bench", "load", "--device", "cuda", "--predict"}).code == 2);
}

TEST_CASE("bench kernels: every kind of kernel with its rate") {
  const auto outcome = test::run({"fjord-bench", "kernels", "--encoder", "resnet18", "--size", "64",
                                  "--batch", "1", "--steps", "1", "--json", "-"});
  CHECK(outcome.code == 0);
  const auto json = outcome.json();
  CHECK(json.at("copy_gb_s") > 0);
  for (const char* op : {"conv_forward", "batch_norm_apply", "optimizer"})
    CHECK_MESSAGE(
        std::any_of(json.at("kernels").begin(), json.at("kernels").end(),
                    [&](const auto& row) { return row.at("op") == op && row.at("gb_s") > 0; }),
        op);
}

}  // namespace fjord
