// What a convolution does beside its products equals the passes that it stands for: the same bits
// of tensors, and sums of what was stored.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/conv_norm.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "tests/cuda/emulation/findings.h"
#include "tests/kernels/conv_norm_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

void start() {
  start_backends();
  enable_device(Backend::cuda, cuda_device());
  enable_cuda_kernels();
}

/// A case's tensors after it has run on the emulated card.
Operands run(const OpCase& op_case, DType feature, const Values& values) {
  Operands tensors(op_case, {Backend::cuda, feature}, values);
  Stream own = stream(Backend::cuda);
  op_case.run(tensors, own);
  tensors.finish(own);
  CHECK(emulation::take_findings().empty());
  return tensors;
}

/// The same while a slot leaves all layers out, so that the operations run one by one.
template <class Slot>
Operands run_plain(Slot& slot, const OpCase& op_case, DType feature) {
  const auto fused = slot.cuda;
  slot.cuda = [](const ConvNormShape&, auto&, Stream&) {};
  Operands tensors = run(op_case, feature, drawn(op_case, feature));
  slot.cuda = fused;
  return tensors;
}

template <class Slot, class Pass>
bool takes(const Slot& slot, const NormLayer& layer, DType feature, Pass pass) {
  Stream own = stream(Backend::cuda);
  slot(conv_norm_shape(layer, feature), pass, own);
  return bool(pass.run);
}

/// Every form that there is, alone and in several tiles.
std::vector<NormLayer> layers() {
  return {{.x = {2, 19, 37, 16}, .outputs = 16},
          {.x = {1, 17, 33, 32}, .outputs = 32},
          {.x = {1, 9, 35, 64}, .outputs = 64},
          {.x = {1, 3, 5, 16}, .outputs = 16, .act = Act::none},
          {.x = {1, 19, 37, 16}, .outputs = 1, .moments = false, .bias = true},
          {.x = {1, 5, 7, 16}, .outputs = 8, .moments = false}};
}

template <class Body>
void for_each_layer(const Body& body) {
  start();
  for (const DType feature : {DType::bf16, DType::f16})
    for (const NormLayer& layer : layers()) {
      CAPTURE(to_string(layer.x));
      CAPTURE(layer.outputs);
      CAPTURE(size_of(feature));
      body(layer, feature);
    }
}

/// Of the values of a channel.
struct Moments {
  double mean = 0, variance = 0;
};

Moments moments_of(const std::vector<double>& y, std::size_t c, std::size_t channels) {
  const double count = static_cast<double>(y.size() / channels);
  Moments m;
  for (std::size_t i = c; i < y.size(); i += channels) m.mean += y[i] / count;
  for (std::size_t i = c; i < y.size(); i += channels)
    m.variance += (y[i] - m.mean) * (y[i] - m.mean) / count;
  return m;
}

/// Errors of f32 sums of some hundreds of terms, groups of them in double.
void check_moments(const Operands& t) {
  const std::vector<double> mean = t.values("mean"), variance = t.values("variance");
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const Moments expected = moments_of(t.values("y"), c, mean.size());
    CHECK(mean[c] == doctest::Approx(expected.mean)
                         .epsilon(1e-6)
                         .scale(std::abs(expected.mean) + std::sqrt(expected.variance)));
    CHECK(std::abs(variance[c] - expected.variance) <= 1e-5 * expected.variance);
  }
}

void check_sums(const Operands& t, std::size_t channels, Write mode) {
  const std::vector<double> old = t.values("old"), dgamma = t.values("dgamma"),
                            dbeta = t.values("dbeta");
  const std::vector<double> dz = t.values("dz"), raw = t.values("raw"), mean = t.values("mean"),
                            inv_std = t.values("inv_std"), sums = t.values("sums");
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0, products = 0, size = 0, product_size = 0;
    for (std::size_t i = c; i < dz.size(); i += channels) {
      const double product = dz[i] * (raw[i] - mean[c]) * inv_std[c];
      sum += dz[i], products += product;
      size += std::abs(dz[i]), product_size += std::abs(product);
    }
    CHECK(std::abs(sums[c] - sum) <= 1e-6 * size);
    CHECK(std::abs(sums[channels + c] - products) <= 1e-6 * product_size);
    const double before = mode == Write::add ? old[c] : 0;
    CHECK(std::abs(dbeta[c] - before - sum) <= 1e-6 * (size + std::abs(before)));
    CHECK(std::abs(dgamma[c] - before - products) <= 1e-6 * (product_size + std::abs(before)));
  }
}

}  // namespace

TEST_CASE("a convolution that normalises as it reads stores the bits of the passes one by one") {
  for_each_layer([](NormLayer layer, DType feature) {
    layer.halves = true;
    REQUIRE(takes(prepare_conv_norm_forward, layer, feature, ConvNormForward{}));
    const OpCase op_case = norm_forward_case(layer);
    const Operands fused = run(op_case, feature, drawn(op_case, feature));
    CHECK(fused.bytes("y") == run_plain(prepare_conv_norm_forward, op_case, feature).bytes("y"));
    if (layer.moments) check_moments(fused);
  });
}

TEST_CASE(
    "a filter's gradient of what is normalised as it is read has the bits of a kept image's") {
  for_each_layer([](NormLayer layer, DType feature) {
    layer.halves = true;
    REQUIRE(takes(prepare_conv_norm_backward_filter, layer, feature, ConvNormBackwardFilter{}));
    const OpCase op_case = norm_backward_filter_case(layer, Write::add);
    const Operands fused = run(op_case, feature, drawn(op_case, feature));
    const Operands plain = run_plain(prepare_conv_norm_backward_filter, op_case, feature);
    CHECK(fused.bytes("dweight") == plain.bytes("dweight"));
    if (layer.bias) CHECK(fused.bytes("dbias") == plain.bytes("dbias"));
  });
}

TEST_CASE("a gradient made where the filter's is summed has the bits of a pass of its own") {
  for_each_layer([](NormLayer layer, DType feature) {
    if (!layer.moments) return;
    layer.halves = true;
    for (const MadeDy made : {MadeDy{}, MadeDy{Act::relu}, MadeDy{Act::relu, true}})
      for (const bool normalized : {false, true}) {
        layer.normalized = normalized;
        const OpCase op_case = norm_backward_filter_case(layer, Write::store, made);
        const Operands fused = run(op_case, feature, drawn(op_case, feature));
        const Operands plain = run_plain(prepare_conv_norm_backward_filter, op_case, feature);
        CHECK(fused.bytes("made") == plain.bytes("made"));
        CHECK(fused.bytes("dweight") == plain.bytes("dweight"));
      }
  });
}

TEST_CASE("a gradient leaves the convolution masked and summed as by the passes one by one") {
  for_each_layer([](NormLayer layer, DType feature) {
    layer.halves = true;
    REQUIRE(takes(prepare_conv_norm_backward_data, layer, feature, ConvNormBackwardData{}));
    for (const bool masked : {false, true})
      for (const Write mode : {Write::store, Write::add}) {
        const OpCase op_case = norm_backward_data_case(layer, {mode, masked});
        const Operands fused = run(op_case, feature, drawn(op_case, feature));
        CHECK(fused.bytes("dz") ==
              run_plain(prepare_conv_norm_backward_data, op_case, feature).bytes("dz"));
        check_sums(fused, static_cast<std::size_t>(layer.x.c), mode);
      }
  });
}

TEST_CASE("a mean that is large beside the deviation costs the variance no digits") {
  start();
  NormLayer layer{.x = {2, 35, 67, 16}, .outputs = 16, .normalized = false, .halves = true};
  OpCase op_case = norm_forward_case(layer);
  // y is x: the window's centre of each channel is 1. f16 holds these values exactly.
  for (Operand& operand : op_case.tensors) {
    if (operand.name == "x")
      operand.values = [](std::int64_t i) { return 1024 + std::floor(uniform(7, i, 0, 8)); };
    if (operand.name == "weight")
      operand.values = [](std::int64_t i) {
        return i / 16 % 9 == 4 && i % 16 == i / 144 ? 1. : 0.;
      };
  }
  check_moments(run(op_case, DType::f16, drawn(op_case, DType::f16)));
}

}  // namespace fjord
