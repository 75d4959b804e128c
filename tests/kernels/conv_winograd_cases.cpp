// Cases of the Winograd convolutions on sizes that leave tiles and vectors partly empty, where the
// CPU's rule would choose otherwise; and how shapes are drawn for the fuzz test.
#include "tests/kernels/conv_case.h"

namespace fjord {

namespace {

std::vector<OpCase> winograd_cases() {
  const std::vector<Write> both{Write::store, Write::add};
  std::vector<OpCase> cases;
  const auto add = [&](Shape x, std::int64_t outputs, int padding = 1) {
    add_conv_layer(cases,
                   {.x = x, .outputs = outputs, .conv = {.padding = padding}, .winograd = true},
                   both, true);
  };
  const Shape sizes[]{{1, 1, 1}, {1, 5, 6}, {2, 9, 70}, {1, 17, 13}, {2, 30, 27}};
  for (const Shape s : sizes)
    for (const std::int64_t channels : {1, 3, 17, 48})
      add({s.n, s.h, s.w, channels}, channels == 17 ? 33 : channels);
  add({64, 4, 3, 16}, 20);
  add({64, 2, 2, 40}, 1);
  // Unequal numbers of channels, more than one panel, one that is cut.
  add({1, 8, 8, 1}, 65);
  add({1, 6, 11, 130}, 3);
  add({2, 7, 9, 64}, 32);
  add({1, 21, 19, 32}, 16);
  // Other paddings.
  add({2, 9, 10, 5}, 6, 0);
  add({2, 9, 10, 5}, 6, 2);
  add({1, 3, 3, 20}, 20, 0);
  add({1, 1, 1, 3}, 4, 2);
  // A bias, many blocks a thread, partial sums of a filter's gradient.
  add_conv_layer(cases, {{3, 45, 50, 19}, 21, {}, true, true}, both, true);
  add_conv_layer(cases, {{2, 60, 64, 16}, 16, {}, false, true}, both, true);
  // Products of bf16: an odd number of tiles, one, many; partial sums of a filter's gradient.
  const auto add_bf16 = [&](Shape x, std::int64_t outputs) {
    add_conv_layer(cases, {.x = x, .outputs = outputs, .conv = {}, .winograd = true, .bf16 = true},
                   both, true);
  };
  add_bf16({1, 1, 1, 1}, 1);
  add_bf16({3, 4, 12, 17}, 33);
  add_bf16({2, 9, 10, 48}, 20);
  add_bf16({1, 6, 6, 96}, 130);
  add_bf16({2, 60, 64, 16}, 16);
  return cases;
}

const AddCases added(winograd_cases);

}  // namespace

}  // namespace fjord
