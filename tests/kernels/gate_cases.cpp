// Cases of squeeze and excite, of activations that are passes of their own, masks and windows.
#include "kernels/gate.h"

#include "kernels/pointwise.h"
#include "kernels/spatial.h"
#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

void add_channels(std::vector<OpCase>& cases, Shape x, std::int64_t rows, Write mode) {
  const Shape s{rows, 1, 1, x.c};
  const std::string what =
      fmt::format("{} by {} rows{}", to_string(x), rows, mode == Write::add ? " added" : "");
  OpCase scale{.slot = "channel_scale",
               .what = what,
               .tensors = {read("s", s), write("y", x, mode)},
               .features = {"x", "s", "y"},
               .run = [](Operands& t, Stream& stream) {
                 channel_scale(t.in("x"), t.in("s"), t.out("y"), 0.25, stream);
               }};
  OpCase sums{.slot = "channel_sums",
              .what = what,
              .reduction = x.pixels() / rows,
              .tensors = {read("a", x), write("y", s, mode)},
              .features = {"a", "b", "y"},
              .run = [](Operands& t, Stream& stream) {
                channel_sums(t.in("a"), t.in("b"), t.out("y"), 0.25, stream);
              }};
  for (OpCase* one : {&scale, &sums}) cases.push_back(*one);
  scale.tensors.push_back(read("x", x));
  sums.tensors.push_back(read("b", x));
  for (OpCase* one : {&scale, &sums}) {
    one->what += " of two";
    cases.push_back(*one);
  }
}

void add_pixels(std::vector<OpCase>& cases, Shape x, Write mode) {
  const Shape s{x.n, x.h, x.w, 1};
  const std::string what = to_string(x) + (mode == Write::add ? " added" : "");
  cases.push_back({.slot = "pixel_scale",
                   .what = what,
                   .tensors = {read("x", x), read("s", s), write("y", x, mode)},
                   .features = {"x", "s", "y"},
                   .run = [](Operands& t, Stream& stream) {
                     pixel_scale(t.in("x"), t.in("s"), t.out("y"), stream);
                   }});
  cases.push_back({.slot = "pixel_sums",
                   .what = what,
                   .reduction = x.c,
                   .tensors = {read("a", x), read("b", x), write("y", s, mode)},
                   .features = {"a", "b", "y"},
                   .run = [](Operands& t, Stream& stream) {
                     pixel_sums(t.in("a"), t.in("b"), t.out("y"), stream);
                   }});
}

// x lies within `reach` of 0; beyond 88 an exponential is more than a float holds.
void add_activations(std::vector<OpCase>& cases, Shape s, Write mode, Act act, double reach = 9) {
  const auto wide = [reach](std::int64_t i) { return uniform(8, i, -reach, reach); };
  const std::string what = fmt::format("{} act {} to {}{}", to_string(s), static_cast<int>(act),
                                       reach, mode == Write::add ? " added" : "");
  cases.push_back({.slot = "activate_forward",
                   .what = what,
                   .tensors = {read("x", s, wide), write("y", s, mode)},
                   .features = {"x", "y"},
                   .run = [act](Operands& t, Stream& stream) {
                     activate_forward(t.in("x"), t.out("y"), act, stream);
                   }});
  cases.push_back({.slot = "activate_backward",
                   .what = what,
                   .tensors = {read("x", s, wide), read("dy", s), write("dx", s, mode)},
                   .features = {"x", "dy", "dx"},
                   .run = [act](Operands& t, Stream& stream) {
                     activate_backward(t.in("x"), t.in("dy"), t.out("dx"), act, stream);
                   }});
}

void add_mask(std::vector<OpCase>& cases, Shape s, std::int64_t repeats, Write mode) {
  const RandomMask mask{.keep = 0.75, .seed = 5, .layer = 77, .repeats = repeats};
  cases.push_back(
      {.slot = "random_mask",
       .what = fmt::format("{} repeated {}", to_string(s), repeats),
       .tensors = {typed(read("steps", {}, [](std::int64_t) { return 123; }), DType::i64),
                   write("mask", s, mode)},
       .features = {"mask"},
       .run = [mask](Operands& t, Stream& stream) {
         random_mask(t.in("steps"), t.out("mask"), mask, stream);
       }});
}

void add_window(std::vector<OpCase>& cases, Shape x, Shape y, Window window, Write mode) {
  cases.push_back({.slot = "window_copy",
                   .what = fmt::format("{} to {} at {}, {}{}", to_string(x), to_string(y),
                                       window.top, window.left, mode == Write::add ? " added" : ""),
                   .tensors = {read("x", x), write("y", y, mode)},
                   .features = {"x", "y"},
                   .run = [window](Operands& t, Stream& stream) {
                     window_copy(t.in("x"), t.out("y"), window, stream);
                   }});
}

void add_resize(std::vector<OpCase>& cases, Shape x, std::int64_t h, std::int64_t w,
                Interpolation interpolation, Write mode) {
  const Shape y{x.n, h, w, x.c};
  const std::string what =
      fmt::format("{} to {} by {}{}", to_string(x), to_string(y), static_cast<int>(interpolation),
                  mode == Write::add ? " added" : "");
  cases.push_back({.slot = "resize_forward",
                   .what = what,
                   .reduction = 16,
                   .tensors = {read("x", x), write("y", y, mode)},
                   .features = {"x", "y"},
                   .run = [=](Operands& t, Stream& stream) {
                     resize_forward(t.in("x"), t.out("y"), interpolation, stream);
                   }});
  cases.push_back({.slot = "resize_backward",
                   .what = what,
                   .reduction = 64,
                   .tensors = {read("dy", y), write("dx", x, mode)},
                   .features = {"dy", "dx"},
                   .run = [=](Operands& t, Stream& stream) {
                     resize_backward(t.in("dy"), t.out("dx"), interpolation, stream);
                   }});
}

void add_fold(std::vector<OpCase>& cases, Shape y, int groups, Write mode) {
  const Shape x{y.n, y.h, y.w, y.c * groups};
  const std::string what = to_string(x) + (mode == Write::add ? " added" : "");
  cases.push_back(
      {.slot = "channel_fold",
       .what = what,
       .reduction = groups,
       .tensors = {read("x", x), write("y", y, mode)},
       .features = {"x", "y"},
       .run = [](Operands& t, Stream& stream) { channel_fold(t.in("x"), t.out("y"), stream); }});
  cases.push_back({.slot = "channel_repeat",
                   .what = what,
                   .tensors = {read("dy", y), write("dx", x, mode)},
                   .features = {"dy", "dx"},
                   .run = [](Operands& t, Stream& stream) {
                     channel_repeat(t.in("dy"), t.out("dx"), stream);
                   }});
}

void add_softmax(std::vector<OpCase>& cases, Shape s, SplitSoftmax split, Write mode) {
  const std::string what = fmt::format("{} of {} x {}{}", to_string(s), split.groups, split.splits,
                                       mode == Write::add ? " added" : "");
  const auto share = [](std::int64_t i) { return uniform(9, i, 0, 1); };
  cases.push_back({.slot = "split_softmax_forward",
                   .what = what,
                   .reduction = split.splits,
                   .tensors = {read("x", s), write("y", s, mode)},
                   .features = {"x", "y"},
                   .run = [split](Operands& t, Stream& stream) {
                     split_softmax_forward(t.in("x"), t.out("y"), split, stream);
                   }});
  cases.push_back({.slot = "split_softmax_backward",
                   .what = what,
                   .reduction = split.splits + 1,
                   .tensors = {read("y", s, share), read("dy", s), write("dx", s, mode)},
                   .features = {"y", "dy", "dx"},
                   .run = [split](Operands& t, Stream& stream) {
                     split_softmax_backward(t.in("y"), t.in("dy"), t.out("dx"), split, stream);
                   }});
}

void add_average(std::vector<OpCase>& cases, Shape x, AvgPool2d pool, Write mode) {
  const Shape y{x.n, pool_size(x.h, pool.window), pool_size(x.w, pool.window), x.c};
  const std::string what =
      fmt::format("{} to {}{}", to_string(x), to_string(y), mode == Write::add ? " added" : "");
  cases.push_back({.slot = "avg_pool_forward",
                   .what = what,
                   .reduction = 9,
                   .tensors = {read("x", x), write("y", y, mode)},
                   .features = {"x", "y"},
                   .run = [pool](Operands& t, Stream& stream) {
                     avg_pool_forward(t.in("x"), t.out("y"), pool, stream);
                   }});
  cases.push_back({.slot = "avg_pool_backward",
                   .what = what,
                   .reduction = 9,
                   .tensors = {read("dy", y), write("dx", x, mode)},
                   .features = {"dy", "dx"},
                   .run = [pool](Operands& t, Stream& stream) {
                     avg_pool_backward(t.in("dy"), t.out("dx"), pool, stream);
                   }});
}

std::vector<OpCase> gate_cases() {
  std::vector<OpCase> cases;
  for (const Act act : {Act::relu6, Act::silu, Act::sigmoid})
    add_activations(cases, {1, 90, 61, 7}, Write::store, act, 200);  // more than a thread's share
  for (const Write mode : {Write::store, Write::add}) {
    add_channels(cases, {2, 5, 7, 16}, 2, mode);
    add_channels(cases, {2, 9, 5, 3}, 1, mode);
    add_channels(cases, {4, 2, 3, 40}, 2, mode);
    add_pixels(cases, {2, 5, 7, 16}, mode);
    add_pixels(cases, {1, 3, 3, 37}, mode);
    for (const Act act : {Act::relu6, Act::silu, Act::sigmoid})
      for (const Shape s : {Shape{1, 3, 5, 7}, Shape{2, 4, 5, 16}})
        add_activations(cases, s, mode, act);
    add_fold(cases, {2, 3, 4, 8}, 2, mode);
    add_fold(cases, {1, 1, 1, 3}, 4, mode);
    add_softmax(cases, {2, 1, 1, 24}, {.groups = 1, .splits = 2}, mode);
    add_softmax(cases, {2, 1, 1, 24}, {.groups = 2, .splits = 4}, mode);
    add_average(cases, {2, 7, 6, 3}, {{.kernel = 3, .stride = 2, .padding = 1}}, mode);
    add_average(cases, {1, 7, 5, 8},
                {{.kernel = 2, .stride = 2, .padding = 0, .ceil = true}, false}, mode);
    add_mask(cases, {2, 1, 1, 24}, 24, mode);
    add_mask(cases, {3, 1, 1, 7}, 1, mode);
    add_window(cases, {2, 5, 7, 16}, {2, 6, 8, 16}, {0, 0}, mode);
    add_window(cases, {2, 5, 7, 3}, {2, 8, 10, 3}, {1, 2}, mode);
    add_window(cases, {2, 8, 10, 3}, {2, 5, 7, 3}, {-1, -2}, mode);
    add_window(cases, {1, 2, 2, 1}, {1, 3, 3, 1}, {5, -4}, mode);
  }
  for (const Interpolation mode :
       {Interpolation::nearest, Interpolation::nearest_exact, Interpolation::bilinear,
        Interpolation::bicubic, Interpolation::area}) {
    add_resize(cases, {2, 3, 4, 5}, 6, 8, mode, Write::add);
    add_resize(cases, {1, 5, 3, 8}, 9, 7, mode, Write::store);
    add_resize(cases, {1, 7, 1, 3}, 4, 2, mode, Write::store);
  }
  const Shape many{1, 70, 130, 8};  // more than a chunk
  add_channels(cases, many, 1, Write::store);
  return cases;
}

const AddCases added(gate_cases);

}  // namespace

}  // namespace fjord
