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

// As the backend has it: a normalisation that it does not read through is applied before, and is
// none of c's then.
ConvNormForward prepare_forward(const Net& net, ConvNorm& c) {
  ConvNormForward pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_norm_forward(c.shape, pass, stream);
  if (pass.run || !(c.shape.normalized && c.shape.moments)) return pass;
  c.shape.normalized = false;
  c.shape.act = Act::none;
  prepare_conv_norm_forward(c.shape, pass, stream);
  return pass;
}

// Without `run` where nothing is read through or made, or the backend has no such pass.
ConvNormBackwardFilter prepare_backward_filter(const Net& net, const ConvNorm& c, Tensor weight,
                                               bool makes_dy) {
  const Backend backend = net.tape->options.backend;
  ConvNormBackwardFilter pass;
  if (!(c.shape.normalized || makes_dy) || !weight.needs_grad() ||
      !prepare_conv_norm_backward_filter.filled(backend))
    return pass;
  ConvNormShape shape = c.shape;
  shape.makes_dy = makes_dy;
  Stream stream = fjord::stream(backend);
  prepare_conv_norm_backward_filter(shape, pass, stream);
  return pass;
}

}  // namespace

std::optional<ConvNorm> record_conv_norm(const Net& net, const ConvShape& conv,
                                         const ConvSources& sources, Tensor weight, Tensor bias,
                                         Tensor y, NormBehind& behind) {
  ConvNorm c{shape_of(conv, sources, bool(behind.mean)), sources};
  if (net.declaring() || !(c.shape.normalized || c.shape.moments) ||
      !prepare_conv_norm_forward.filled(net.tape->options.backend))
    return {};
  ConvNormForward pass = prepare_forward(net, c);
  if (!pass.run) return {};
  ConvNormInputs t = inputs_of(net, c);
  t.weight = in(weight);
  t.bias = in(bias);
  if (pass.reads_center) t.center = in(behind.center());
  const Tensor mean = behind.mean, variance = behind.variance;
  const Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({sources.low ? "upsample_conv_forward" : "conv_forward", net.path,
                   slots_of({t.x.buffer, t.low.buffer, t.skip.buffer, weight.slot, bias.slot,
                             t.scale.buffer, t.shift.buffer, t.center.buffer}),
                   slots_of({y.slot, mean.slot, variance.slot, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(t, out(y), out(mean), out(variance), data_of(space), s);
                   },
                   pass.implementation});
  behind.made = c.shape.moments;
  return c;
}

bool record_conv_norm_backward_filter(const Net& net, const ConvNorm& c, const ConvNormGradient& dy,
                                      Tensor weight, Tensor bias) {
  const ConvNormBackwardFilter pass = prepare_backward_filter(net, c, weight, bool(dy.made));
  if (!pass.run) return false;
  const Out dweight = net.grad_sink(weight), dbias = net.grad_sink(bias);
  const ConvNormInputs t = inputs_of(net, c);
  const Tensor space = net.scratch(pass.scratch_bytes);
  // dy stands where readers of a plain step look for it: second, or last.
  std::vector<Slot*> reads = slots_of({t.x.buffer, t.low.buffer, t.skip.buffer});
  if (!c.sources.low) reads.push_back(slot_of(dy.value.buffer));
  const NormGradientInputs& n = dy.norm;
  for (Slot* slot : slots_of({t.scale.buffer, t.shift.buffer, n.raw.buffer, n.scale.buffer,
                              n.shift.buffer, n.mean.buffer, n.inv_std.buffer, dy.sums.buffer}))
    reads.push_back(slot);
  if (c.sources.low) reads.push_back(slot_of(dy.value.buffer));
  net.record_step(
      {c.sources.low ? "upsample_conv_backward_filter" : "conv_backward_filter", net.path, reads,
       slots_of({dweight.buffer, dbias.buffer, dy.made.buffer, space.slot}),
       [=, run = pass.run](Stream& s) { run(t, dy, dweight, dbias, data_of(space), s); },
       pass.implementation, !dy.made});
  return true;
}

bool makes_dy(const Net& net, const ConvNorm& c, Tensor weight) {
  return bool(prepare_backward_filter(net, c, weight, true).run);
}

void offer_norm_gradient(const Net& net, ConvNormShape shape, Tensor x, Tensor dy, Tensor weight,
                         Out dx, Out dskip) {
  Deferred* d = x.slot->deferred.get();
  const Backend backend = net.tape->options.backend;
  if (!dx || !d || d->form != Deferred::Form::normalized ||
      !prepare_conv_norm_backward_data.filled(backend))
    return;
  shape.act = d->act;
  d->sum_gradient = [=, at = net.tape->steps.size() - 1](const NormGradientInputs& norm,
                                                         const NormGradientOutputs& to) {
    ConvNormShape own = shape;
    own.masked_by_y = bool(norm.y);
    ConvNormBackwardData pass;
    Stream stream = fjord::stream(backend);
    prepare_conv_norm_backward_data(own, pass, stream);
    if (!pass.run) return false;
    const Tensor space = net.scratch(pass.scratch_bytes);
    Step& step = net.tape->steps[at];
    step.reads = slots_of({dy.slot, weight.slot, norm.raw.buffer, norm.y.buffer, norm.scale.buffer,
                           norm.shift.buffer, norm.mean.buffer, norm.inv_std.buffer});
    step.writes = slots_of(
        {dx.buffer, dskip.buffer, to.sums.buffer, to.dgamma.buffer, to.dbeta.buffer, space.slot});
    step.implementation = pass.implementation;
    step.run = [=, run = std::move(pass.run)](Stream& s) {
      run(in(dy), in(weight), norm, dx, dskip, to, data_of(space), s);
    };
    return true;
  };
}

}  // namespace fjord
