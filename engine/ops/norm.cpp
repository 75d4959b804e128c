// Batch normalisation (Ioffe and Szegedy 2015) with residual and activation, left deferred.
#include "engine/ops.h"

namespace fjord {

namespace {

struct Affine {
  Tensor gamma, beta, scale, shift;  // scale and shift are what the apply pass multiplies and adds
};

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

Tensor batch_statistics_norm(const Net& net, Tensor x, Affine affine, Tensor running_mean,
                             Tensor running_var, Tensor batches, const BatchNormOptions& options) {
  const Shape channels{1, 1, 1, x.c()};
  Tensor mean = net.exact_tensor(channels, "mean");
  Tensor variance = net.exact_tensor(channels, "variance");
  Tensor inv_std = net.exact_tensor(channels, "inv_std");
  Tensor raw = net.materialize(x);
  net.record(batch_norm_statistics, in(raw), out(mean), out(variance));
  net.record(batch_norm_finalize, in(mean), in(variance), in(affine.gamma), in(affine.beta),
             inout(running_mean), inout(running_var), inout(batches), out(affine.scale),
             out(affine.shift), out(inv_std), x.shape().pixels(), options.norm);
  Tensor y = deferred_normalized(net, x, raw, affine, options);
  const Act act = options.act;
  const Tensor residual = options.residual;
  net.on_backward(y, [=] {
    Tensor dy = net.grad(y), mask = mask_source(y);
    Tensor sums = net.exact_tensor({1, 1, 2, x.c()}, "sums");
    const Out dgamma = net.grad_sink(affine.gamma), dbeta = net.grad_sink(affine.beta);
    net.record(batch_norm_backward_reduce, in(raw), in(mask), in(dy), in(affine.scale),
               in(affine.shift), in(mean), in(inv_std), out(sums), dgamma, dbeta, act);
    // In the kernel's order of writing: x may be its own residual.
    const Out dx = net.grad_sink(x);
    const Out dresidual = net.grad_sink(residual);
    net.record(batch_norm_backward_apply, in(raw), in(mask), in(dy), in(affine.scale),
               in(affine.shift), in(mean), in(inv_std), in(sums), dx, dresidual, act);
  });
  return y;
}

// Evaluation mode: running statistics are constants, folded into scale and shift.
Tensor running_statistics_norm(const Net& net, Tensor x, Affine affine, Tensor running_mean,
                               Tensor running_var, const BatchNormOptions& options) {
  net.record(batch_norm_fold, in(affine.gamma), in(affine.beta), in(running_mean), in(running_var),
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

Tensor batch_norm(Net net, Tensor x, BatchNormOptions options) {
  check(!options.residual || options.residual.shape() == x.shape(), net.path,
        "batch_norm of {} got a residual of {}", to_string(x.shape()),
        options.residual ? to_string(options.residual.shape()) : "");
  check(!net.training() || x.shape().pixels() > 1, net.path,
        "batch_norm needs more than one value per channel when training, got {}",
        to_string(x.shape()));
  const Shape channels{1, 1, 1, x.c()};
  Affine affine{net.vector("weight", x.c(), Init::ones), net.vector("bias", x.c(), Init::zeros),
                net.exact_tensor(channels, "scale"), net.exact_tensor(channels, "shift")};
  Tensor running_mean = net.statistic("running_mean", x.c(), Init::zeros);
  Tensor running_var = net.statistic("running_var", x.c(), Init::ones);
  Tensor batches = net.counter("num_batches_tracked");
  if (net.training())
    return batch_statistics_norm(net, x, affine, running_mean, running_var, batches, options);
  return running_statistics_norm(net, x, affine, running_mean, running_var, options);
}

Tensor conv_bn_act(Net net, Tensor x, ConvBnAct options) {
  Tensor raw = conv2d(net / options.conv_name, x, options.conv);
  return batch_norm(net / options.norm_name, raw,
                    {.norm = options.norm, .act = options.act, .residual = options.residual});
}

}  // namespace fjord
