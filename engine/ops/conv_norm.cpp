// Recording convolutions between batch normalisations.
#include "engine/ops/conv_norm.h"

#include "kernels/device.h"

namespace fjord {

namespace {

Tensor first_of(const ConvSources& sources) { return sources.low ? sources.low : sources.x; }

// The pass that x still needs, where that is one which a convolution may apply as it reads.
const Deferred* normalization_of(Tensor x) {
  const Deferred* d = x.slot->deferred.get();
  const bool fits = d && d->form == Deferred::Form::normalized && !d->residual && !d->materialized;
  return fits ? d : nullptr;
}

ConvNormShape shape_of(const ConvShape& conv, const ConvSources& sources, bool moments) {
  ConvNormShape shape{.conv = conv, .moments = moments};
  if (sources.low) shape.low = sources.low.shape();
  if (sources.skip) shape.skip = sources.skip.shape();
  if (const Deferred* d = normalization_of(first_of(sources))) {
    shape.normalized = true;
    shape.act = d->act;
  }
  return shape;
}

// What is not read through is given memory.
ConvNormInputs inputs_of(const Net& net, const ConvNorm& c) {
  ConvNormInputs t;
  In& first = c.sources.low ? t.low : t.x;
  if (c.shape.normalized) {
    const Deferred& d = *first_of(c.sources).slot->deferred;
    first = in(d.raw);
    t.scale = in(d.scale);
    t.shift = in(d.shift);
  } else {
    first = in(net.materialize(first_of(c.sources)));
  }
  if (c.sources.skip) t.skip = in(net.materialize(c.sources.skip));
  return t;
}

}  // namespace

std::optional<ConvNorm> record_conv_norm(const Net& net, const ConvShape& conv,
                                         const ConvSources& sources, Tensor weight, Tensor bias,
                                         Tensor y, Moments& moments) {
  const ConvNorm c{shape_of(conv, sources, bool(moments.mean)), sources};
  const Backend backend = net.tape->options.backend;
  if (net.declaring() || !(c.shape.normalized || c.shape.moments) ||
      !prepare_conv_norm_forward.filled(backend))
    return {};
  ConvNormForward pass;
  Stream stream = fjord::stream(backend);
  prepare_conv_norm_forward(c.shape, pass, stream);
  if (!pass.run) return {};
  ConvNormInputs t = inputs_of(net, c);
  t.weight = in(weight);
  t.bias = in(bias);
  const Tensor mean = moments.mean, variance = moments.variance;
  const Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({sources.low ? "upsample_conv_forward" : "conv_forward", net.path,
                   slots_of({t.x.buffer, t.low.buffer, t.skip.buffer, weight.slot, bias.slot,
                             t.scale.buffer, t.shift.buffer}),
                   slots_of({y.slot, mean.slot, variance.slot, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(t, out(y), out(mean), out(variance), data_of(space), s);
                   },
                   pass.implementation});
  moments.made = c.shape.moments;
  return c;
}

bool record_conv_norm_backward_filter(const Net& net, const ConvNorm& c, Tensor dy, Tensor weight,
                                      Tensor bias) {
  const Backend backend = net.tape->options.backend;
  if (!c.shape.normalized || !weight.needs_grad() ||
      !prepare_conv_norm_backward_filter.filled(backend))
    return false;
  ConvNormBackwardFilter pass;
  Stream stream = fjord::stream(backend);
  prepare_conv_norm_backward_filter(c.shape, pass, stream);
  if (!pass.run) return false;
  const Out dweight = net.grad_sink(weight), dbias = net.grad_sink(bias);
  const ConvNormInputs t = inputs_of(net, c);
  const Tensor space = net.scratch(pass.scratch_bytes);
  // dy stands where readers of a plain step look for it: second, or last.
  std::vector<Slot*> reads = slots_of({t.x.buffer, t.low.buffer, t.skip.buffer});
  if (!c.sources.low) reads.push_back(dy.slot);
  for (Slot* vector : slots_of({t.scale.buffer, t.shift.buffer})) reads.push_back(vector);
  if (c.sources.low) reads.push_back(dy.slot);
  net.record_step({c.sources.low ? "upsample_conv_backward_filter" : "conv_backward_filter",
                   net.path, reads, slots_of({dweight.buffer, dbias.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(t, in(dy), dweight, dbias, data_of(space), s);
                   },
                   pass.implementation, true});
  return true;
}

void offer_norm_gradient(const Net& net, ConvNormShape shape, Tensor x, Tensor dy, Tensor weight,
                         Out dx, Out dskip) {
  Deferred* d = x.slot->deferred.get();
  const Backend backend = net.tape->options.backend;
  if (!dx || !d || d->form != Deferred::Form::normalized ||
      !prepare_conv_norm_backward_data.filled(backend))
    return;
  shape.act = d->act;
  d->sum_gradient = [=, at = net.tape->steps.size() - 1](const NormGradient& g) {
    ConvNormBackwardData pass;
    Stream stream = fjord::stream(backend);
    prepare_conv_norm_backward_data(shape, pass, stream);
    if (!pass.run) return false;
    const NormGradientInputs norm{in(g.raw),  in(g.mask),    in(g.scale), in(g.shift),
                                  in(g.mean), in(g.inv_std), g.act};
    const NormGradientOutputs sums{out(g.sums), g.dgamma, g.dbeta};
    const Tensor space = net.scratch(pass.scratch_bytes);
    Step& step = net.tape->steps[at];
    step.reads = slots_of({dy.slot, weight.slot, g.raw.slot, g.mask.slot, g.scale.slot,
                           g.shift.slot, g.mean.slot, g.inv_std.slot});
    step.writes = slots_of(
        {dx.buffer, dskip.buffer, g.sums.slot, g.dgamma.buffer, g.dbeta.buffer, space.slot});
    step.implementation = pass.implementation;
    step.run = [=, run = std::move(pass.run)](Stream& s) {
      run(in(dy), in(weight), norm, dx, dskip, sums, data_of(space), s);
    };
    return true;
  };
}

}  // namespace fjord
