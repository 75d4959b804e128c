// The root of every training tape: a weighted sum of losses.
#include <utility>

#include "engine/loss_expression.h"
#include "engine/ops.h"

namespace fjord {

namespace {

// What the backward step reads; slopes and lovasz are absent when no term needs them.
struct LossTensors {
  Tensor value, slopes, lovasz;
  std::vector<Tensor> formulas;  // slopes
};

LossTensors record_forward(const Net& net, Tensor logits, Tensor label, const LossKernels& kernels,
                           Tensor sum) {
  LossTensors t;
  t.value = sum ? sum : net.resident({}, net.tape->parameters.dtype, "loss");
  Write write = sum ? Write::add : Write::store;
  const auto next = [&] { return Out{t.value.slot, std::exchange(write, Write::add)}; };
  if (!kernels.terms.empty()) {
    const std::int64_t count = loss_slope_count(logits.c(), kernels.terms);
    t.slopes = net.tensor({1, 1, 1, count}, DType::f64, "loss slopes", Kind::activation);
    net.record(loss_forward, in(logits), in(label), out(t.slopes), next(), kernels.terms);
  }
  if (kernels.lovasz) {
    t.lovasz = net.exact_tensor(logits.shape(), "lovasz slope");
    const std::int64_t count = lovasz_scratch_count(logits.shape(), *kernels.lovasz);
    Tensor scratch = net.tensor({1, 1, 1, count}, DType::i64, "lovasz order", Kind::scratch);
    net.record(lovasz_forward, in(logits), in(label), out(t.lovasz), out(scratch), next(),
               *kernels.lovasz);
  }
  for (const FormulaLoss& formula : kernels.formulas) {
    t.formulas.push_back(net.tensor({1, 1, 1, 2}, DType::f64, "formula slopes", Kind::activation));
    net.record(formula_loss_forward, in(logits), in(label), out(t.formulas.back()), next(),
               formula);
  }
  return t;
}

void record_backward(const Net& net, Tensor logits, Tensor label, Tensor scale,
                     const LossTensors& t, const LossKernels& kernels) {
  const bool fused = t.slopes || t.lovasz;
  if (Out dlogits = fused ? net.grad_sink(logits) : Out{})
    net.record(loss_backward, in(net.materialize(logits)), in(label), in(t.slopes), in(t.lovasz),
               in(scale), dlogits, kernels.terms);
  for (std::size_t i = 0; i < kernels.formulas.size(); ++i)
    if (Out dlogits = net.grad_sink(logits))
      net.record(formula_loss_backward, in(net.materialize(logits)), in(label), in(t.formulas[i]),
                 in(scale), dlogits, kernels.formulas[i]);
}

}  // namespace

Tensor loss(Net net, Tensor logits, Tensor label, const LossExpression& expression, Tensor scale,
            Tensor sum) {
  check(label.dtype() == DType::u8 || label.dtype() == logits.dtype(), net.path,
        "loss expects labels of u8 or of the logits' type");
  const LossKernels kernels =
      loss_kernels(expression, logits.shape(), label.shape(), label.dtype());
  const LossTensors t = record_forward(net, net.materialize(logits), label, kernels, sum);
  t.value.slot->needs_grad = logits.needs_grad();
  // The loss is the root: nobody writes a gradient to it, so nothing is waited for.
  net.tape->recipes.push_back([=] { record_backward(net, logits, label, scale, t, kernels); });
  return t.value;
}

}  // namespace fjord
