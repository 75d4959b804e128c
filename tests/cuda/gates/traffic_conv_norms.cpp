// Traffic of convolutions between batch normalisations: the tail's, which normalise what they read
// and sum what they write, and what is ours behind a library's sums.
#include "kernels/conv_norm.h"
#include "kernels/cuda/conv_sums.h"
#include "tests/cuda/gates/traffic_cases.h"

namespace fjord {

namespace {

struct Layer {
  Shape x;
  std::int64_t outputs;

  Shape y() const { return {x.n, x.h, x.w, outputs}; }
  Shape weight() const { return {outputs, 3, 3, x.c}; }
  Shape vector() const { return {1, 1, 1, x.c}; }
  Shape vector_of_y() const { return {1, 1, 1, outputs}; }
  std::string what() const { return fmt::format("{} to {}", x.c, outputs); }
  ConvNormShape in(DType dtype) const {
    return {.conv = {.x = x, .weight = weight(), .y = y(), .conv = {}, .dtype = dtype},
            .normalized = true,
            .act = Act::relu,
            .moments = outputs > 8};
  }
};

void add_forward(std::vector<Measured>& all, const Layer& layer, Bounds bounds) {
  std::vector<Operand> tensors{read("x", layer.x), read("weight", layer.weight()),
                               read("scale", layer.vector()), read("shift", layer.vector()),
                               write("y", layer.y())};
  if (layer.outputs > 8)
    for (const char* name : {"mean", "variance"})
      tensors.push_back(write(name, layer.vector_of_y()));
  all.push_back({traffic_case("conv_norm_forward", layer.what(), tensors, {"x", "weight", "y"},
                              [layer](Operands& t, Stream& s) {
                                ConvNormForward pass;
                                prepare_conv_norm_forward(layer.in(t.dtype("x")), pass, s);
                                pass.run({.x = t.in("x"),
                                          .weight = t.in("weight"),
                                          .scale = t.in("scale"),
                                          .shift = t.in("shift")},
                                         t.out("y"), t.out("mean"), t.out("variance"),
                                         t.scratch(pass.scratch_bytes), s);
                              }),
                 bounds, true});
}

NormGradientInputs norm_of(Operands& t) {
  return {.raw = t.in("raw"),
          .scale = t.in("scale"),
          .shift = t.in("shift"),
          .mean = t.in("mean"),
          .inv_std = t.in("inv_std"),
          .act = Act::relu};
}

std::vector<Operand> norm_operands(Shape raw, Shape vector) {
  std::vector<Operand> tensors{read("raw", raw)};
  for (const char* name : {"scale", "shift", "mean", "inv_std"})
    tensors.push_back(read(name, vector));
  return tensors;
}

void add_backward_data(std::vector<Measured>& all, const Layer& layer, Bounds bounds) {
  std::vector<Operand> tensors = norm_operands(layer.x, layer.vector());
  tensors.insert(tensors.end(), {read("dy", layer.y()), read("weight", layer.weight()),
                                 write("dz", layer.x), write("sums", {1, 1, 2, layer.x.c}),
                                 write("dgamma", layer.vector()), write("dbeta", layer.vector())});
  all.push_back(
      {traffic_case("conv_norm_backward_data", layer.what(), tensors, {"raw", "dy", "weight", "dz"},
                    [layer](Operands& t, Stream& s) {
                      ConvNormBackwardData pass;
                      prepare_conv_norm_backward_data(layer.in(t.dtype("dy")), pass, s);
                      pass.run(t.in("dy"), t.in("weight"), norm_of(t), t.out("dz"), {},
                               {t.out("sums"), t.out("dgamma"), t.out("dbeta")},
                               t.scratch(pass.scratch_bytes), s);
                    }),
       bounds, true});
}

// With `makes_dy` the kernel is given dz, and the gradient before the normalisation is made.
void add_backward_filter(std::vector<Measured>& all, const Layer& layer, bool makes_dy,
                         Bounds bounds) {
  std::vector<Operand> tensors{read("x", layer.x), read("x_scale", layer.vector()),
                               read("x_shift", layer.vector()), read("dz", layer.y()),
                               write("dweight", layer.weight())};
  if (makes_dy) {
    const auto norm = norm_operands(layer.y(), layer.vector_of_y());
    tensors.insert(tensors.end(), norm.begin(), norm.end());
    tensors.push_back(read("sums", {1, 1, 2, layer.outputs}));
    tensors.push_back(write("dy", layer.y()));
  }
  all.push_back(
      {traffic_case("conv_norm_backward_filter", layer.what() + (makes_dy ? ", making dy" : ""),
                    tensors, {"x", "dz", "raw", "dy"},
                    [layer, makes_dy](Operands& t, Stream& s) {
                      ConvNormShape shape = layer.in(t.dtype("x"));
                      shape.makes_dy = makes_dy;
                      ConvNormBackwardFilter pass;
                      prepare_conv_norm_backward_filter(shape, pass, s);
                      ConvNormGradient gradient{.value = t.in("dz")};
                      if (makes_dy)
                        gradient = {gradient.value, norm_of(t), t.in("sums"), t.out("dy")};
                      pass.run({.x = t.in("x"), .scale = t.in("x_scale"), .shift = t.in("x_shift")},
                               gradient, t.out("dweight"), {}, t.scratch(pass.scratch_bytes), s);
                    }),
       bounds, true});
}

// As the plain tail's (traffic_convs.cpp), and a row of sums for each thread block.
void add_tail(std::vector<Measured>& all) {
  const auto image = [](std::int64_t channels) { return Shape{2, 64, 64, channels}; };
  add_forward(all, {image(16), 16}, {.asked = 2});
  add_forward(all, {image(32), 32}, {.asked = 2.6});
  add_forward(all, {image(64), 64}, {.asked = 3.7});
  add_forward(all, {image(16), 1}, {.asked = 2.7});
  add_backward_data(all, {image(16), 16}, {.asked = 1.8});
  add_backward_data(all, {image(32), 32}, {.asked = 2.5});
  add_backward_data(all, {image(64), 64}, {.asked = 3.3});
  add_backward_data(all, {image(16), 1}, {.asked = 1.4});
}

// Two widths and the head stand for all: what is read and written follows the plain passes.
void add_tail_filters(std::vector<Measured>& all) {
  const auto image = [](std::int64_t n, std::int64_t channels) {
    return Shape{n, 256, 256, channels};
  };
  add_backward_filter(all, {image(2, 16), 16}, false, {.moved = 1.3, .asked = 2.7});
  add_backward_filter(all, {image(2, 16), 1}, false, {.moved = 1.4, .asked = 3});
  add_backward_filter(all, {image(2, 16), 16}, true, {.moved = 1.2, .asked = 1.5});
  add_backward_filter(all, {image(1, 64), 64}, true, {.moved = 1.3, .asked = 3.7});
}

// What a library added up, made what batch normalisation wants: a few values a channel.
void add_sums(std::vector<Measured>& all) {
  const Shape channels{1, 1, 1, 512}, rows{1, 1, 2, 512};
  const auto sums_of = [](Operands& t) {
    return cuda::ConvSumOperands{.first = t.in("first").buffer->data,
                                 .second = t.in("second").buffer->data};
  };
  all.push_back(
      {traffic_case("moments_of_sums", "",
                    {read("first", channels), read("second", channels), read("center", channels),
                     write("mean", channels), write("variance", channels)},
                    {}, [=](Operands& t, Stream& s) {
                      cuda::ConvSumOperands sums = sums_of(t);
                      sums.center = t.in("center").buffer->data;
                      cuda::moments_of_sums(sums, 4096, t.out("mean"), t.out("variance"), s);
                    })});
  all.push_back(
      {traffic_case("gradients_of_sums", "",
                    {read("first", channels), read("second", channels), read("inv_std", channels),
                     write("sums", rows), write("dgamma", channels), write("dbeta", channels)},
                    {}, [=](Operands& t, Stream& s) {
                      cuda::gradients_of_sums(sums_of(t), t.in("inv_std"),
                                              {t.out("sums"), t.out("dgamma"), t.out("dbeta")}, s);
                    })});
}

}  // namespace

void add_conv_norm_traffic(std::vector<Measured>& all) {
  add_tail(all);
  add_tail_filters(all);
  add_sums(all);
}

}  // namespace fjord
