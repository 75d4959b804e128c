// Cases of convolutions: odd shapes, and every layer of ResNet34-UNet.
#include "kernels/cpu/backend.h"
#include "kernels/cpu/direct/depthwise.h"
#include "kernels/cpu/winograd/winograd.h"
#include "tests/kernels/conv_case.h"

namespace fjord {

ConvMath math_on(const Stream& stream, bool bf16) {
  const bool has = stream.backend == Backend::cpu && cpu_has_bf16();
  return bf16 && has ? ConvMath::bf16 : ConvMath::exact;
}

namespace {

using Layer = ConvLayer;

ConvShape shape_of(const Layer& layer, Write mode) {
  const Shape x = layer.x;
  const Conv2d conv = layer.conv;
  return {.x = x,
          .weight = {layer.outputs, conv.kernel, conv.kernel, x.c / conv.groups},
          .y = {x.n, conv_size(x.h, conv), conv_size(x.w, conv), layer.outputs},
          .conv = conv,
          .bias = layer.bias,
          .write = mode,
          .tuning = {layer.timed, ""}};
}

OpCase named(const char* slot, const Layer& layer, Write mode) {
  const ConvShape shape = shape_of(layer, mode);
  const Conv2d& c = shape.conv;
  return {.slot = slot,
          .what = fmt::format("{} by {} stride {} padding {} dilation {} groups {}{}{}{}{}{}",
                              to_string(shape.x), to_string(shape.weight), c.stride, c.padding,
                              c.dilation, c.groups, shape.bias ? " bias" : "",
                              mode == Write::add ? " added" : "", layer.timed ? " timed" : "",
                              layer.bf16 ? " bf16" : "",
                              layer.winograd    ? " by Winograd"
                              : layer.depthwise ? " by hand"
                                                : ""),
          .features = {"x", "dx", "y", "dy", "weight"},
          .roundings = 2,  // bias and old values may be added in passes of their own
          .amplification = amplification_of(shape, layer.winograd),
          .from_features = {"dweight"}};
}

// The layer on tensors of this type, which may be 16 bits long on a GPU, in its own precision.
ConvShape typed(ConvShape shape, In tensor, const Layer& layer, const Stream& stream) {
  shape.dtype = tensor.dtype();
  shape.math = math_on(stream, layer.bf16);
  return shape;
}

template <class Pass>
using Prepare = Pass (*)(const ConvShape&);

// The pass that the slot chooses, or on the CPU the given one.
template <class Pass>
Pass prepared(const Kernel<const ConvShape&, Pass&>& slot, const ConvShape& shape, Stream& stream,
              Prepare<Pass> given) {
  if (given && stream.backend == Backend::cpu) return given(shape);
  Pass pass;
  slot(shape, pass, stream);
  return pass;
}

OpCase forward_case(const Layer& layer) {
  const ConvShape shape = shape_of(layer, Write::store);
  OpCase c = named("conv_forward", layer, Write::store);
  c.reduction = shape.weight.count() / shape.weight.n;
  c.tensors = {read("x", shape.x), read("weight", shape.weight), write("y", shape.y)};
  if (shape.bias) c.tensors.push_back(read("bias", {1, 1, 1, shape.y.c}));
  const Prepare<ConvForward> given = layer.winograd    ? winograd_forward
                                     : layer.depthwise ? depthwise_forward
                                                       : nullptr;
  c.run = [shape, layer, given](Operands& t, Stream& stream) {
    const ConvShape own = typed(shape, t.in("x"), layer, stream);
    const auto pass = prepared(prepare_conv_forward, own, stream, given);
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(t.in("x"), t.in("weight"), t.in("bias"), t.out("y"), scratch, stream);
  };
  return c;
}

OpCase backward_data_case(const Layer& layer, Write mode) {
  const ConvShape shape = shape_of(layer, mode);
  OpCase c = named("conv_backward_data", layer, mode);
  c.reduction = shape.weight.count() / shape.weight.c / shape.conv.groups;
  c.tensors = {read("dy", shape.y), read("weight", shape.weight), write("dx", shape.x, mode)};
  const Prepare<ConvBackwardData> given = layer.winograd ? winograd_backward_data : nullptr;
  c.run = [shape, layer, given](Operands& t, Stream& stream) {
    const ConvShape own = typed(shape, t.in("dy"), layer, stream);
    const auto pass = prepared(prepare_conv_backward_data, own, stream, given);
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(t.in("dy"), t.in("weight"), t.out("dx"), scratch, stream);
  };
  return c;
}

OpCase backward_filter_case(const Layer& layer, Write mode) {
  const ConvShape shape = shape_of(layer, mode);
  OpCase c = named("conv_backward_filter", layer, mode);
  c.reduction = shape.y.pixels();
  c.tensors = {read("x", shape.x), read("dy", shape.y), write("dweight", shape.weight, mode)};
  if (shape.bias && !layer.winograd && !layer.depthwise)
    c.tensors.push_back(write("dbias", {1, 1, 1, shape.y.c}, mode));
  const Prepare<ConvBackwardFilter> given = layer.winograd    ? winograd_backward_filter
                                            : layer.depthwise ? depthwise_backward_filter
                                                              : nullptr;
  c.run = [shape, layer, given](Operands& t, Stream& stream) {
    const ConvShape own = typed(shape, t.in("x"), layer, stream);
    const auto pass = prepared(prepare_conv_backward_filter, own, stream, given);
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(t.in("x"), t.in("dy"), t.out("dweight"), t.out("dbias"), scratch, stream);
  };
  return c;
}

}  // namespace

void add_conv_layer(std::vector<OpCase>& cases, const ConvLayer& layer, std::vector<Write> modes,
                    bool compare) {
  std::vector<OpCase> own{forward_case(layer)};
  for (const Write mode : modes) {
    own.push_back(backward_data_case(layer, mode));
    own.push_back(backward_filter_case(layer, mode));
  }
  for (OpCase& c : own) {
    c.compare = compare;
    if (layer.bf16) c.rms_error = bf16_rms_error(shape_of(layer, Write::store));
    cases.push_back(c);
  }
}

namespace {

const Conv2d same3{}, down3{.stride = 2}, down1{.kernel = 1, .stride = 2, .padding = 0},
    stem{.kernel = 7, .stride = 2, .padding = 3};

// A depthwise layer by hand, whatever the CPU's rule says.
void add_by_hand(std::vector<OpCase>& cases, Layer layer) {
  layer.depthwise = true;
  cases.push_back(forward_case(layer));
  for (const Write mode : {Write::store, Write::add})
    cases.push_back(backward_filter_case(layer, mode));
}

// The layers of ResNet34-UNet for images of 32 * unit pixels, each kind once.
std::vector<Layer> resnet34_unet(std::int64_t n, std::int64_t unit) {
  const auto x = [=](std::int64_t scale, std::int64_t c) {
    return Shape{n, unit * scale, unit * scale, c};
  };
  return {{x(32, 3), 64, stem},    {x(32, 4), 64, stem},        {x(8, 64), 64, same3},
          {x(8, 64), 128, down3},  {x(8, 64), 128, down1},      {x(4, 128), 128, same3},
          {x(4, 128), 256, down3}, {x(4, 128), 256, down1},     {x(2, 256), 256, same3},
          {x(2, 256), 512, down3}, {x(2, 256), 512, down1},     {x(1, 512), 512, same3},
          {x(2, 768), 256, same3}, {x(4, 384), 128, same3},     {x(8, 192), 64, same3},
          {x(16, 128), 32, same3}, {x(16, 32), 32, same3},      {x(32, 32), 16, same3},
          {x(32, 16), 16, same3},  {x(32, 16), 1, same3, true}, {x(32, 16), 6, same3, true}};
}

std::vector<OpCase> conv_cases() {
  const std::vector<Write> both{Write::store, Write::add};
  std::vector<OpCase> cases;
  const Conv2d point{.kernel = 1, .padding = 0};
  add_conv_layer(cases, {{1, 1, 1, 1}, 1, point}, both, true);
  add_conv_layer(cases, {{1, 1, 1, 1}, 5, point, true}, both, true);
  add_conv_layer(cases, {{1, 1, 1, 3}, 5, same3, true}, both, true);
  add_conv_layer(cases, {{2, 5, 7, 3}, 4, same3, true}, both, true);
  add_conv_layer(cases, {{1, 2, 50, 1}, 1, same3}, both, true);
  add_conv_layer(cases, {{1, 67, 33, 5}, 7, stem}, both, true);
  add_conv_layer(cases, {{1, 40, 40, 16}, 16, {.kernel = 3, .padding = 4, .dilation = 4}}, both,
                 true);
  add_conv_layer(cases, {{2, 9, 8, 12}, 8, {.groups = 4}, true}, both, true);
  const Layer depthwise{.x = {1, 33, 17, 16}, .outputs = 16, .conv = {.stride = 2, .groups = 16}};
  add_conv_layer(cases, depthwise, both, true);
  add_by_hand(cases, depthwise);
  for (const int stride : {1, 2}) {
    const Conv2d wide{.kernel = 5, .stride = stride, .padding = 2, .groups = 16};
    for (const Shape x : {Shape{2, 2, 1, 16}, {1, 5, 4, 16}, {2, 37, 21, 16}})
      add_conv_layer(cases, {x, 16, wide}, both, true);
    // Rows of more than two blocks of outputs, the one in the middle inside of the image.
    for (const int padding : {0, 1, 2})
      add_by_hand(cases, {.x = {2, 9, 51, 32},
                          .outputs = 32,
                          .conv = {.stride = stride, .padding = padding, .groups = 32},
                          .bias = true});
    for (const int padding : {0, 4})
      add_by_hand(cases, {.x = {1, 7, 53, 16},
                          .outputs = 16,
                          .conv = {.kernel = 5, .stride = stride, .padding = padding, .groups = 16},
                          .bias = true});
    const Layer small{{1, 1, 2, 32}, 32, {.stride = stride, .groups = 32}};
    add_conv_layer(cases, small, both, true);
    add_by_hand(cases, small);
  }
  add_conv_layer(cases, {{19, 6, 6, 8}, 24, point, true}, both, true);
  add_conv_layer(cases, {{1, 10, 20, 6}, 13, down1, true}, both, true);
  add_conv_layer(cases, {{1, 16, 1024, 12}, 16, down1}, {Write::store}, true);
  // What may be one product of matrices; the last is a fully connected layer.
  for (const Shape x : {Shape{1, 1, 1, 1}, {2, 5, 7, 3}, {19, 6, 6, 8}, {3, 1, 1, 40}})
    add_conv_layer(cases,
                   {.x = x, .outputs = 5 + x.c, .conv = point, .bias = x.h > 1, .timed = true},
                   both, true);
  for (const Layer& layer : resnet34_unet(2, 2)) add_conv_layer(cases, layer, both, true);
  for (const Layer& layer : resnet34_unet(1, 3)) add_conv_layer(cases, layer, {Write::store}, true);
  for (const Layer& layer : resnet34_unet(8, 1))
    add_conv_layer(cases, layer, {Write::store}, false);
  // The real sizes of 256 x 256 images, bits only.
  for (const Layer& layer : resnet34_unet(2, 8))
    add_conv_layer(cases, layer, {Write::store}, false);
  return cases;
}

const AddCases added(conv_cases);

}  // namespace

}  // namespace fjord
