// Kernels whose traffic is counted, each on tensors that its floor can be told from.
#include "tests/cuda/gates/traffic_cases.h"

#include "kernels/confusion.h"
#include "kernels/conv.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"

namespace fjord {

namespace {

const Shape image{2, 32, 32, 64};
const Shape channels{1, 1, 1, 64};

double positive(std::int64_t i) { return uniform(2, i, 0.1, 2); }

OpCase make(const char* slot, const char* what, std::vector<Operand> tensors,
            std::vector<std::string> features, std::function<void(Operands&, Stream&)> run) {
  return {.slot = slot,
          .what = what,
          .tensors = std::move(tensors),
          .features = std::move(features),
          .run = std::move(run)};
}

void add_pointwise(std::vector<Measured>& all) {
  const auto relu = [](Operands& t, Stream& s) { relu_forward(t.in("x"), t.out("y"), s); };
  all.push_back(
      {make("relu_forward", "", {read("x", image), write("y", image)}, {"x", "y"}, relu)});
  all.push_back(
      {make("relu_backward", "", {read("y", image), read("dy", image), write("dx", image)},
            {"y", "dy", "dx"},
            [](Operands& t, Stream& s) { relu_backward(t.in("y"), t.in("dy"), t.out("dx"), s); })});
  all.push_back({make(
      "add_forward", "", {read("a", image), read("b", image), write("y", image)}, {"a", "b", "y"},
      [](Operands& t, Stream& s) { add_forward(t.in("a"), t.in("b"), t.out("y"), s); })});
  for (const Write mode : {Write::store, Write::add})
    all.push_back({make("copy_forward", mode == Write::add ? "added, from f32" : "from f32",
                        {read("x", image), write("y", image, mode)}, {"y"},
                        [](Operands& t, Stream& s) { copy_forward(t.in("x"), t.out("y"), s); }),
                   {.asked = 1.7}});  // a thread's 8 values are 32 bytes of f32: two accesses
}

std::vector<Operand> backward_tensors() {
  return {read("x", image),        read("dy", image),      read("scale", channels),
          read("shift", channels), read("mean", channels), read("inv_std", channels, positive)};
}

// Each thread reads its channels' factors once, which is much beside so small an image.
constexpr Bounds with_factors{.asked = 2.3};

void add_norm(std::vector<Measured>& all) {
  all.push_back({make("batch_norm_statistics", "",
                      {read("x", image), write("mean", channels), write("variance", channels)},
                      {"x"}, [](Operands& t, Stream& s) {
                        batch_norm_statistics(t.in("x"), t.out("mean"), t.out("variance"), s);
                      })});
  for (const bool residual : {false, true}) {
    std::vector<Operand> tensors{read("x", image), read("scale", channels), read("shift", channels),
                                 write("y", image)};
    if (residual) tensors.push_back(read("residual", image));
    all.push_back(
        {make("batch_norm_apply", residual ? "residual" : "", tensors, {"x", "y", "residual"},
              [](Operands& t, Stream& s) {
                batch_norm_apply(t.in("x"), t.in("scale"), t.in("shift"), t.in("residual"),
                                 t.out("y"), Act::relu, s);
              }),
         with_factors});
  }
  std::vector<Operand> reduce = backward_tensors(), apply = backward_tensors();
  reduce.push_back(write("sums", {1, 1, 2, 64}));
  reduce.push_back(write("dgamma", channels));
  reduce.push_back(write("dbeta", channels));
  all.push_back({make("batch_norm_backward_reduce", "", reduce, {"x", "dy"},
                      [](Operands& t, Stream& s) {
                        batch_norm_backward_reduce(t.in("x"), {}, t.in("dy"), t.in("scale"),
                                                   t.in("shift"), t.in("mean"), t.in("inv_std"),
                                                   t.out("sums"), t.out("dgamma"), t.out("dbeta"),
                                                   Act::relu, s);
                      }),
                 with_factors});
  apply.push_back(read("sums", {1, 1, 2, 64}));
  apply.push_back(write("dx", image));
  apply.push_back(write("dresidual", image, Write::add));
  all.push_back({make("batch_norm_backward_apply", "and residual, added", apply,
                      {"x", "dy", "dx", "dresidual"},
                      [](Operands& t, Stream& s) {
                        batch_norm_backward_apply(t.in("x"), {}, t.in("dy"), t.in("scale"),
                                                  t.in("shift"), t.in("mean"), t.in("inv_std"),
                                                  t.in("sums"), t.out("dx"), t.out("dresidual"),
                                                  Act::relu, s);
                      }),
                 with_factors});
}

void add_spatial(std::vector<Measured>& all) {
  const Shape half{2, 16, 16, 64}, few{2, 32, 32, 32}, both{2, 32, 32, 96};
  // A 3x3 window of stride 2 asks for each pixel 2.25 times.
  all.push_back(
      {make("max_pool_forward", "",
            {read("x", image), write("y", half), typed(write("tap", half), DType::u8)}, {"x", "y"},
            [](Operands& t, Stream& s) {
              max_pool_forward(t.in("x"), t.out("y"), t.out("tap"), {}, s);
            }),
       {.asked = 2.3}});
  // Each pixel of dx looks at the up to 4 windows that it is in.
  all.push_back(
      {make("max_pool_backward", "",
            {read("dy", half), typed(read("tap", half, [](std::int64_t) { return 4; }), DType::u8),
             write("dx", image)},
            {"dy", "dx"},
            [](Operands& t, Stream& s) {
              max_pool_backward(t.in("dy"), t.in("tap"), t.out("dx"), {}, s);
            }),
       {.asked = 3}});
  all.push_back(
      {make("batch_norm_apply_max_pool", "relu",
            {read("x", image), read("scale", channels), read("shift", channels), write("y", image),
             write("pooled", half), typed(write("tap", half), DType::u8)},
            {"x", "y", "pooled"},
            [](Operands& t, Stream& s) {
              batch_norm_apply_max_pool(t.in("x"), t.in("scale"), t.in("shift"), t.out("y"),
                                        t.out("pooled"), t.out("tap"), Act::relu, {}, s);
            }),
       {.asked = 2.3}});
  all.push_back(
      {make("upsample_concat_forward", "", {read("low", half), read("skip", few), write("y", both)},
            {"low", "skip", "y"},
            [](Operands& t, Stream& s) {
              upsample_concat_forward(t.in("low"), t.in("skip"), t.out("y"), s);
            }),
       {.asked = 1.1}});
  all.push_back({make("upsample_concat_backward", "",
                      {read("dy", both), write("dlow", half), write("dskip", few)},
                      {"dy", "dlow", "dskip"}, [](Operands& t, Stream& s) {
                        upsample_concat_backward(t.in("dy"), t.out("dlow"), t.out("dskip"), s);
                      })});
}

void add_losses(std::vector<Measured>& all) {
  const Shape pixels{2, 128, 128, 1};
  const auto label = [](std::int64_t i) { return uniform(3, i, 0, 2); };
  const LossTerms terms{{LabelForm::elements, 255}, {{.share = {1.0}}}, {{.weight = 0.5}}};
  const std::int64_t slopes = loss_slope_count(1, terms);
  all.push_back({make("loss_forward", "Dice and BCE",
                      {read("logits", pixels), typed(read("label", pixels, label), DType::u8),
                       typed(write("slopes", {1, 1, 1, slopes}), DType::f64), write("loss", {})},
                      {"logits"}, [terms](Operands& t, Stream& s) {
                        loss_forward(t.in("logits"), t.in("label"), t.out("slopes"), t.out("loss"),
                                     terms, s);
                      })});
  all.push_back(
      {make("loss_backward", "Dice and BCE",
            {read("logits", pixels), typed(read("label", pixels, label), DType::u8),
             typed(read("slopes", {1, 1, 1, slopes}), DType::f64), write("dlogits", pixels)},
            {"logits", "dlogits"}, [terms](Operands& t, Stream& s) {
              loss_backward(t.in("logits"), t.in("label"), t.in("slopes"), {}, {}, t.out("dlogits"),
                            terms, s);
            })});
  all.push_back({make("confusion_count", "one channel",
                      {read("logits", pixels), typed(read("label", pixels, label), DType::u8),
                       typed(update("counts", {1, 1, 1, confusion_cells(2)}), DType::i64)},
                      {"logits"}, [](Operands& t, Stream& s) {
                        confusion_count(t.in("logits"), t.in("label"), t.inout("counts"), {}, s);
                      })});
}

void add_optimizers(std::vector<Measured>& all) {
  const Shape flat{1, 1, 1, 100000};
  const std::vector<Segment> segments{{0, flat.c, 1.0, 0.01}};
  const StepParams params{.step = 3};
  all.push_back({make("adamw_update", "with a copy in 16 bits",
                      {read("dweight", flat), update("weight", flat), update("first", flat),
                       update("second", flat, positive), write("shadow", flat)},
                      {"shadow"}, [=](Operands& t, Stream& s) {
                        adamw_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                                     t.inout("first"), t.inout("second"), t.out("shadow"), segments,
                                     AdamW{}, s);
                      })});
  all.push_back({make("sgd_update", "momentum",
                      {read("dweight", flat), update("weight", flat), update("velocity", flat)}, {},
                      [=](Operands& t, Stream& s) {
                        sgd_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                                   t.inout("velocity"), {}, segments, Sgd{}, s);
                      })});
  all.push_back({make("ema_update", "", {read("weight", flat), update("average", flat)}, {},
                      [=](Operands& t, Stream& s) {
                        ema_update(t.data("params", params), t.in("weight"), t.inout("average"),
                                   Ema{}, s);
                      })});
  all.push_back(
      {make("gradient_norm", "", {read("dweight", flat), typed(write("norm", {}), DType::f64)}, {},
            [=](Operands& t, Stream& s) {
              gradient_norm(t.in("dweight"), t.out("norm"), segments, s);
            })});
}

ConvShape tail_shape(Operands& t, Shape filter) {
  const Shape x = t.in("x").shape();
  return {.x = x, .weight = filter, .y = x, .conv = {}, .dtype = t.in("x").dtype()};
}

// The tail's convolutions, in 16 bits. Tiles share a border of one pixel with their neighbours. The
// partial sums of a filter's gradient stop growing with the image: much here, 1.06 at 8x512x512.
void add_tail(std::vector<Measured>& all) {
  const Shape x{2, 64, 64, 16}, large{2, 256, 256, 16}, filter{16, 3, 3, 16};
  const Bounds bounds{.asked = 2.2};
  all.push_back({make("conv_forward", "16 channels",
                      {read("x", x), read("weight", filter), write("y", x)}, {"x", "weight", "y"},
                      [=](Operands& t, Stream& s) {
                        ConvForward pass;
                        prepare_conv_forward(tail_shape(t, filter), pass, s);
                        pass.run(t.in("x"), t.in("weight"), {}, t.out("y"),
                                 t.scratch(pass.scratch_bytes), s);
                      }),
                 bounds});
  all.push_back({make("conv_backward_filter", "16 channels",
                      {read("x", large), read("dy", large), write("dweight", filter)}, {"x", "dy"},
                      [=](Operands& t, Stream& s) {
                        ConvBackwardFilter pass;
                        prepare_conv_backward_filter(tail_shape(t, filter), pass, s);
                        pass.run(t.in("x"), t.in("dy"), t.out("dweight"), {},
                                 t.scratch(pass.scratch_bytes), s);
                      }),
                 {.moved = 1.3, .asked = 2.7}});
}

}  // namespace

std::vector<Measured> measured_cases() {
  std::vector<Measured> all;
  add_pointwise(all);
  add_norm(all);
  add_spatial(all);
  add_losses(all);
  add_optimizers(all);
  add_tail(all);
  return all;
}

}  // namespace fjord
