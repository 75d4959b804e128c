// Pooling and resampling.
#include "kernels/spatial.h"

#include "engine/ops.h"

namespace fjord {

namespace {

// A normalisation that x still waits for and the pool of it, in one pass that leaves both.
bool record_apply_and_pool(const Net& net, Tensor x, Tensor y, Tensor tap, Pool2d pool) {
  Deferred* d = x.slot->deferred.get();
  if (!d || d->form != Deferred::Form::normalized || d->residual || d->materialized) return false;
  ++d->uses;
  d->materialized = net.tensor(x.shape(), x.dtype(), "", Kind::activation);
  d->materialized.slot->name = x.slot->name;
  net.record(batch_norm_apply_max_pool, in(d->raw), in(d->scale), in(d->shift),
             out(d->materialized), out(y), out(tap), d->act, pool);
  net.tape->passes.push_back({d->materialized.slot, false});
  return true;
}

}  // namespace

Tensor max_pool(Net net, Tensor x, Pool2d pool) {
  check(pool.kernel > 0 && pool.kernel <= 15 && pool.stride > 0 && pool.padding >= 0 &&
            2 * pool.padding <= pool.kernel,
        net.path,
        "max_pool needs a window of 1 to 15, a positive stride and a padding of at most half the "
        "window, got {}, {} and {}",
        pool.kernel, pool.stride, pool.padding);
  const std::int64_t h = pool_size(x.h(), pool), w = pool_size(x.w(), pool);
  check(h > 0 && w > 0, net.path, "max_pool with a window of {} got {}x{} pixels", pool.kernel,
        x.h(), x.w());
  Tensor y = net.tensor({x.n(), h, w, x.c()}, "pool");
  Tensor tap = net.tensor(y.shape(), DType::u8, "tap", Kind::activation);
  y.slot->needs_grad = x.needs_grad();
  net.word("max_pool", {x}, y,
           {{"kernel", pool.kernel},
            {"stride", pool.stride},
            {"padding", pool.padding},
            {"ceil", pool.ceil}});
  if (!record_apply_and_pool(net, x, y, tap, pool))
    net.record(max_pool_forward, in(net.materialize(x)), out(y), out(tap), pool);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x))
      net.record(max_pool_backward, in(net.grad(y)), in(tap), dx, pool);
  });
  return y;
}

namespace {

Tensor deferred_upsample_concat(const Net& net, Tensor low, Tensor skip, Shape shape) {
  Tensor y = net.tensor(shape, "concat");
  y.slot->deferred = std::make_shared<Deferred>();
  y.slot->deferred->form = Deferred::Form::upsample_concat;
  y.slot->deferred->low = low;
  y.slot->deferred->skip = skip;
  y.slot->needs_grad = low.needs_grad() || (skip && skip.needs_grad());
  net.word("upsample_concat", {low, skip}, y);
  net.on_backward(y, [=] {
    // In the kernel's order of writing: low and skip may be one tensor.
    const Out dlow = net.grad_sink(low);
    const Out dskip = net.grad_sink(skip);
    net.record(upsample_concat_backward, in(net.grad(y)), dlow, dskip);
  });
  return y;
}

}  // namespace

Tensor upsample_concat(Net net, Tensor low, Tensor skip) {
  check(low.n() == skip.n(), net.path, "upsample_concat expects equal batches, got {} and {}",
        to_string(low.shape()), to_string(skip.shape()));
  return deferred_upsample_concat(net, low, skip,
                                  {skip.n(), skip.h(), skip.w(), low.c() + skip.c()});
}

Tensor upsample(Net net, Tensor low, std::int64_t h, std::int64_t w) {
  check(h > 0 && w > 0, net.path, "upsample to {}x{} pixels", h, w);
  return deferred_upsample_concat(net, low, {}, {low.n(), h, w, low.c()});
}

Tensor resize(Net net, Tensor x, std::int64_t h, std::int64_t w, Interpolation mode) {
  check(h > 0 && w > 0, net.path, "resize to {}x{} pixels", h, w);
  Tensor y = net.tensor({x.n(), h, w, x.c()}, "resized");
  y.slot->needs_grad = x.needs_grad();
  net.word("resize", {x}, y, {{"mode", static_cast<double>(mode)}});
  net.record(resize_forward, in(net.materialize(x)), out(y), mode);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x)) net.record(resize_backward, in(net.grad(y)), dx, mode);
  });
  return y;
}

Tensor avg_pool(Net net, Tensor x, AvgPool2d pool) {
  const std::int64_t h = pool_size(x.h(), pool.window), w = pool_size(x.w(), pool.window);
  check(h > 0 && w > 0, net.path, "avg_pool got {}x{} pixels", x.h(), x.w());
  Tensor y = net.tensor({x.n(), h, w, x.c()}, "pool");
  y.slot->needs_grad = x.needs_grad();
  net.word("avg_pool", {x}, y,
           {{"kernel", pool.window.kernel},
            {"stride", pool.window.stride},
            {"padding", pool.window.padding},
            {"ceil", pool.window.ceil},
            {"count_padding", pool.count_padding}});
  net.record(avg_pool_forward, in(net.materialize(x)), out(y), pool);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x)) net.record(avg_pool_backward, in(net.grad(y)), dx, pool);
  });
  return y;
}

}  // namespace fjord
