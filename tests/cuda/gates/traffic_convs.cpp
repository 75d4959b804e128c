// Traffic of the tail's convolutions, and of what is ours around a library's: filters' layouts and
// the passes behind.
#include "kernels/conv.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/tail_filter.h"
#include "tests/cuda/gates/traffic_cases.h"

namespace fjord {

namespace {

using cuda::FilterParts;
using cuda::Typed;
using cuda::TypedOut;

struct Layer {
  Shape x, y, weight;

  Layer(Shape x, std::int64_t outputs)
      : x(x), y{x.n, x.h, x.w, outputs}, weight{outputs, 3, 3, x.c} {}
  std::string what() const { return fmt::format("{} to {}", x.c, y.c); }
  ConvShape in(DType dtype) const {
    return {.x = x, .weight = weight, .y = y, .conv = {}, .dtype = dtype};
  }
};

void add_forward(std::vector<Measured>& all, const Layer& layer, Bounds bounds) {
  all.push_back(
      {traffic_case("conv_forward", layer.what(),
                    {read("x", layer.x), read("weight", layer.weight), write("y", layer.y)},
                    {"x", "weight", "y"},
                    [layer](Operands& t, Stream& s) {
                      ConvForward pass;
                      prepare_conv_forward(layer.in(t.dtype("x")), pass, s);
                      pass.run(t.in("x"), t.in("weight"), {}, t.out("y"),
                               t.scratch(pass.scratch_bytes), s);
                    }),
       bounds, true});
}

void add_backward_data(std::vector<Measured>& all, const Layer& layer, Bounds bounds) {
  all.push_back(
      {traffic_case("conv_backward_data", layer.what(),
                    {read("dy", layer.y), read("weight", layer.weight), write("dx", layer.x)},
                    {"dy", "weight", "dx"},
                    [layer](Operands& t, Stream& s) {
                      ConvBackwardData pass;
                      prepare_conv_backward_data(layer.in(t.dtype("dy")), pass, s);
                      pass.run(t.in("dy"), t.in("weight"), t.out("dx"),
                               t.scratch(pass.scratch_bytes), s);
                    }),
       bounds, true});
}

void add_backward_filter(std::vector<Measured>& all, const Layer& layer, Bounds bounds) {
  std::vector<Operand> tensors{read("x", layer.x), read("dy", layer.y),
                               write("dweight", layer.weight)};
  if (layer.y.c <= 8) tensors.push_back(write("dbias", {1, 1, 1, layer.y.c}));
  all.push_back({traffic_case("conv_backward_filter", layer.what(), tensors, {"x", "dy"},
                              [layer](Operands& t, Stream& s) {
                                ConvBackwardFilter pass;
                                prepare_conv_backward_filter(layer.in(t.dtype("x")), pass, s);
                                pass.run(t.in("x"), t.in("dy"), t.out("dweight"), t.out("dbias"),
                                         t.scratch(pass.scratch_bytes), s);
                              }),
                 bounds, true});
}

// Every form of the tail's kernels. Tiles share a border of one pixel with their neighbours, and
// each block of so small an image reads the filter, wide ones once for every turn over the outputs.
void add_tail(std::vector<Measured>& all) {
  const auto image = [](std::int64_t channels) { return Shape{2, 64, 64, channels}; };
  add_forward(all, {image(16), 16}, {.asked = 2});
  add_forward(all, {image(16), 32}, {.asked = 1.9});
  add_forward(all, {image(32), 16}, {.asked = 2.3});
  add_forward(all, {image(32), 32}, {.asked = 2.9});
  add_forward(all, {image(48), 48}, {.asked = 3.5});
  add_forward(all, {image(64), 16}, {.asked = 3.2});
  add_forward(all, {image(64), 64}, {.asked = 4});
  add_forward(all, {image(16), 1}, {.asked = 2.6});
  add_backward_data(all, {image(16), 1}, {.asked = 1.5});
  add_backward_data(all, {image(32), 16}, {.asked = 1.9});
}

// A thread block's partial sums, written and read, are as much as one to five of its tiles. It has
// two to eight tiles here, so that there are blocks enough, up to 20 on 8 images of 512x512.
void add_tail_filters(std::vector<Measured>& all) {
  const auto one = [](std::int64_t channels) { return Shape{1, 256, 256, channels}; };
  const auto two = [](std::int64_t channels) { return Shape{2, 256, 256, channels}; };
  add_backward_filter(all, {two(16), 16}, {.moved = 1.3, .asked = 2.7});
  add_backward_filter(all, {two(16), 1}, {.moved = 1.4, .asked = 2.9});
  add_backward_filter(all, {one(16), 32}, {.moved = 1.8, .asked = 3});
  add_backward_filter(all, {one(32), 16}, {.moved = 1.8, .asked = 3.2});
  add_backward_filter(all, {two(32), 32}, {.moved = 1.6, .asked = 2.9});
  add_backward_filter(all, {one(48), 48}, {.moved = 1.6, .asked = 5.5});
  add_backward_filter(all, {one(64), 64}, {.moved = 1.6, .asked = 6.9});
}

Typed from(In tensor) { return {tensor.buffer->data, tensor.dtype()}; }
TypedOut to(Out tensor) { return {tensor.buffer->data, tensor.dtype(), tensor.write}; }

// In 16 bits a thread has 32 bytes of f32 beside 16, in two accesses.
void add_passes(std::vector<Measured>& all) {
  const Shape image{2, 32, 32, 64}, channels{1, 1, 1, 64};
  for (const Write mode : {Write::store, Write::add})
    all.push_back({traffic_case("convert", mode == Write::add ? "added, to f32" : "to f32",
                                {read("x", image), write("y", image, mode)}, {"x"},
                                [image](Operands& t, Stream& s) {
                                  cuda::convert(from(t.in("x")), to(t.out("y")), image.count(), s);
                                }),
                   {.asked = 1.9}});
  all.push_back({traffic_case("end_conv", "bias, residual, relu",
                              {read("bias", channels), read("residual", image), update("y", image)},
                              {"residual", "y"},
                              [image](Operands& t, Stream& s) {
                                const TypedOut y{t.inout("y").buffer->data, t.dtype("y")};
                                cuda::end_conv({.bias = t.in("bias").as<float>(),
                                                .residual = t.in("residual").buffer->data,
                                                .relu = true},
                                               y, image, s);
                              }),
                 {.asked = 1.4}});
  all.push_back(
      {traffic_case("channel_sums", "of a bias", {read("x", image), write("sums", channels)}, {"x"},
                    [image](Operands& t, Stream& s) {
                      cuda::channel_sums(from(t.in("x")), image, t.out("sums"), s);
                    })});
}

// Filters in the order of whoever multiplies by them.
void add_filters(std::vector<Measured>& all) {
  const FilterParts parts{.outputs = 64, .low = 96, .skip = 64};
  const Shape whole{64, 3, 3, 160}, low{96, 4, 4, 64}, skip{64, 3, 3, 64}, scale{1, 1, 1, 64};
  all.push_back(
      {traffic_case("fold_filter", "",
                    {read("weight", whole), read("scale", scale), write("y", whole)}, {"y"},
                    [](Operands& t, Stream& s) {
                      cuda::fold_filter(t.in("weight"), t.in("scale"), to(t.out("y")), s);
                    }),
       {.asked = 1.7}});
  all.push_back({traffic_case(
      "split_filter", "", {read("weight", whole), write("low", low), write("skip", skip)},
      {"weight", "low", "skip"}, [parts](Operands& t, Stream& s) {
        cuda::split_filter(from(t.in("weight")), parts, to(t.out("low")).data,
                           to(t.out("skip")).data, s);
      })});
  all.push_back({traffic_case("fold_split_filter", "",
                              {read("weight", whole), read("scale", scale), write("low", low),
                               write("skip", skip)},
                              {"low", "skip"},
                              [parts](Operands& t, Stream& s) {
                                const TypedOut low = to(t.out("low"));
                                cuda::fold_split_filter(t.in("weight"), t.in("scale"), parts,
                                                        low.dtype, low.data, to(t.out("skip")).data,
                                                        s);
                              }),
                 {.asked = 1.3}});
  for (const Write mode : {Write::store, Write::add})
    all.push_back(
        {traffic_case(
             "join_filter", mode == Write::add ? "added" : "",
             {read("low", low), read("skip", skip), write("dweight", whole, mode)}, {"low", "skip"},
             [parts](Operands& t, Stream& s) {
               cuda::join_filter(from(t.in("low")), from(t.in("skip")), parts, t.out("dweight"), s);
             }),
         {.asked = 1.3}});
  const cuda::FilterPacking packing{
      .inputs = 64, .outputs = 64, .input_block = 64, .output_block = 32};
  const Shape filter{64, 3, 3, 64};
  all.push_back(
      {traffic_case(
           "pack_tail_filter", "scaled",
           {read("weight", filter), read("scale", scale), write("packed", filter)}, {"packed"},
           [packing](Operands& t, Stream& s) {
             cuda::pack_tail_filter(packing, t.in("weight"), t.in("scale"), to(t.out("packed")), s);
           }),
       {.asked = 1.2},
       true});
}

}  // namespace

void add_conv_traffic(std::vector<Measured>& all) {
  add_tail(all);
  add_tail_filters(all);
  add_passes(all);
  add_filters(all);
}

}  // namespace fjord
