// Cases of the optimizers.
#include "kernels/optimizer.h"

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

double positive(std::int64_t i) { return uniform(5, i, 0, 1); }

// Two groups with a hole between them that nothing may write, and one longer than a chunk.
std::vector<Segment> segments_of(std::int64_t count) {
  if (count < 100) return {{0, count, 1.0, 0.01}};
  return {{0, 17, 0.1, 0.0}, {20, 21, 1.0, 0.5}, {33, count, 1.0, 0.01}};
}

void add_adamw(std::vector<OpCase>& cases, std::int64_t count, StepParams params) {
  const Shape s{1, 1, 1, count};
  cases.push_back({.slot = "adamw_update",
                   .what = fmt::format("{} values, step {}", count, params.step),
                   .tensors = {read("dweight", s), update("weight", s), update("first", s),
                               update("second", s, positive)},
                   .run = [=](Operands& t, Stream& stream) {
                     adamw_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                                  t.inout("first"), t.inout("second"), segments_of(count), AdamW{},
                                  stream);
                   }});
}

void add_sgd(std::vector<OpCase>& cases, std::int64_t count, StepParams params, Sgd sgd) {
  const Shape s{1, 1, 1, count};
  OpCase c{.slot = "sgd_update",
           .what = fmt::format("{} values, step {}, momentum {}{}", count, params.step,
                               sgd.momentum, sgd.nesterov ? " nesterov" : ""),
           .tensors = {read("dweight", s), update("weight", s)},
           .run = [=](Operands& t, Stream& stream) {
             sgd_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                        t.inout("velocity"), segments_of(count), sgd, stream);
           }};
  if (sgd.momentum != 0) c.tensors.push_back(update("velocity", s));
  cases.push_back(c);
}

void add_norm(std::vector<OpCase>& cases, std::int64_t count) {
  cases.push_back(
      {.slot = "gradient_norm",
       .what = fmt::format("{} values", count),
       .reduction = count,
       .tensors = {read("dweight", {1, 1, 1, count}), typed(write("norm", {}), DType::f64)},
       .run = [=](Operands& t, Stream& stream) {
         gradient_norm(t.in("dweight"), t.out("norm"), segments_of(count), stream);
       }});
}

std::vector<OpCase> optimizer_cases() {
  std::vector<OpCase> cases;
  for (const std::int64_t count : {1, 100, 100003}) {
    add_norm(cases, count);
    for (const std::int64_t step : {1, 2, 1000}) {
      const StepParams params{.step = step, .lr = 1e-2, .gradient_scale = 0.5};
      add_adamw(cases, count, params);
      add_sgd(cases, count, params, {.momentum = 0});
      add_sgd(cases, count, params, {.momentum = 0.9});
      add_sgd(cases, count, params, {.momentum = 0.9, .nesterov = true});
    }
  }
  return cases;
}

const AddCases added(optimizer_cases);

}  // namespace

}  // namespace fjord
