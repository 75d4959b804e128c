// Inference by the CUDA backend on the emulated card, normalisation folded, beside the CPU's.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/evaluator.h"
#include "tests/cuda/step/twins.h"

using namespace fjord;
using namespace fjord::test;

namespace {

struct Predictor {
  Predictor(const TwinOptions& options, Twin& twin, Precision precision)
      : arena(twin.backend),
        evaluator(model_of(options), twin.parameters, arena, twin.backend, {}, precision) {}

  std::vector<float> predict(Shape image) {
    std::vector<float> pixels(static_cast<std::size_t>(image.count()));
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = 0.01f * static_cast<float>(i * 7919 % 211) - 1.0f;
    const float* logits = evaluator.predict(image, pixels.data());
    return {logits, logits + image.pixels()};
  }

  Arena arena;
  Evaluator evaluator;
};

double distance(const std::vector<float>& found, const std::vector<float>& wanted) {
  return relative_distance(found.data(), wanted.data(), static_cast<std::int64_t>(wanted.size()));
}

}  // namespace

TEST_CASE("folded inference on the card equals the CPU's, and follows the weights") {
  enable_backends();
  const TwinOptions options;
  Twin cpu(options, Backend::cpu, Precision::fp32), cuda(options, Backend::cuda, Precision::fp32);
  Predictor wanted(options, cpu, Precision::fp32), fp32(options, cuda, Precision::fp32),
      bf16(options, cuda, Precision::bf16);
  const Shape image{2, 64, 96, 3};
  std::vector<float> before;
  for (int number = 0; number < 2; ++number) {
    fill_batch(cpu, options.classes, number);
    cpu.trainer->step(1e-3);
    cuda.take_state(cpu);
    const std::vector<float> logits = wanted.predict(image);
    CHECK(distance(fp32.predict(image), logits) <= 1e-5);
    CHECK(distance(bf16.predict(image), logits) <= 3e-2);
    if (!before.empty()) CHECK(distance(logits, before) > 0.1);
    before = logits;
  }
  for (Predictor* predictor : {&fp32, &bf16})
    CHECK(predictor->evaluator.report(image).find("conv_inference") != std::string::npos);
}

TEST_CASE("a NaN in the image is a NaN in the logits: no ReLU makes 0 of it") {
  enable_backends();
  const TwinOptions options;
  Twin cuda(options, Backend::cuda, Precision::fp32);
  const Shape image{1, 32, 32, 3};
  std::vector<float> pixels(static_cast<std::size_t>(image.count()), 0.5f);
  pixels[pixels.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    Predictor predictor(options, cuda, precision);
    const float* logits = predictor.evaluator.predict(image, pixels.data());
    // The deepest level sees one pixel at this size, so that the whole mask depends on it.
    CHECK(std::all_of(logits, logits + image.pixels(), [](float v) { return std::isnan(v); }));
  }
}
