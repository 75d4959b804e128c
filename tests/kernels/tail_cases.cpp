// Cases of small 3x3 convolutions: every form of the GPU's hand-written tail, on images smaller
// than a tile, a little larger, and so many that a thread block has several tiles. Elsewhere they
// are convolutions like others.
#include "tests/kernels/conv_case.h"

namespace fjord {

namespace {

std::vector<OpCase> tail_cases() {
  const std::vector<Write> both{Write::store, Write::add};
  const Conv2d same3{};
  std::vector<OpCase> cases;
  const auto add = [&](Shape x, std::int64_t outputs, bool bias = false) {
    add_conv_layer(cases, {x, outputs, same3, bias}, both, true);
  };
  add({2, 19, 37, 16}, 16);
  add({1, 9, 33, 32}, 16);
  add({1, 10, 20, 32}, 32);
  add({1, 7, 17, 16}, 32);
  add({1, 5, 7, 16}, 64);
  add({1, 9, 18, 64}, 32);
  add({1, 6, 17, 64}, 64);
  add({1, 5, 7, 64}, 16);
  add({1, 5, 17, 48}, 48);
  add({1, 3, 5, 48}, 32);
  add({1, 1, 1, 16}, 1, true);
  add({2, 19, 37, 16}, 1, true);
  add({1, 17, 35, 16}, 3, true);
  add({1, 5, 20, 16}, 8, true);
  add({1, 8, 32, 16}, 8);
  // The filter's gradient: more tiles than thread blocks. Both: more than a thread block's first.
  add({140, 1, 1, 32}, 16);
  add({40, 1, 1, 64}, 64);  // four turns share the thread blocks
  add_conv_layer(cases, {{2048, 1, 1, 16}, 2, same3, true}, {Write::store}, true);
  return cases;
}

const AddCases added(tail_cases);

}  // namespace

}  // namespace fjord
