// Instance normalisation with its activation: nothing is deferred, since each image has its own
// scale.
#include "kernels/instance_norm.h"

#include "engine/ops.h"

namespace fjord {

Tensor instance_norm(Net net, Tensor x, InstanceNorm options) {
  check(!net.training() || x.h() * x.w() > 1, net.path,
        "training needs more than one value per channel of an image, got {}", to_string(x.shape()));
  const Tensor gamma = net.vector("weight", x.c(), Init::ones);
  const Tensor beta = net.vector("bias", x.c(), Init::zeros);
  const Tensor y = net.tensor(x.shape(), "norm");
  const Tensor vectors = net.exact_tensor({x.n(), 1, 5, x.c()}, "vectors");
  y.slot->needs_grad = x.needs_grad() || gamma.needs_grad();
  net.word("instance_norm", {x, gamma, beta}, y,
           {{"eps", options.eps}, {"act", static_cast<double>(options.act)}});
  net.record(instance_norm_forward, in(net.materialize(x)), in(gamma), in(beta), out(y),
             out(vectors), options.act, BatchNorm{.eps = options.eps});
  net.on_backward(y, [=] {
    const Tensor sums = net.exact_tensor({x.n(), 1, 2, x.c()}, "sums");
    const Out dgamma = net.grad_sink(gamma), dbeta = net.grad_sink(beta);
    const Out dx = net.grad_sink(x);
    net.record(instance_norm_backward, in(net.materialize(x)), in(net.grad(y)), in(vectors),
               out(sums), dgamma, dbeta, dx, options.act);
  });
  return y;
}

}  // namespace fjord
