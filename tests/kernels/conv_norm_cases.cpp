// Cases of convolutions between batch normalisations; the reference runs the operations one by one,
// and so does a case where the slot leaves a layer out.
#include "tests/kernels/conv_norm_case.h"

#include <cmath>

#include "kernels/cpu/winograd/winograd.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"
#include "tests/kernels/conv_case.h"

namespace fjord {

ConvNormShape conv_norm_shape(const NormLayer& l, DType dtype, ConvMath math) {
  const Conv2d conv = l.conv;
  const std::int64_t size = l.through ? 2 : 1;
  const Shape x{l.x.n, size * l.x.h, size * l.x.w, l.x.c + l.skip};
  ConvNormShape s{.conv = {.x = x,
                           .weight = {l.outputs, conv.kernel, conv.kernel, x.c / conv.groups},
                           .y = {x.n, conv_size(x.h, conv), conv_size(x.w, conv), l.outputs},
                           .conv = conv,
                           .bias = l.bias,
                           .dtype = dtype,
                           .math = math,
                           .tuning = {.library_sums = l.library_sums}},
                  .normalized = l.normalized,
                  .act = l.act,
                  .moments = l.moments};
  if (l.through) s.low = l.x;
  if (l.skip > 0) s.skip = {x.n, x.h, x.w, l.skip};
  return s;
}

namespace {

ConvNormInputs inputs_of(Operands& t) {
  return {.x = t.in("x"),
          .low = t.in("low"),
          .skip = t.in("skip"),
          .weight = t.in("weight"),
          .bias = t.in("bias"),
          .scale = t.in("scale"),
          .shift = t.in("shift"),
          .center = t.in("center")};
}

// The implementation that the slot chooses, or on the CPU the Winograd one.
template <class Pass>
Pass prepared(const Kernel<const ConvNormShape&, Pass&>& slot, const NormLayer& l,
              const ConvNormShape& s, Stream& stream, Pass (*given)(const ConvNormShape&)) {
  if (l.winograd && stream.backend == Backend::cpu) return given(s);
  Pass pass;
  slot(s, pass, stream);
  return pass;
}

// The image that the convolution sees, where the operations run one by one.
In seen(const ConvNormShape& s, const ConvNormInputs& inputs, Operands& t, Stream& stream) {
  In x = inputs.low ? inputs.low : inputs.x;
  if (s.normalized) {
    const Out normalized = t.temporary("normalized", x.shape(), x.dtype());
    batch_norm_apply(x, inputs.scale, inputs.shift, {}, normalized, s.act, stream);
    x = {normalized.buffer};
  }
  if (!inputs.low) return x;
  const Out joined = t.temporary("joined", s.conv.x, x.dtype());
  upsample_concat_forward(x, inputs.skip, joined, stream);
  return {joined.buffer};
}

// Of a y whose values are rounded, the moments are held to those in double of y itself: beside the
// reference's the error of a mean near 0 has no bound. As in moments_test.cpp.
void check_moments(In y, In mean, In variance) {
  const std::int64_t channels = y.shape().c, pixels = y.shape().pixels();
  for (std::int64_t c = 0; c < channels; ++c) {
    double average = 0, squares = 0;
    for (std::int64_t p = 0; p < pixels; ++p) average += double(y.as<float>()[p * channels + c]);
    average /= double(pixels);
    for (std::int64_t p = 0; p < pixels; ++p)
      squares += std::pow(double(y.as<float>()[p * channels + c]) - average, 2);
    const double v = squares / double(pixels), size = std::abs(average) + std::sqrt(v);
    check(std::abs(double(mean.as<float>()[c]) - average) <= 1e-6 * size &&
              std::abs(double(variance.as<float>()[c]) - v) <= 1e-5 * size * size,
          "conv_norm_forward", "moments {} and {} of channel {} in place of {} and {}",
          mean.as<float>()[c], variance.as<float>()[c], c, average, v);
  }
}

void run_forward(const NormLayer& l, Operands& t, Stream& stream) {
  const ConvNormShape s = conv_norm_shape(l, t.dtype("y"), math_on(stream, l.bf16));
  const ConvNormInputs inputs = inputs_of(t);
  const auto vector = [&](const char* name) {
    const bool apart = l.bf16 && l.moments;
    return apart ? t.temporary(name, {1, 1, 1, l.outputs}, t.dtype("y")) : t.out(name);
  };
  const Out mean = vector("mean"), variance = vector("variance");
  const auto pass = prepared(prepare_conv_norm_forward, l, s, stream, winograd_norm_forward);
  check_fused(bool(pass.run), l, s.conv.dtype, stream);
  if (pass.run) {
    void* scratch = t.scratch(pass.scratch_bytes);
    pass.run(inputs, t.out("y"), mean, variance, scratch, stream);
    if (l.bf16 && l.moments && stream.backend == Backend::cpu)
      check_moments({t.out("y").buffer}, {mean.buffer}, {variance.buffer});
    return;
  }
  ConvForward conv;
  prepare_conv_forward(s.conv, conv, stream);
  void* scratch = t.scratch(conv.scratch_bytes);
  conv.run(seen(s, inputs, t, stream), inputs.weight, inputs.bias, t.out("y"), scratch, stream);
  if (l.moments) batch_norm_statistics(In{t.out("y").buffer}, mean, variance, stream);
}

ConvNormGradient gradient_of(const std::optional<MadeDy>& made, Operands& t, Stream& stream) {
  if (!made) return {t.in("dy")};
  const Out to = t.out("made");
  if (made->in_place) copy_forward(t.in("dy"), to, stream);
  return {made->in_place ? In{to.buffer} : t.in("dy"),
          {.raw = t.in("raw"),
           .scale = t.in("raw.scale"),
           .shift = t.in("raw.shift"),
           .mean = t.in("mean"),
           .inv_std = t.in("inv_std"),
           .act = made->act},
          t.in("sums"),
          to};
}

// The gradient that the convolution is given, where the operations run one by one.
In given(const ConvNormGradient& g, Stream& stream) {
  if (!g.made) return g.value;
  const NormGradientInputs& n = g.norm;
  batch_norm_backward_apply(n.raw, n.y, g.value, n.scale, n.shift, n.mean, n.inv_std, g.sums,
                            g.made, {}, n.act, stream);
  return {g.made.buffer};
}

void run_backward_filter(const NormLayer& l, const std::optional<MadeDy>& made, Operands& t,
                         Stream& stream) {
  ConvNormShape s = conv_norm_shape(l, t.dtype("dy"), math_on(stream, l.bf16));
  s.makes_dy = made.has_value();
  const ConvNormInputs inputs = inputs_of(t);
  const ConvNormGradient gradient = gradient_of(made, t, stream);
  const auto pass =
      prepared(prepare_conv_norm_backward_filter, l, s, stream, winograd_norm_backward_filter);
  if (pass.run) {
    void* scratch = t.scratch(pass.scratch_bytes);
    return pass.run(inputs, gradient, t.out("dweight"), t.out("dbias"), scratch, stream);
  }
  ConvBackwardFilter conv;
  prepare_conv_backward_filter(s.conv, conv, stream);
  void* scratch = t.scratch(conv.scratch_bytes);
  conv.run(seen(s, inputs, t, stream), given(gradient, stream), t.out("dweight"), t.out("dbias"),
           scratch, stream);
}

// In f32 alone unless the layer says otherwise: a card leaves the others out, and what runs there
// has cases in 16 bits.
OpCase named(const char* slot, const NormLayer& l, const ConvNormShape& s, std::int64_t reduction) {
  OpCase c{.slot = slot,
           .what = fmt::format("{} by {} stride {} padding {}{}{}{}{}{}", to_string(s.conv.x),
                               to_string(s.conv.weight), l.conv.stride, l.conv.padding,
                               l.through ? " enlarged" : "", l.normalized ? " normalized" : "",
                               l.act == Act::relu ? " relu" : "", l.moments ? " moments" : "",
                               l.bf16 ? " bf16" : ""),
           .reduction = reduction,
           .amplification = amplification_of(s.conv, l.winograd),
           .rms_error = l.bf16 ? bf16_rms_error(s.conv) : 0};
  c.tensors.push_back(l.through ? read("low", s.low) : read("x", s.conv.x));
  if (l.skip > 0) c.tensors.push_back(read("skip", s.skip));
  if (l.normalized) {
    c.tensors.push_back(read("scale", {1, 1, 1, l.x.c}));
    c.tensors.push_back(read("shift", {1, 1, 1, l.x.c}));
  }
  if (l.halves) c.features = {"x", "y", "dy", "weight", "raw", "made"};
  // What is read through is rounded before it is multiplied: that adds up over the window as a
  // random walk, to 0.6 of a rounding of all values' rms, four times which no value exceeds. So do
  // the roundings of y in its mean, and of dy where that is made.
  if (l.halves && (l.normalized || l.moments)) c.roundings = 4;
  return c;
}

// The sums are as large as those of all values can be, so that what they add to each of them
// counts.
void add_made_gradient(OpCase& c, const MadeDy& made, const ConvNormShape& s) {
  c.what += made.act == Act::relu ? " makes dy relu" : " makes dy";
  c.what += made.in_place ? " in place" : "";
  if (!c.features.empty()) c.roundings = 4;
  c.tensors.push_back(read("raw", s.conv.y));
  c.tensors.push_back(write("made", s.conv.y));
  for (const char* vector : {"raw.scale", "raw.shift", "mean", "inv_std"})
    c.tensors.push_back(read(vector, {1, 1, 1, s.conv.y.c}));
  const auto count = static_cast<double>(s.conv.y.pixels());
  c.tensors.push_back(read("sums", {1, 1, 2, s.conv.y.c}, [count](std::int64_t i) {
    return static_cast<float>(uniform(20, i, -count, count));
  }));
}

}  // namespace

OpCase norm_forward_case(const NormLayer& l) {
  const ConvNormShape s = conv_norm_shape(l, DType::f32);
  // Moments are sums over the pixels of sums over the window.
  const std::int64_t window = s.conv.weight.count() / s.conv.weight.n;
  OpCase c = named("conv_norm_forward", l, s, window + (l.moments ? s.conv.y.pixels() : 0));
  c.tensors.push_back(read("weight", s.conv.weight));
  c.tensors.push_back(write("y", s.conv.y));
  c.from_features = {"mean", "variance"};  // of y as it is stored
  if (l.bias) c.tensors.push_back(read("bias", {1, 1, 1, l.outputs}));
  if (l.moments && !l.bf16) {
    c.tensors.push_back(write("mean", {1, 1, 1, l.outputs}));
    c.tensors.push_back(write("variance", {1, 1, 1, l.outputs}));
  }
  c.run = [l](Operands& t, Stream& stream) { run_forward(l, t, stream); };
  if (l.library_sums) ask_for_library_sums(c, l);
  return c;
}

OpCase norm_backward_filter_case(const NormLayer& l, Write mode, std::optional<MadeDy> made) {
  const ConvNormShape s = conv_norm_shape(l, DType::f32);
  OpCase c = named("conv_norm_backward_filter", l, s, s.conv.y.pixels());
  c.what += mode == Write::add ? " added" : "";
  c.tensors.push_back(read("dy", s.conv.y));
  c.tensors.push_back(write("dweight", s.conv.weight, mode));
  if (l.bias && !l.winograd) c.tensors.push_back(write("dbias", {1, 1, 1, l.outputs}, mode));
  if (made) add_made_gradient(c, *made, s);
  c.from_features = {"dweight"};
  c.run = [l, made](Operands& t, Stream& stream) { run_backward_filter(l, made, t, stream); };
  return c;
}

namespace {

std::vector<OpCase> conv_norm_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](NormLayer layer) {
    for (const Write mode : {Write::store, Write::add})
      for (const bool masked : {false, true})
        cases.push_back(norm_backward_data_case(layer, {mode, masked, mode}));
    cases.push_back(norm_forward_case(layer));
    cases.push_back(norm_backward_filter_case(layer, Write::store));
    cases.push_back(norm_backward_filter_case(layer, Write::add));
    cases.push_back(norm_backward_filter_case(layer, Write::store, MadeDy{}));
    cases.push_back(norm_backward_filter_case(layer, Write::add, MadeDy{Act::relu, true}));
    layer.act = Act::none;
    layer.moments = false;
    cases.push_back(norm_forward_case(layer));
    layer.normalized = false;
    layer.moments = true;
    cases.push_back(norm_forward_case(layer));
    cases.push_back(norm_backward_filter_case(layer, Write::store, MadeDy{Act::relu}));
    if (layer.skip == 0) return;
    cases.push_back(norm_backward_data_case(layer, {Write::store, false, Write::add}));
    cases.push_back(norm_backward_data_case(layer, {Write::add, true, Write::store}));
    cases.push_back(norm_backward_data_case(layer, {Write::store, true, {}}));
  };
  // As the slot chooses: left out, and not.
  add({.x = {1, 9, 7, 3}, .outputs = 5});
  add({.x = {1, 8, 9, 32}, .outputs = 24, .conv = {.stride = 2}});
  add({.x = {2, 9, 10, 16}, .outputs = 16});
  add({.x = {2, 9, 10, 16}, .outputs = 16, .bias = true});
  add({.x = {2, 3, 5, 32}, .outputs = 16, .through = true, .skip = 16});
  add({.x = {1, 4, 3, 5}, .outputs = 3, .through = true, .skip = 2});
  // With few outputs: rows that straddle images, fewer rows than a window has, each padding.
  add({.x = {3, 13, 21, 16}, .outputs = 1, .moments = false, .bias = true});
  add({.x = {2, 1, 3, 32}, .outputs = 4, .conv = {.padding = 2}, .moments = false, .bias = true});
  add({.x = {1, 11, 9, 48}, .outputs = 3, .conv = {.padding = 0}, .moments = false});
  add({.x = {5, 3, 18, 16}, .outputs = 2, .moments = false, .bias = true});
  // By Winograd: single values, tails of tiles and of vectors, one channel; a block and many of
  // them, by one thread each and by all together.
  const auto winograd = [&](NormLayer layer) {
    layer.winograd = true;
    add(layer);
  };
  winograd({.x = {1, 1, 1, 1}, .outputs = 1});
  winograd({.x = {1, 5, 6, 3}, .outputs = 1});
  winograd({.x = {2, 9, 70, 1}, .outputs = 17});
  winograd({.x = {1, 17, 13, 17}, .outputs = 33});
  winograd({.x = {64, 2, 2, 40}, .outputs = 20});
  winograd({.x = {2, 9, 10, 5}, .outputs = 6, .conv = {.padding = 0}});
  winograd({.x = {2, 9, 10, 5}, .outputs = 6, .conv = {.padding = 2}});
  winograd({.x = {2, 60, 64, 16}, .outputs = 16});
  winograd({.x = {3, 45, 50, 19}, .outputs = 48, .bias = true});
  winograd({.x = {2, 30, 27, 130}, .outputs = 65});
  winograd({.x = {1, 1, 1, 32}, .outputs = 3, .through = true});
  winograd({.x = {2, 3, 5, 32}, .outputs = 18, .through = true, .skip = 16});
  winograd({.x = {1, 24, 23, 32}, .outputs = 16, .through = true});
  winograd({.x = {1, 17, 13, 17}, .outputs = 33, .bf16 = true});
  winograd({.x = {2, 3, 5, 32}, .outputs = 18, .through = true, .skip = 16, .bf16 = true});
  winograd({.x = {2, 60, 64, 16}, .outputs = 16, .bf16 = true});
  return cases;
}

const AddCases added(conv_norm_cases);

}  // namespace

}  // namespace fjord
