// Runs loss expressions as a training tape does; remakes the goldens' inputs.
#include "tests/losses/loss_run.h"

#include <algorithm>

#include "engine/ops.h"
#include "engine/plan.h"
#include "kernels/cpu/backend.h"
#include "tests/reference/reference.h"

namespace fjord {
namespace {

void fill(Tensor tensor, const std::vector<double>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) switch (tensor.dtype()) {
      case DType::f32:
        static_cast<float*>(tensor.slot->data)[i] = static_cast<float>(values[i]);
        break;
      case DType::f64:
        static_cast<double*>(tensor.slot->data)[i] = values[i];
        break;
      default:
        static_cast<std::uint8_t*>(tensor.slot->data)[i] = static_cast<std::uint8_t>(values[i]);
    }
}

double at(const Buffer& buffer, std::int64_t i) {
  return buffer.dtype == DType::f64 ? static_cast<const double*>(buffer.data)[i]
                                    : static_cast<const float*>(buffer.data)[i];
}

}  // namespace

LossRun run_loss(const LossExpression& expression, Shape shape, const std::vector<double>& logits,
                 const LossLabel& label, Backend backend) {
  backend == Backend::cpu ? enable_cpu_kernels() : enable_reference_kernels();
  const DType dtype = backend == Backend::cpu ? DType::f32 : DType::f64;
  Parameters parameters(dtype);
  Tape tape(parameters, {backend, dtype, Mode::train});
  const Net net{&tape, "loss."};
  Tensor z = net.resident(shape, dtype, "logits");
  z.slot->needs_grad = true;
  Tensor t = net.resident(label.shape, label.hard ? DType::u8 : dtype, "label");
  Tensor value = loss(net, z, t, expression);
  net.backward();
  z.slot->grad->kind = Kind::resident;
  parameters.allocate();
  Arena arena;
  Plan plan(tape, arena, {.poison = true});
  plan.bind();
  fill(z, logits);
  fill(t, label.values);
  plan.run();
  LossRun run{at(*value.slot, 0), {}};
  for (std::int64_t i = 0; i < shape.count(); ++i) run.dlogits.push_back(at(*z.slot->grad, i));
  return run;
}

namespace golden {

const std::vector<LossEntry>& loss_entries() {
  static const std::vector<LossEntry> entries{
#include "tests/losses/golden_losses.inc"
#include "tests/losses/golden_more_losses.inc"
  };
  return entries;
}

LossInput loss_input(std::string_view logits, std::string_view label) {
  const Shape shape{2, 8, 8, logits == "lg" ? 4 : 1}, pixels{2, 8, 8, 1};
  LossInput input{shape, tensor(logits == "lg" ? "loss.logits" : "loss.binlogits", shape, 4), {}};
  LossLabel& target = input.label;
  target.shape = pixels;
  auto set = [&target](const auto& values) { target.values.assign(values.begin(), values.end()); };
  if (label.starts_with("tm")) set(class_labels("loss.target", 128, 4));
  if (label == "tm2") std::replace(target.values.begin(), target.values.end(), 3.0, 0.0);
  if (label.starts_with("tb")) set(binary_labels("loss.bintarget", 128, 0.2));
  if (label == "tmi" || label == "tbi")
    for (std::int64_t i = 0; i < 128; ++i)
      if (u("loss.ignore", i) > 0.5) target.values[static_cast<std::size_t>(i)] = 255;
  target.hard = !(label == "tl" || label == "ts");
  if (label == "ts") {
    target.values = stream("loss.softtarget", 128);
    for (double& t : target.values) t = (t + 1) / 2;
  }
  if (label == "tl") {
    target.shape = shape;
    target.values = tensor("loss.mltarget", shape);
    for (double& t : target.values) t = t > 0.3 ? 1 : 0;
  }
  return input;
}

}  // namespace golden
}  // namespace fjord
