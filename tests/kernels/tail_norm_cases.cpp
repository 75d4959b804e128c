// Cases of small 3x3 convolutions between batch normalisations: every form of the GPU's
// hand-written tail, on images smaller than a tile, a little larger, and so many that a thread
// block has several. Elsewhere they are layers like others.
#include "tests/kernels/conv_norm_case.h"

namespace fjord {

namespace {

std::vector<OpCase> tail_norm_cases() {
  std::vector<OpCase> cases;
  const auto add_backward_data = [&](const NormLayer& layer) {
    for (const Write mode : {Write::store, Write::add})
      for (const bool masked : {false, true})
        cases.push_back(norm_backward_data_case(layer, {mode, masked}));
  };
  const auto add = [&](NormLayer layer) {
    layer.halves = true;
    add_backward_data(layer);
    cases.push_back(norm_forward_case(layer));
    cases.push_back(norm_backward_filter_case(layer, Write::store));
    cases.push_back(norm_backward_filter_case(layer, Write::add));
    layer.act = Act::none;
    cases.push_back(norm_backward_data_case(layer, {}));
    cases.push_back(norm_forward_case(layer));
    if (!layer.moments) return;
    cases.push_back(norm_backward_filter_case(layer, Write::add, MadeDy{Act::relu, true}));
    layer.moments = false;
    cases.push_back(norm_forward_case(layer));
    layer.moments = true;
    layer.normalized = false;
    cases.push_back(norm_forward_case(layer));
    cases.push_back(norm_backward_filter_case(layer, Write::store, MadeDy{}));
  };
  add({.x = {2, 19, 37, 16}, .outputs = 16});
  add({.x = {1, 9, 33, 32}, .outputs = 32});
  add({.x = {1, 9, 18, 64}, .outputs = 64});
  add({.x = {1, 3, 5, 48}, .outputs = 48});
  add({.x = {1, 7, 5, 32}, .outputs = 16});
  add({.x = {1, 1, 1, 16}, .outputs = 16});
  add({.x = {140, 1, 2, 32}, .outputs = 32});
  const auto head = [&](Shape x, std::int64_t outputs) {
    add({.x = x, .outputs = outputs, .moments = false, .bias = true});
  };
  head({2, 19, 37, 16}, 1);
  head({1, 5, 20, 16}, 3);
  head({1, 3, 7, 16}, 8);
  // Several tiles a thread block.
  NormLayer many{.x = {2051, 1, 1, 16}, .outputs = 16, .halves = true};
  cases.push_back(norm_forward_case(many));
  cases.push_back(norm_backward_data_case(many, {}));
  return cases;
}

const AddCases added(tail_norm_cases);

}  // namespace

}  // namespace fjord
