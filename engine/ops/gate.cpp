// Squeeze and excite (Hu et al. 2018), activations that are passes of their own, zeros around an
// image, stochastic depth.
#include "kernels/gate.h"

#include "engine/ops.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"

namespace fjord {

namespace {

// A scope's number: masks of different layers are drawn apart.
std::uint32_t layer_number(const std::string& path) {
  std::uint32_t hash = 0x811c9dc5;
  for (const unsigned char c : path) hash = (hash ^ c) * 0x01000193;
  return hash;
}

}  // namespace

Tensor activate(Net net, Tensor x, Act act) {
  Tensor y = net.tensor(x.shape(), "act");
  y.slot->needs_grad = x.needs_grad();
  net.word("activate", {x}, y, {{"act", static_cast<double>(act)}});
  net.record(activate_forward, in(net.materialize(x)), out(y), act);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x))
      net.record(activate_backward, in(net.materialize(x)), in(net.grad(y)), dx, act);
  });
  return y;
}

Tensor channel_means(Net net, Tensor x) {
  Tensor y = net.tensor({x.n(), 1, 1, x.c()}, "means");
  y.slot->needs_grad = x.needs_grad();
  net.word("channel_means", {x}, y);
  const double share = 1.0 / static_cast<double>(x.h() * x.w());
  net.record(channel_sums, in(net.materialize(x)), In{}, out(y), share);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x)) net.record(channel_scale, In{}, in(net.grad(y)), dx, share);
  });
  return y;
}

Tensor scale_channels(Net net, Tensor x, Tensor s) {
  check(s.shape() == Shape{x.n(), 1, 1, x.c()}, net.path, "scale_channels of {} got {}",
        to_string(x.shape()), to_string(s.shape()));
  Tensor y = net.tensor(x.shape(), "scaled");
  y.slot->needs_grad = x.needs_grad() || s.needs_grad();
  net.word("multiply", {x, s}, y);
  net.record(channel_scale, in(net.materialize(x)), in(net.materialize(s)), out(y), 1.0);
  net.on_backward(y, [=] {
    const Tensor dy = net.grad(y);
    if (Out dx = net.grad_sink(x))
      net.record(channel_scale, in(dy), in(net.materialize(s)), dx, 1.0);
    if (Out ds = net.grad_sink(s))
      net.record(channel_sums, in(net.materialize(x)), in(dy), ds, 1.0);
  });
  return y;
}

Tensor scale_pixels(Net net, Tensor x, Tensor s) {
  check(s.shape() == Shape{x.n(), x.h(), x.w(), 1}, net.path, "scale_pixels of {} got {}",
        to_string(x.shape()), to_string(s.shape()));
  Tensor y = net.tensor(x.shape(), "scaled");
  y.slot->needs_grad = x.needs_grad() || s.needs_grad();
  net.word("multiply", {x, s}, y);
  net.record(pixel_scale, in(net.materialize(x)), in(net.materialize(s)), out(y));
  net.on_backward(y, [=] {
    const Tensor dy = net.grad(y);
    if (Out dx = net.grad_sink(x)) net.record(pixel_scale, in(dy), in(net.materialize(s)), dx);
    if (Out ds = net.grad_sink(s)) net.record(pixel_sums, in(net.materialize(x)), in(dy), ds);
  });
  return y;
}

Tensor pad(Net net, Tensor x, Border border) {
  const Shape shape{x.n(), x.h() + border.top + border.bottom, x.w() + border.left + border.right,
                    x.c()};
  check(shape.h > 0 && shape.w > 0, net.path, "pad leaves nothing of {}", to_string(x.shape()));
  Tensor y = net.tensor(shape, "padded");
  y.slot->needs_grad = x.needs_grad();
  net.word("pad", {x}, y,
           {{"top", border.top},
            {"bottom", border.bottom},
            {"left", border.left},
            {"right", border.right}});
  net.record(window_copy, in(net.materialize(x)), out(y), Window{border.top, border.left});
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x))
      net.record(window_copy, in(net.grad(y)), dx, Window{-border.top, -border.left});
  });
  return y;
}

namespace {

Tensor randomly_kept(const Net& net, Tensor x, Tensor steps, double rate, std::int64_t repeats) {
  if (!net.training() || rate <= 0) return x;
  Tensor mask = net.tensor({x.n(), 1, 1, x.c()}, "mask");
  net.record(random_mask, in(steps), out(mask),
             RandomMask{.keep = 1 - rate,
                        .seed = net.tape->options.seed,
                        .layer = layer_number(net.path),
                        .repeats = repeats});
  return scale_channels(net, x, mask);
}

}  // namespace

Tensor drop_path(Net net, Tensor x, Tensor steps, double rate) {
  return randomly_kept(net, x, steps, rate, x.c());
}

Tensor dropout(Net net, Tensor x, Tensor steps, double rate) {
  check(x.h() == 1 && x.w() == 1, net.path, "dropout is of n x 1 x 1 x c, got {}",
        to_string(x.shape()));
  return randomly_kept(net, x, steps, rate, 1);
}

Tensor fold_channels(Net net, Tensor x, int groups) {
  check(groups > 0 && x.c() % groups == 0, net.path, "fold_channels of {} into {}",
        to_string(x.shape()), groups);
  Tensor y = net.tensor({x.n(), x.h(), x.w(), x.c() / groups}, "folded");
  y.slot->needs_grad = x.needs_grad();
  net.word("fold_channels", {x}, y, {{"groups", groups}});
  net.record(channel_fold, in(net.materialize(x)), out(y));
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x)) net.record(channel_repeat, in(net.grad(y)), dx);
  });
  return y;
}

Tensor split_softmax(Net net, Tensor x, SplitSoftmax split) {
  check(split.groups > 0 && split.splits > 0 &&
            x.c() % (std::int64_t{split.groups} * split.splits) == 0,
        net.path, "split_softmax of {}", to_string(x.shape()));
  Tensor y = net.tensor(x.shape(), "softmax");
  y.slot->needs_grad = x.needs_grad();
  net.word("split_softmax", {x}, y, {{"groups", split.groups}, {"splits", split.splits}});
  net.record(split_softmax_forward, in(net.materialize(x)), out(y), split);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x))
      net.record(split_softmax_backward, in(y), in(net.grad(y)), dx, split);
  });
  return y;
}

}  // namespace fjord
