// Which implementation the CPU's rule gives a layer, by ConvAlgorithm.
#include <doctest/doctest.h>

#include "kernels/conv_inference.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

struct Expected {
  Shape x;
  std::int64_t outputs;
  Conv2d conv;
  // By any, direct and library; empty: oneDNN's.
  std::string forward[3], filter[3];
};

ConvShape shape_of(const Expected& e, ConvAlgorithm algorithm) {
  const Conv2d c = e.conv;
  return {.x = e.x,
          .weight = {e.outputs, c.kernel, c.kernel, e.x.c / c.groups},
          .y = {e.x.n, conv_size(e.x.h, c), conv_size(e.x.w, c), e.outputs},
          .conv = c,
          .algorithm = algorithm};
}

bool is_ours(const std::string& name) {
  return name.starts_with("winograd") || name == "few_outputs" || name == "depthwise";
}

void check_is(const std::string& found, const std::string& expected) {
  CHECK((expected.empty() ? !is_ours(found) : found == expected));
}

std::string inference_of(const ConvInferenceShape& shape) {
  Stream stream{Backend::cpu};
  ConvInference pass;
  prepare_conv_inference(shape, pass, stream);
  return !pass.run ? "none" : is_ours(pass.implementation) ? pass.implementation : "oneDNN";
}

}  // namespace

TEST_CASE("the rule chooses an implementation for inference by shape, activation and residual") {
  start_backends();
  const ConvShape wide = shape_of({{1, 8, 8, 32}, 32, {}, {}, {}}, ConvAlgorithm::any);
  const ConvShape each = shape_of({{1, 8, 8, 32}, 32, {.groups = 32}, {}, {}}, ConvAlgorithm::any);
  CHECK(inference_of({.conv = wide, .act = Act::relu}) == "winograd:4x4");
  CHECK(inference_of({.conv = wide, .act = Act::silu}) == "none");
  CHECK(inference_of({.conv = each, .act = Act::silu}) == "depthwise");
  CHECK(inference_of({.conv = each, .residual = true}) == "oneDNN");
  CHECK(inference_of({.conv = each, .low = {1, 4, 4, 32}}) == "none");
  const ConvShape library =
      shape_of({{1, 8, 8, 32}, 32, {.groups = 32}, {}, {}}, ConvAlgorithm::library);
  CHECK(inference_of({.conv = library, .act = Act::silu}) == "oneDNN");
}

TEST_CASE("the rule chooses an implementation by the layer's shape") {
  start_backends();
  Stream stream{Backend::cpu};
  const std::string w = "winograd:4x4", f = "few_outputs", d = "depthwise";
  const auto of_channels = [](int kernel, int stride) {
    return Conv2d{.kernel = kernel, .stride = stride, .padding = kernel / 2, .groups = 32};
  };
  for (const Expected& e : {
           Expected{{1, 8, 8, 16}, 16, {}, {w, "", ""}, {w, "", ""}},
           Expected{{1, 8, 8, 15}, 16, {}, {}, {}},
           Expected{{1, 8, 8, 16}, 16, {.stride = 2}, {}, {}},
           Expected{{1, 8, 8, 16}, 4, {}, {f, f, ""}, {f, f, ""}},
           Expected{{1, 8, 8, 16}, 5, {}, {}, {}},
           Expected{{1, 8, 8, 32}, 32, of_channels(5, 1), {d, d, ""}, {d, d, ""}},
           Expected{{1, 8, 8, 32}, 32, of_channels(5, 2), {d, d, ""}, {d, d, ""}},
           Expected{{3, 64, 64, 32}, 32, of_channels(3, 1), {d, d, ""}, {}},
           Expected{{4, 64, 64, 32}, 32, of_channels(3, 1), {d, d, ""}, {d, d, ""}},
           Expected{{1, 8, 8, 24}, 24, {.groups = 24}, {}, {}},
           Expected{{4, 128, 128, 32}, 32, of_channels(3, 2), {d, d, ""}, {}},
       }) {
    const ConvAlgorithm algorithms[]{ConvAlgorithm::any, ConvAlgorithm::direct,
                                     ConvAlgorithm::library};
    for (int i = 0; i < 3; ++i) {
      const ConvShape shape = shape_of(e, algorithms[i]);
      CAPTURE(to_string(shape.x));
      CAPTURE(to_string(shape.weight));
      CAPTURE(i);
      ConvForward forward;
      prepare_conv_forward(shape, forward, stream);
      check_is(forward.implementation, e.forward[i]);
      ConvBackwardFilter filter;
      prepare_conv_backward_filter(shape, filter, stream);
      check_is(filter.implementation, e.filter[i]);
    }
  }
}

}  // namespace fjord
