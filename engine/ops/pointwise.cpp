// Element-wise operations.
#include "kernels/pointwise.h"

#include "engine/ops.h"

namespace fjord {

Tensor relu(Net net, Tensor x) {
  Tensor y = net.tensor(x.shape(), "relu");
  y.slot->needs_grad = x.needs_grad();
  net.word("activate", {x}, y, {{"act", static_cast<double>(Act::relu)}});
  net.record(relu_forward, in(net.materialize(x)), out(y));
  net.on_backward(y, [=] { net.record(relu_backward, in(y), in(net.grad(y)), net.grad_sink(x)); });
  return y;
}

Tensor add(Net net, Tensor a, Tensor b) {
  check(a.shape() == b.shape(), net.path, "add expects equal shapes, got {} and {}",
        to_string(a.shape()), to_string(b.shape()));
  Tensor y = net.tensor(a.shape(), "sum");
  y.slot->needs_grad = a.needs_grad() || b.needs_grad();
  net.word("add", {a, b}, y);
  const Tensor left = net.materialize(a), right = net.materialize(b);
  net.record(add_forward, in(left), in(right), out(y));
  net.on_backward(y, [=] {
    for (Tensor x : {a, b})
      if (Out dx = net.grad_sink(x)) net.record(copy_forward, in(net.grad(y)), dx);
  });
  return y;
}

}  // namespace fjord
