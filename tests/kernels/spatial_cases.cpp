// Cases of pooling and upsampling.
#include "kernels/spatial.h"

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

std::int64_t pooled(std::int64_t size, Pool2d pool) {
  return (size + 2 * pool.padding - pool.kernel) / pool.stride + 1;
}

void add_pool(std::vector<OpCase>& cases, Shape x, Pool2d pool) {
  const Shape y{x.n, pooled(x.h, pool), pooled(x.w, pool), x.c};
  const std::string what = fmt::format("{} kernel {} stride {} padding {}", to_string(x),
                                       pool.kernel, pool.stride, pool.padding);
  // Few distinct values, so that windows hold equals: the first of them wins.
  const auto ties = [](std::int64_t i) { return std::int64_t(uniform(3, i, -4, 4)); };
  cases.push_back(
      {.slot = "max_pool_forward",
       .what = what,
       .tensors = {read("x", x, ties), write("y", y), typed(write("tap", y), DType::u8)},
       .features = {"x", "y"},
       .run = [pool](Operands& t, Stream& stream) {
         max_pool_forward(t.in("x"), t.out("y"), t.out("tap"), pool, stream);
       }});
  // A position that lies in the image for every output: the middle one or one before.
  const int middle = pool.padding * pool.kernel + pool.padding;
  const auto taps = [=](std::int64_t i) {
    return uniform(4, i, 0, 1) < 0.5 && pool.padding == 0 ? 0 : middle;
  };
  for (const Write mode : {Write::store, Write::add})
    cases.push_back(
        {.slot = "max_pool_backward",
         .what = what + (mode == Write::add ? " added" : ""),
         .reduction = pool.kernel * pool.kernel,
         .tensors = {read("dy", y), typed(read("tap", y, taps), DType::u8), write("dx", x, mode)},
         .features = {"dy", "dx"},
         .run = [pool](Operands& t, Stream& stream) {
           max_pool_backward(t.in("dy"), t.in("tap"), t.out("dx"), pool, stream);
         }});
}

// Pooling forward, then backward along its own taps: overlapping windows that share a winner.
void add_pool_pair(std::vector<OpCase>& cases, Shape x) {
  const Pool2d pool;
  const Shape y{x.n, pooled(x.h, pool), pooled(x.w, pool), x.c};
  cases.push_back({.slot = "max_pool_backward",
                   .what = to_string(x) + " after forward",
                   .reduction = 4,
                   .tensors = {read("x", x), write("y", y), typed(write("tap", y), DType::u8),
                               read("dy", y), write("dx", x)},
                   .features = {"x", "y", "dy", "dx"},
                   .run = [pool](Operands& t, Stream& stream) {
                     max_pool_forward(t.in("x"), t.out("y"), t.out("tap"), pool, stream);
                     max_pool_backward(t.in("dy"), t.in("tap"), t.out("dx"), pool, stream);
                   }});
}

void add_apply_pool(std::vector<OpCase>& cases, Shape x, Act act) {
  const Shape y{x.n, pooled(x.h, {}), pooled(x.w, {}), x.c}, vector{1, 1, 1, x.c};
  // Products and sums that 16 bits hold, so that the reference finds the same equals in a window.
  const auto whole = [](std::int64_t i) { return std::int64_t(uniform(5, i, -4, 4)); };
  const auto half = [](std::int64_t i) { return std::int64_t(uniform(6, i, -5, 5)) * 0.5; };
  cases.push_back(
      {.slot = "batch_norm_apply_max_pool",
       .what = to_string(x) + (act == Act::relu ? " relu" : ""),
       .tensors = {read("x", x, whole), read("scale", vector, half), read("shift", vector, half),
                   write("y", x), write("pooled", y), typed(write("tap", y), DType::u8)},
       .features = {"x", "y", "pooled"},
       .run = [act](Operands& t, Stream& stream) {
         batch_norm_apply_max_pool(t.in("x"), t.in("scale"), t.in("shift"), t.out("y"),
                                   t.out("pooled"), t.out("tap"), act, {}, stream);
       }});
}

void add_concat(std::vector<OpCase>& cases, Shape low, Shape y, Write mode) {
  const Shape skip{y.n, y.h, y.w, y.c - low.c};
  const std::string what =
      to_string(low) + " to " + to_string(y) + (mode == Write::add ? " added" : "");
  OpCase forward{.slot = "upsample_concat_forward",
                 .what = what,
                 .tensors = {read("low", low), write("y", y, mode)},
                 .features = {"low", "skip", "y"},
                 .run = [](Operands& t, Stream& stream) {
                   upsample_concat_forward(t.in("low"), t.in("skip"), t.out("y"), stream);
                 }};
  if (skip.c > 0) forward.tensors.push_back(read("skip", skip));
  cases.push_back(forward);
  OpCase backward{.slot = "upsample_concat_backward",
                  .what = what,
                  .reduction = y.h * y.w / (low.h * low.w) + 1,
                  .tensors = {read("dy", y), write("dlow", low, mode)},
                  .features = {"dy", "dlow", "dskip"},
                  .run = [](Operands& t, Stream& stream) {
                    upsample_concat_backward(t.in("dy"), t.out("dlow"), t.out("dskip"), stream);
                  }};
  cases.push_back(backward);
  if (skip.c == 0) return;
  backward.what += " and skip";
  backward.tensors.push_back(write("dskip", skip, mode));
  cases.push_back(backward);
  backward.what = what + " skip alone";
  backward.tensors.erase(backward.tensors.begin() + 1);
  cases.push_back(backward);
}

// A tensor that is low and skip at once gets both gradients.
void add_own_skip(std::vector<OpCase>& cases, Shape low) {
  cases.push_back({.slot = "upsample_concat_backward",
                   .what = to_string(low) + " its own skip",
                   .tensors = {read("dy", {low.n, low.h, low.w, 2 * low.c}), write("dlow", low)},
                   .features = {"dy", "dlow"},
                   .run =
                       [](Operands& t, Stream& stream) {
                         Out skip = t.out("dlow");
                         skip.write = Write::add;
                         upsample_concat_backward(t.in("dy"), t.out("dlow"), skip, stream);
                       },
                   .roundings = 2});
}

std::vector<OpCase> spatial_cases() {
  std::vector<OpCase> cases;
  for (const Shape x :
       {Shape{1, 1, 1, 1}, Shape{2, 9, 7, 3}, Shape{1, 16, 18, 64}, Shape{1, 71, 38, 16}}) {
    add_pool(cases, x, {});
    add_pool_pair(cases, x);
  }
  for (const Act act : {Act::none, Act::relu})
    for (const Shape x : {Shape{2, 10, 6, 3}, Shape{2, 9, 8, 16}, Shape{1, 70, 38, 16}})
      add_apply_pool(cases, x, act);
  add_pool(cases, {1, 8, 9, 5}, {.kernel = 2, .stride = 2, .padding = 0});
  add_pool(cases, {1, 7, 8, 17}, {.kernel = 3, .stride = 1, .padding = 1});
  add_own_skip(cases, {1, 33, 35, 16});
  for (const Write mode : {Write::store, Write::add}) {
    add_concat(cases, {2, 4, 4, 16}, {2, 8, 8, 40}, mode);
    add_concat(cases, {1, 1, 1, 1}, {1, 1, 1, 2}, mode);
    add_concat(cases, {1, 3, 5, 3}, {1, 6, 10, 3}, mode);  // no skip
    add_concat(cases, {1, 3, 5, 3}, {1, 7, 9, 10}, mode);  // not a whole factor
    add_concat(cases, {1, 7, 6, 2}, {1, 3, 11, 5}, mode);  // fewer rows than before
    add_concat(cases, {1, 19, 23, 64}, {1, 38, 46, 96}, mode);
    add_concat(cases, {1, 29, 41, 1}, {1, 87, 61, 2}, mode);
  }
  return cases;
}

const AddCases added(spatial_cases);

}  // namespace

}  // namespace fjord
