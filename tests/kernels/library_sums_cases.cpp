// Cases of convolutions beside which a card's library adds up what batch normalisation wants, in 16
// bits, and of those that it is to leave out.
#include <cmath>

#include "tests/kernels/conv_norm_case.h"

namespace fjord {

void ask_for_library_sums(OpCase& c, const NormLayer& l) {
  c.what += fmt::format(" library sums{}", !l.fused ? "" : *l.fused ? " fused" : " left out");
  c.what += l.centered ? "" : " about 0";
  c.features = {"x", "weight", "y", "dy", "dz", "raw"};
  if (l.centered && c.slot == "conv_norm_forward")
    c.tensors.push_back(read("center", {1, 1, 1, l.outputs}));
  std::uint64_t key = 30;
  for (Operand& tensor : c.tensors) {
    // -1, 0 or 1; what stands between activations in halves.
    const bool halves = tensor.name == "raw" || tensor.name == "mean" || tensor.name == "center";
    tensor.values = [key = key++, step = halves ? 0.5 : 1.0](std::int64_t i) {
      return step * std::round(uniform(key, i, -1.5 / step, 1.5 / step));
    };
  }
}

void check_fused(bool done, const NormLayer& l, DType dtype, const Stream& stream) {
  if (!l.library_sums || !l.fused || stream.backend != Backend::cuda) return;
  check(done == (*l.fused && size_of(dtype) == 2), "library sums", "{} in {} bytes a value",
        done ? "taken" : "left out", size_of(dtype));
}

namespace {

constexpr Conv2d k1x1{.kernel = 1, .padding = 0}, kHalf{.stride = 2};

NormLayer layer_of(NormLayer layer) {
  layer.normalized = false;
  layer.library_sums = true;
  return layer;
}

std::vector<OpCase> library_sums_cases() {
  std::vector<OpCase> cases;
  const auto forward = [&](const NormLayer& layer) {
    cases.push_back(norm_forward_case(layer_of(layer)));
  };
  const auto backward = [&](const NormLayer& layer) {
    for (const Write mode : {Write::store, Write::add})
      for (const bool masked : {false, true})
        cases.push_back(norm_backward_data_case(layer_of(layer), {mode, masked}));
  };
  const auto both = [&](const NormLayer& layer) { forward(layer), backward(layer); };
  both({.x = {2, 6, 8, 12}, .outputs = 8, .fused = true});
  both({.x = {2, 5, 8, 64}, .outputs = 128, .fused = true});
  both({.x = {1, 7, 12, 8}, .outputs = 20, .conv = k1x1, .fused = true});
  forward({.x = {2, 6, 8, 8}, .outputs = 300, .conv = kHalf, .fused = true});
  forward({.x = {2, 6, 8, 12}, .outputs = 8, .bias = true, .fused = true});
  forward({.x = {2, 6, 8, 12}, .outputs = 8, .centered = false, .fused = true});
  // Where others add to the gradient, this one may still be asked to store it.
  cases.push_back(
      norm_backward_data_case(layer_of({.x = {2, 6, 8, 12}, .outputs = 8, .fused = true}),
                              {Write::store, true, Write::add}));
  // Left out: odd channels, groups, the hand-written tail's; for gradients strides, and what is no
  // ReLU; for moments whatever reads through the normalisation before.
  cases.push_back(
      norm_forward_case({.x = {2, 6, 8, 12}, .outputs = 8, .library_sums = true, .fused = false}));
  both({.x = {1, 6, 8, 6}, .outputs = 8, .fused = false});
  both({.x = {1, 6, 8, 8}, .outputs = 6, .fused = false});
  both({.x = {1, 6, 8, 16}, .outputs = 8, .conv = {.groups = 2}, .fused = false});
  both({.x = {1, 6, 8, 48}, .outputs = 48, .fused = false});
  backward({.x = {2, 6, 8, 8}, .outputs = 12, .conv = kHalf, .fused = false});
  backward({.x = {2, 6, 8, 12}, .outputs = 8, .act = Act::none, .fused = false});
  // The emulated card's library has no ending for odd widths, and no tensor cores for nine images.
  both({.x = {2, 6, 7, 12}, .outputs = 8});
  both({.x = {9, 3, 4, 12}, .outputs = 8});
  return cases;
}

const AddCases added(library_sums_cases);

}  // namespace

}  // namespace fjord
