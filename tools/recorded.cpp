// A network recorded and planned for one shape.
#include "tools/recorded.h"

#include <chrono>
#include <cstring>

#include "engine/trainer.h"

namespace fjord {

Recorded::Recorded(const RecordedOptions& options) {
  const Model model = [m = options.model](Net net, Tensor image) {
    return build_model(net, image, m);
  };
  declare_parameters(parameters, model, options.model.in_channels, options.seed);
  tape.emplace(parameters, TapeOptions{.mode = options.mode});
  const Net net{&*tape, ""};
  const Shape s = options.image;
  image_ = net.resident(s, DType::f32, "image");
  Tensor logits = model(net, image_);
  if (options.mode == Mode::train) {
    label_ = net.resident({s.n, s.h, s.w, 1}, DType::u8, "label");
    loss(net, logits, label_, parse_loss(options.loss));
    net.backward();
  } else {
    net.materialize(logits).slot->kind = Kind::resident;
  }
  plan.emplace(*tape, arena);
  if (options.mode == Mode::train) optimizer.emplace(parameters, OptimizerOptions{});
}

void Recorded::run() {
  plan->run();
  if (!optimizer) return;
  const Optimizer::Step step{.lr = 1e-3};
  optimizer->update(step, optimizer->gradient_norm(step));
}

float* Recorded::images() {
  plan->bind();
  return static_cast<float*>(image_.slot->data);
}

std::uint8_t* Recorded::labels() {
  plan->bind();
  return label_ ? static_cast<std::uint8_t*>(label_.slot->data) : nullptr;
}

std::size_t Recorded::planned_bytes() const {
  return plan->arena_bytes() + parameters.bytes() +
         (optimizer ? parameters.gradients.bytes() + optimizer->bytes() : 0);
}

std::vector<double> Recorded::step_seconds() {
  plan->bind();
  Stream stream;
  std::vector<double> seconds;
  for (const Step& step : tape->steps) {
    const auto start = std::chrono::steady_clock::now();
    step.run(stream);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

std::int64_t multiply_adds(const Step& step) {
  // The filter stands second where it is read; the weight's gradient is written first.
  auto through = [](Shape map, Shape filter) {
    return map.count() * filter.h * filter.w * filter.c;
  };
  if (std::strcmp(step.op, "conv_forward") == 0)
    return through(step.writes[0]->shape, step.reads[1]->shape);
  if (std::strcmp(step.op, "conv_backward_data") == 0)
    return through(step.reads[0]->shape, step.reads[1]->shape);
  if (std::strcmp(step.op, "conv_backward_filter") == 0)
    return through(step.reads[1]->shape, step.writes[0]->shape);
  return 0;
}

std::int64_t parameter_count(const Parameters& parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters.all())
    if (parameter.role == Role::weight) count += parameter.count();
  return count;
}

}  // namespace fjord
