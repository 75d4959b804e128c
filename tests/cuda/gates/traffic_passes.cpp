// Traffic of passes over tensors of one shape, of normalisation and of optimizers.
#include "tests/cuda/gates/traffic_cases.h"

#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"

namespace fjord {

namespace {

const Shape image{2, 32, 32, 64};
const Shape channels{1, 1, 1, 64};

double positive(std::int64_t i) { return uniform(2, i, 0.1, 2); }

void add_pointwise(std::vector<Measured>& all) {
  const auto relu = [](Operands& t, Stream& s) { relu_forward(t.in("x"), t.out("y"), s); };
  all.push_back(
      {traffic_case("relu_forward", "", {read("x", image), write("y", image)}, {"x", "y"}, relu)});
  all.push_back({traffic_case(
      "relu_backward", "", {read("y", image), read("dy", image), write("dx", image)},
      {"y", "dy", "dx"},
      [](Operands& t, Stream& s) { relu_backward(t.in("y"), t.in("dy"), t.out("dx"), s); })});
  all.push_back({traffic_case(
      "add_forward", "", {read("a", image), read("b", image), write("y", image)}, {"a", "b", "y"},
      [](Operands& t, Stream& s) { add_forward(t.in("a"), t.in("b"), t.out("y"), s); })});
  for (const Write mode : {Write::store, Write::add})
    all.push_back(
        {traffic_case("copy_forward", mode == Write::add ? "added, from f32" : "from f32",
                      {read("x", image), write("y", image, mode)}, {"y"},
                      [](Operands& t, Stream& s) { copy_forward(t.in("x"), t.out("y"), s); }),
         {.asked = 1.7}});  // a thread's 8 values are 32 bytes of f32: two accesses
}

void add_activations(std::vector<Measured>& all) {
  all.push_back({traffic_case(
      "activate_forward", "silu", {read("x", image), write("y", image)}, {"x", "y"},
      [](Operands& t, Stream& s) { activate_forward(t.in("x"), t.out("y"), Act::silu, s); })});
  all.push_back({traffic_case(
      "activate_backward", "sigmoid", {read("x", image), read("dy", image), write("dx", image)},
      {"x", "dy", "dx"}, [](Operands& t, Stream& s) {
        activate_backward(t.in("x"), t.in("dy"), t.out("dx"), Act::sigmoid, s);
      })});
  const RandomMask mask{.keep = 0.75, .seed = 5};
  const auto step = [](std::int64_t) { return 3; };
  all.push_back(
      {traffic_case(
           "random_mask", "", {typed(read("steps", {}, step), DType::i64), write("mask", image)},
           {"mask"},
           [mask](Operands& t, Stream& s) { random_mask(t.in("steps"), t.out("mask"), mask, s); }),
       {.asked = 1.6}});  // each warp reads the number of the step
}

std::vector<Operand> backward_tensors() {
  return {read("x", image),        read("dy", image),      read("scale", channels),
          read("shift", channels), read("mean", channels), read("inv_std", channels, positive)};
}

// Each thread reads its channels' factors once, which is much beside so small an image.
constexpr Bounds with_factors{.asked = 2.3};

void add_norm(std::vector<Measured>& all) {
  all.push_back(
      {traffic_case("batch_norm_statistics", "",
                    {read("x", image), write("mean", channels), write("variance", channels)}, {"x"},
                    [](Operands& t, Stream& s) {
                      batch_norm_statistics(t.in("x"), t.out("mean"), t.out("variance"), s);
                    })});
  for (const bool residual : {false, true}) {
    std::vector<Operand> tensors{read("x", image), read("scale", channels), read("shift", channels),
                                 write("y", image)};
    if (residual) tensors.push_back(read("residual", image));
    all.push_back({traffic_case("batch_norm_apply", residual ? "residual" : "", tensors,
                                {"x", "y", "residual"},
                                [](Operands& t, Stream& s) {
                                  batch_norm_apply(t.in("x"), t.in("scale"), t.in("shift"),
                                                   t.in("residual"), t.out("y"), Act::relu, s);
                                }),
                   with_factors});
  }
  std::vector<Operand> reduce = backward_tensors(), apply = backward_tensors();
  reduce.push_back(write("sums", {1, 1, 2, 64}));
  reduce.push_back(write("dgamma", channels));
  reduce.push_back(write("dbeta", channels));
  all.push_back({traffic_case("batch_norm_backward_reduce", "", reduce, {"x", "dy"},
                              [](Operands& t, Stream& s) {
                                batch_norm_backward_reduce(
                                    t.in("x"), {}, t.in("dy"), t.in("scale"), t.in("shift"),
                                    t.in("mean"), t.in("inv_std"), t.out("sums"), t.out("dgamma"),
                                    t.out("dbeta"), Act::relu, s);
                              }),
                 with_factors});
  apply.push_back(read("sums", {1, 1, 2, 64}));
  apply.push_back(write("dx", image));
  apply.push_back(write("dresidual", image, Write::add));
  all.push_back({traffic_case("batch_norm_backward_apply", "and residual, added", apply,
                              {"x", "dy", "dx", "dresidual"},
                              [](Operands& t, Stream& s) {
                                batch_norm_backward_apply(
                                    t.in("x"), {}, t.in("dy"), t.in("scale"), t.in("shift"),
                                    t.in("mean"), t.in("inv_std"), t.in("sums"), t.out("dx"),
                                    t.out("dresidual"), Act::relu, s);
                              }),
                 with_factors});
}

void add_constant_norm(std::vector<Measured>& all) {
  const Shape vector{1, 1, 1, 2048};
  std::vector<Operand> tensors{read("mean", vector),
                               read("variance", vector, positive),
                               read("gamma", vector),
                               read("beta", vector),
                               update("running_mean", vector),
                               update("running_var", vector),
                               typed(update("batches", {}), DType::i64)};
  for (const char* name : {"scale", "shift", "inv_std"}) tensors.push_back(write(name, vector));
  all.push_back({traffic_case("batch_norm_finalize", "", tensors, {}, [](Operands& t, Stream& s) {
    batch_norm_finalize(t.in("mean"), t.in("variance"), t.in("gamma"), t.in("beta"),
                        t.inout("running_mean"), t.inout("running_var"), t.inout("batches"),
                        t.out("scale"), t.out("shift"), t.out("inv_std"), image.pixels(),
                        BatchNorm{}, s);
  })});
  all.push_back({traffic_case("scale_shift_backward", "masked by y",
                              {read("y", image), read("dy", image), read("scale", channels),
                               write("dx", image)},
                              {"y", "dy", "dx"},
                              [](Operands& t, Stream& s) {
                                scale_shift_backward({}, t.in("y"), t.in("dy"), t.in("scale"), {},
                                                     t.out("dx"), {}, Act::relu, s);
                              }),
                 {.asked = 1.4}});
}

void add_optimizers(std::vector<Measured>& all) {
  const Shape flat{1, 1, 1, 100000};
  const std::vector<Segment> segments{{0, flat.c, 1.0, 0.01}};
  const StepParams params{.step = 3};
  all.push_back({traffic_case("adamw_update", "with a copy in 16 bits",
                              {read("dweight", flat), update("weight", flat), update("first", flat),
                               update("second", flat, positive), write("shadow", flat)},
                              {"shadow"}, [=](Operands& t, Stream& s) {
                                adamw_update(t.data("params", params), t.in("dweight"),
                                             t.inout("weight"), t.inout("first"), t.inout("second"),
                                             t.out("shadow"), segments, AdamW{}, s);
                              })});
  all.push_back(
      {traffic_case("sgd_update", "momentum",
                    {read("dweight", flat), update("weight", flat), update("velocity", flat)}, {},
                    [=](Operands& t, Stream& s) {
                      sgd_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                                 t.inout("velocity"), {}, segments, Sgd{}, s);
                    })});
  all.push_back({traffic_case("ema_update", "", {read("weight", flat), update("average", flat)}, {},
                              [=](Operands& t, Stream& s) {
                                ema_update(t.data("params", params), t.in("weight"),
                                           t.inout("average"), Ema{}, s);
                              })});
  all.push_back({traffic_case("gradient_norm", "",
                              {read("dweight", flat), typed(write("norm", {}), DType::f64)}, {},
                              [=](Operands& t, Stream& s) {
                                gradient_norm(t.in("dweight"), t.out("norm"), segments, s);
                              })});
}

}  // namespace

void add_pass_traffic(std::vector<Measured>& all) {
  add_pointwise(all);
  add_activations(all);
  add_norm(all);
  add_constant_norm(all);
  add_optimizers(all);
}

}  // namespace fjord
