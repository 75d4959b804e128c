// Cases of backward-data that leaves what the normalisation before it wants: dz beside the
// reference, its sums beside those in double of the very dz that was written.
#include <cmath>

#include "kernels/cpu/winograd/winograd.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"
#include "tests/kernels/conv_case.h"
#include "tests/kernels/conv_norm_case.h"

namespace fjord {

namespace {

// What both gradients are written with; `add` where one of them is.
Write write_of(const NormGradients& g) {
  return g.mode == Write::add || g.skip_mode == Write::add ? Write::add : Write::store;
}

// A gradient between two kernels, with old values where it is added to.
Out between(Operands& t, const std::string& name, Write mode, Stream& stream) {
  const In old = t.in("old");
  const Out gradient = t.temporary(name, old.shape(), old.dtype());
  if (mode == Write::store) return gradient;
  copy_forward(old, gradient, stream);
  return {gradient.buffer, mode};
}

// The gradients that the convolution alone makes.
void run_convolution(const ConvNormShape& s, Operands& t, Stream& stream) {
  ConvNormShape alone = s;
  if (s.low.n != 0) alone.conv.write = Write::store;
  ConvBackwardData conv;
  prepare_conv_backward_data(alone.conv, conv, stream);
  void* scratch = t.scratch(conv.scratch_bytes);
  if (s.low.n == 0) return conv.run(t.in("dy"), t.in("weight"), t.out("dz"), scratch, stream);
  const Out joined = t.temporary("joined", s.conv.x, s.conv.dtype);
  conv.run(t.in("dy"), t.in("weight"), joined, scratch, stream);
  upsample_concat_backward({joined.buffer}, t.out("dz"), t.out("dskip"), stream);
}

// The operations one by one.
void run_plain(const ConvNormShape& s, const NormGradientInputs& norm,
               const NormGradientOutputs& to, Operands& t, Stream& stream) {
  run_convolution(s, t, stream);
  const In dz{t.out("dz").buffer};
  batch_norm_backward_reduce(norm.raw, norm.y, dz, norm.scale, norm.shift, norm.mean, norm.inv_std,
                             to.sums, to.dgamma, to.dbeta, norm.act, stream);
  const Out masked = t.temporary("masked", dz.shape(), dz.dtype());
  scale_shift_backward(norm.raw, norm.y, dz, norm.scale, norm.shift, {}, masked, norm.act, stream);
  copy_forward(In{masked.buffer}, Out{t.out("dz").buffer}, stream);
}

// A sum's error beside the sum of its terms' sizes: a group's floats are added one by one, some
// hundreds of them, groups in double. A tile left out is far more.
constexpr double kSumError = 1e-5;

void check_sum(const char* name, double found, double expected, double size) {
  check(std::abs(found - expected) <= kSumError * size, "conv_norm_backward_data",
        "{} is {} in place of {}, of terms whose sizes add up to {}", name, found, expected, size);
}

void check_sums(const NormGradientInputs& norm, const NormGradientOutputs& to, In dz, In old) {
  const std::int64_t channels = dz.shape().c;
  const auto at = [](In tensor, std::int64_t i) -> double { return tensor.as<float>()[i]; };
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, products = 0, size = 0, product_size = 0;
    for (std::int64_t i = c; i < dz.shape().count(); i += channels) {
      const double v = at(dz, i);
      const double p = v * (at(norm.raw, i) - at(norm.mean, c)) * at(norm.inv_std, c);
      sum += v, products += p, size += std::abs(v), product_size += std::abs(p);
    }
    const double before = to.dbeta.write == Write::add ? at(old, c) : 0;
    check_sum("sum of dz", at({to.sums.buffer}, c), sum, size);
    check_sum("sum of dz * xhat", at({to.sums.buffer}, channels + c), products, product_size);
    check_sum("dbeta", at({to.dbeta.buffer}, c), before + sum, std::abs(before) + size);
    check_sum("dgamma", at({to.dgamma.buffer}, c), before + products,
              std::abs(before) + product_size);
  }
}

void run_case(const NormLayer& l, const NormGradients& g, Operands& t, Stream& stream) {
  ConvNormShape s = conv_norm_shape(l, t.dtype("dy"), math_on(stream, l.bf16));
  s.conv.write = write_of(g);
  const NormGradientInputs norm{.raw = t.in("raw"),
                                .y = t.in("y"),
                                .scale = t.in("scale"),
                                .shift = t.in("shift"),
                                .mean = t.in("mean"),
                                .inv_std = t.in("inv_std"),
                                .act = l.act};
  NormGradientOutputs to{t.out("sums"), t.out("dgamma"), t.out("dbeta")};
  if (!l.library_sums)
    to = {t.temporary("sums", {1, 1, 2, l.x.c}, t.dtype("old")),
          between(t, "dgamma", g.mode, stream), between(t, "dbeta", g.mode, stream)};
  if (stream.backend == Backend::reference) return run_plain(s, norm, to, t, stream);
  s.masked_by_y = g.masked;
  ConvNormBackwardData pass;
  if (l.winograd && stream.backend == Backend::cpu)
    pass = winograd_norm_backward_data(s);
  else
    prepare_conv_norm_backward_data(s, pass, stream);
  check_fused(bool(pass.run), l, s.conv.dtype, stream);
  if (!pass.run) return run_plain(s, norm, to, t, stream);
  void* scratch = t.scratch(pass.scratch_bytes);
  pass.run(t.in("dy"), t.in("weight"), norm, t.out("dz"), t.out("dskip"), to, scratch, stream);
  if (!l.library_sums && stream.backend == Backend::cpu)
    check_sums(norm, to, {t.out("dz").buffer}, t.in("old"));
}

}  // namespace

// In f32 alone, as most others. Sums are not compared with the reference's, of a dz that differs by
// rounding: they cancel; but for a library's, that are exact.
OpCase norm_backward_data_case(const NormLayer& l, const NormGradients& g) {
  const ConvNormShape s = conv_norm_shape(l, DType::f32, ConvMath::exact);
  const Shape x = l.through ? s.low : s.conv.x, vector{1, 1, 1, x.c};
  OpCase c{.slot = "conv_norm_backward_data",
           .what = fmt::format("{} with {} by {} padding {}{}{}{}{}{}", to_string(x), l.skip,
                               to_string(s.conv.weight), l.conv.padding,
                               l.act == Act::relu ? " relu" : "", g.masked ? " masked" : "",
                               g.mode == Write::add ? " added" : "",
                               !g.skip_mode                 ? " no dskip"
                               : *g.skip_mode == Write::add ? " dskip added"
                                                            : "",
                               l.bf16 ? " bf16" : ""),
           .reduction = (l.through ? 4 : 1) * 9 * l.outputs};
  c.amplification = winograd_amplification;
  c.rms_error = l.bf16 ? bf16_rms_error(s.conv) : 0;
  c.tensors = {read("dy", s.conv.y),    read("weight", s.conv.weight), read("raw", x),
               read("scale", vector),   read("shift", vector),         read("mean", vector),
               read("inv_std", vector), read("old", vector),           write("dz", x, g.mode)};
  if (g.masked) c.tensors.push_back(read("y", x));
  if (l.skip > 0 && g.skip_mode) c.tensors.push_back(write("dskip", s.skip, *g.skip_mode));
  if (l.halves) c.features = {"dy", "weight", "raw", "y", "dz"};
  c.run = [l, g](Operands& t, Stream& stream) { run_case(l, g, t, stream); };
  if (!l.library_sums) return c;
  c.tensors.push_back(write("sums", {1, 1, 2, x.c}));
  for (const char* name : {"dgamma", "dbeta"}) c.tensors.push_back(write(name, vector, g.mode));
  ask_for_library_sums(c, l);
  return c;
}

}  // namespace fjord
