// Recording a convolution for inference: what follows from the weights once, the rest every run.
#include "engine/ops/inference.h"

#include "kernels/device.h"

namespace fjord {

namespace {

struct Prepared {
  ConvInferenceShape shape;
  ConvInference pass;
};

Prepared prepared(const Net& net, const ConvInferenceShape& shape) {
  Prepared p{shape, {}};
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_inference(shape, p.pass, stream);
  return p;
}

ConvInferenceShape shape_of(const Net& net, const ConvParts& conv, const ConvEnd& end) {
  return {.conv = conv.shape,
          .scale = end.norm.has_value(),
          .shift = end.norm || conv.bias,
          .residual = bool(end.residual),
          .act = end.act,
          .memory = *net.tape->options.inference};
}

// Through a deferred enlargement and concatenation where the backend can, else of x itself.
Prepared prepared_for(const Net& net, Tensor x, ConvInferenceShape shape) {
  const Deferred* d = x.slot->deferred.get();
  if (d && d->form == Deferred::Form::upsample_concat && !d->materialized) {
    ConvInferenceShape through = shape;
    through.low = d->low.shape();
    if (d->skip) through.skip = d->skip.shape();
    Prepared p = prepared(net, through);
    if (p.pass.run) return p;
  }
  return prepared(net, shape);
}

struct Affine {
  Tensor scale, shift;
};

Affine folded(const ConvEnd& end) {
  const FoldedNorm& n = *end.norm;
  const Net once = end.norm_net.once();
  const DType dtype = n.gamma.dtype();
  const Affine affine{once.kept(n.gamma.shape(), dtype, "scale"),
                      once.kept(n.gamma.shape(), dtype, "shift")};
  once.record(batch_norm_fold, in(n.gamma), in(n.beta), in(n.running_mean), in(n.running_var),
              out(affine.scale), out(affine.shift), n.norm);
  return affine;
}

// The filters as the implementation wants them, made once for each version of the weights.
Tensor kept_filters(const Net& net, const ConvInference& pass, Tensor weight, Tensor scale) {
  if (pass.kept_bytes == 0) return {};
  const Shape bytes{1, 1, 1, static_cast<std::int64_t>(pass.kept_bytes)};
  const Net once = net.once();
  Tensor kept = once.kept(bytes, DType::u8, "filters", pass.implementation + " " + pass.format);
  Step step{"conv_inference_keep", net.path, {weight.slot},
            {kept.slot},           nullptr,  pass.implementation};
  if (scale) step.reads.push_back(scale.slot);
  step.run = [=, keep = pass.keep](Stream& s) { keep(in(weight), in(scale), kept.slot->data, s); };
  once.record_step(std::move(step));
  return kept;
}

void record(const Net& net, const ConvInference& pass, const ConvInferenceInputs& inputs,
            Tensor kept, Tensor y) {
  const Tensor scratch = net.scratch(pass.scratch_bytes);
  Step step{"conv_inference",
            net.path,
            slots_of({inputs.x.buffer, inputs.low.buffer, inputs.skip.buffer, inputs.weight.buffer,
                      inputs.scale.buffer, inputs.shift.buffer, inputs.residual.buffer, kept.slot}),
            slots_of({y.slot, scratch.slot}),
            nullptr,
            pass.implementation};
  step.run = [=, run = pass.run](Stream& s) {
    ConvInferenceInputs now = inputs;
    now.kept = data_of(kept);
    run(now, out(y), data_of(scratch), s);
  };
  net.record_step(std::move(step));
}

}  // namespace

std::optional<Tensor> conv_inference(const Net& net, Tensor x, const ConvParts& conv,
                                     const ConvEnd& end) {
  if (net.declaring() || !net.inferring(x) ||
      !prepare_conv_inference.filled(net.tape->options.backend))
    return {};
  if (end.norm && conv.bias) return {};
  if (end.residual && !net.inferring(end.residual)) return {};
  const Prepared p = prepared_for(net, x, shape_of(net, conv, end));
  if (!p.pass.run) return {};
  const Affine affine = end.norm ? folded(end) : Affine{{}, conv.bias};
  const Tensor weight = net.unrounded(conv.weight);
  ConvInferenceInputs inputs{
      .weight = in(weight), .scale = in(affine.scale), .shift = in(affine.shift)};
  if (p.shape.low.n != 0) {
    const Deferred& d = *x.slot->deferred;
    inputs.low = in(net.materialize(d.low));
    if (d.skip) inputs.skip = in(net.materialize(d.skip));
  } else {
    inputs.x = in(net.materialize(x));
  }
  if (end.residual) inputs.residual = in(net.materialize(end.residual));
  Tensor y = net.tensor(conv.shape.y, "conv");
  record(net, p.pass, inputs, kept_filters(net, p.pass, weight, affine.scale), y);
  return y;
}

}  // namespace fjord
