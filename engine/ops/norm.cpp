// Batch normalisation (Ioffe and Szegedy 2015) with residual and activation, left deferred.
#include "engine/ops/conv_norm.h"
#include "engine/ops/inference.h"

namespace fjord {

namespace {

// The others are passes of their own, unless a convolution for inference applies them.
bool normalization_applies(Act act) { return act == Act::none || act == Act::relu; }

struct Affine {
  Tensor gamma, beta, scale, shift;  // scale and shift are what the apply pass multiplies and adds
};

Tensor running_mean_in(const Net& net, std::int64_t channels) {
  return net.statistic("running_mean", channels, Init::zeros);
}

// One value a channel: of this run, or kept with the weights that it follows from.
Tensor vector_of(const Net& net, Tensor x, std::string_view name) {
  const Shape channels{1, 1, 1, x.c()};
  if (net.inferring(x)) return net.kept(channels, net.tape->parameters.dtype, name);
  return net.exact_tensor(channels, name);
}

// `raw` holds x's values: x itself unless that is deferred.
Tensor deferred_normalized(const Net& net, Tensor x, Tensor raw, const Affine& affine,
                           const BatchNormOptions& options) {
  Tensor y = net.tensor(x.shape(), "norm");
  y.slot->deferred = std::make_shared<Deferred>();
  Deferred& d = *y.slot->deferred;
  d.form = Deferred::Form::normalized;
  d.raw = raw;
  d.scale = affine.scale;
  d.shift = affine.shift;
  d.residual = options.residual;
  d.act = options.act;
  y.slot->needs_grad = x.needs_grad() || affine.gamma.needs_grad() ||
                       (options.residual && options.residual.needs_grad());
  return y;
}

// The sign of the activation: y itself where a residual was added, else recomputed from x.
Tensor mask_source(Tensor y) {
  const Deferred& d = *y.slot->deferred;
  return d.residual && d.act != Act::none ? d.materialized : Tensor{};
}

// The first half of the backward pass, by the convolution that wrote y's gradient last if it can;
// what it leaves to the second.
ConvNormGradient record_sums(const Net& net, Tensor y, const Affine& affine,
                             NormGradientInputs norm) {
  const In dy = in(net.grad(y));
  const Tensor sums = net.exact_tensor({1, 1, 2, y.c()}, "sums");
  const Out dgamma = net.grad_sink(affine.gamma), dbeta = net.grad_sink(affine.beta);
  // Earlier than here: what is added to has to have been stored before.
  const bool stored = dgamma.write == Write::store && dbeta.write == Write::store;
  const auto& by_convolution = y.slot->deferred->sum_gradient;
  norm.y = in(mask_source(y));
  if (stored && by_convolution && by_convolution(norm, {out(sums), dgamma, dbeta})) {
    norm.y = {};  // what it left is masked already
    norm.act = Act::none;
  } else {
    net.record(batch_norm_backward_reduce, norm.raw, norm.y, dy, norm.scale, norm.shift, norm.mean,
               norm.inv_std, out(sums), dgamma, dbeta, norm.act);
  }
  return {dy, norm, in(sums)};
}

// The second half: by the backward passes of the convolution that made raw, whose gradient nobody
// else wants, or as a pass of its own.
void record_second_half(const Net& net, ConvNormGradient g, Tensor x, Tensor residual,
                        const NormBehind& behind) {
  const Tensor dz{slot_of(g.value.buffer)};
  const bool alone = !residual || !residual.needs_grad();
  // A mask of what was made with a residual is wanted for the residual's gradient as well.
  if (behind.backward && !g.norm.y) {
    g.made = out(alone ? dz : net.tensor(x.shape(), "raw.grad", Kind::gradient));
    // First: of a residual that the convolution reads too, the convolution then writes last.
    const Out dresidual = net.grad_sink_in_place(residual, dz);
    if (dresidual && dresidual.buffer != dz.slot) net.record(copy_forward, in(dz), dresidual);
    return behind.backward(g);
  }
  // In the kernel's order of writing: x may be its own residual.
  const Out dx = alone ? net.grad_sink_in_place(x, dz) : net.grad_sink(x);
  const Out dresidual = net.grad_sink(residual);
  net.record(batch_norm_backward_apply, g.norm.raw, g.norm.y, g.value, g.norm.scale, g.norm.shift,
             g.norm.mean, g.norm.inv_std, g.sums, dx, dresidual, g.norm.act);
}

Tensor batch_statistics_norm(const Net& net, Tensor x, Affine affine, Tensor running_mean,
                             Tensor running_var, Tensor batches, const BatchNormOptions& options,
                             const NormBehind& behind) {
  const Tensor mean = behind.mean, variance = behind.variance;
  Tensor inv_std = net.exact_tensor({1, 1, 1, x.c()}, "inv_std");
  Tensor raw = net.materialize(x);
  if (!behind.made) net.record(batch_norm_statistics, in(raw), out(mean), out(variance));
  net.record(batch_norm_finalize, in(mean), in(variance), in(affine.gamma), in(affine.beta),
             inout(running_mean), inout(running_var), inout(batches), out(affine.scale),
             out(affine.shift), out(inv_std), x.shape().pixels(), options.norm);
  for (const Tensor& running : {running_mean, running_var, batches})
    running.slot->parameter->momentum = options.norm.momentum;
  Tensor y = deferred_normalized(net, x, raw, affine, options);
  const NormGradientInputs norm{.raw = in(raw),
                                .scale = in(affine.scale),
                                .shift = in(affine.shift),
                                .mean = in(mean),
                                .inv_std = in(inv_std),
                                .act = options.act};
  net.on_backward(y, [=, residual = options.residual] {
    record_second_half(net, record_sums(net, y, affine, norm), x, residual, behind);
  });
  return y;
}

// Evaluation mode: running statistics are constants, folded into scale and shift.
Tensor running_statistics_norm(const Net& net, Tensor x, Affine affine, Tensor running_mean,
                               Tensor running_var, const BatchNormOptions& options) {
  (net.inferring(x) ? net.once() : net)
      .record(batch_norm_fold, in(affine.gamma), in(affine.beta), in(running_mean), in(running_var),
              out(affine.scale), out(affine.shift), options.norm);
  Tensor raw = net.materialize(x);
  Tensor y = deferred_normalized(net, x, raw, affine, options);
  const Act act = options.act;
  const Tensor residual = options.residual;
  net.on_backward(y, [=] {
    const Out dx = net.grad_sink(x);
    const Out dresidual = net.grad_sink(residual);
    net.record(scale_shift_backward, in(raw), in(mask_source(y)), in(net.grad(y)), in(affine.scale),
               in(affine.shift), dx, dresidual, act);
  });
  return y;
}

}  // namespace

NormBehind norm_behind(const Net& net, std::int64_t channels) {
  if (!net.training()) return {};
  const Shape vector{1, 1, 1, channels};
  return {.mean = net.exact_tensor(vector, "mean"),
          .variance = net.exact_tensor(vector, "variance"),
          .center = [=] { return running_mean_in(net, channels); }};
}

Tensor batch_norm(Net net, Tensor x, BatchNormOptions options) {
  return batch_norm(net, x, options, norm_behind(net, x.c()));
}

Tensor batch_norm(Net net, Tensor x, BatchNormOptions options, const NormBehind& behind) {
  if (const Act act = options.act; !normalization_applies(act)) {
    options.act = Act::none;
    return activate(net, batch_norm(net, x, options, behind), act);
  }
  check(!options.residual || options.residual.shape() == x.shape(), net.path,
        "batch_norm of {} got a residual of {}", to_string(x.shape()),
        options.residual ? to_string(options.residual.shape()) : "");
  check(!net.training() || x.shape().pixels() > 1, net.path,
        "batch_norm needs more than one value per channel when training, got {}",
        to_string(x.shape()));
  Affine affine{net.vector("weight", x.c(), Init::ones), net.vector("bias", x.c(), Init::zeros),
                vector_of(net, x, "scale"), vector_of(net, x, "shift")};
  Tensor running_mean = running_mean_in(net, x.c());
  Tensor running_var = net.statistic("running_var", x.c(), Init::ones);
  Tensor batches = net.counter("num_batches_tracked");
  const Tensor y =
      net.training() ? batch_statistics_norm(net, x, affine, running_mean, running_var, batches,
                                             options, behind)
                     : running_statistics_norm(net, x, affine, running_mean, running_var, options);
  net.word("batch_norm",
           {x, affine.gamma, affine.beta, running_mean, running_var, options.residual}, y,
           {{"eps", options.norm.eps}, {"act", static_cast<double>(options.act)}});
  return y;
}

namespace {

std::optional<Tensor> conv_bn_inference(const Net& net, Tensor x, const ConvBnAct& options) {
  if (!net.inferring(x)) return {};
  const Net conv_net = net / options.conv_name, norm_net = net / options.norm_name;
  const ConvParts conv = conv_parts(conv_net, x, options.conv);
  const std::int64_t channels = options.conv.channels;
  const FoldedNorm norm{norm_net.vector("weight", channels, Init::ones),
                        norm_net.vector("bias", channels, Init::zeros),
                        running_mean_in(norm_net, channels),
                        norm_net.statistic("running_var", channels, Init::ones), options.norm};
  return conv_inference(
      conv_net, x, conv,
      {.norm = norm, .norm_net = norm_net, .residual = options.residual, .act = options.act});
}

}  // namespace

Tensor conv_bn_act(Net net, Tensor x, ConvBnAct options) {
  if (const auto ready = conv_bn_inference(net, x, options)) return *ready;
  // A backend that has the convolution without this activation alone is asked for that.
  if (const Act act = options.act; !normalization_applies(act)) {
    options.act = Act::none;
    return activate(net, conv_bn_act(net, x, options), act);
  }
  const Net norm_net = net / options.norm_name;
  NormBehind behind = norm_behind(norm_net, options.conv.channels);
  Tensor raw = conv2d(net / options.conv_name, x, options.conv, behind);
  return batch_norm(norm_net, raw,
                    {.norm = options.norm, .act = options.act, .residual = options.residual},
                    behind);
}

}  // namespace fjord
