// A network recorded and planned for one shape.
#include "tools/recorded.h"

#include <chrono>

#include "engine/trainer.h"

namespace fjord {

Recorded::Recorded(const RecordedOptions& options)
    : arena(options.backend), stream_(stream(options.backend)) {
  const Model model = [m = options.model](Net net, Tensor image) {
    return build_model(net, image, m);
  };
  declare_parameters(parameters, model, options.model.in_channels, options.seed, options.backend);
  TapeOptions recording =
      tape_options(options.backend, options.precision, options.mode, options.algorithm);
  if (options.mode == Mode::eval) recording.inference = options.filters;
  recording.activations = options.activations;
  tape.emplace(parameters, recording);
  const Net net{&*tape, ""};
  const Shape s = options.image;
  image_ = net.resident(s, DType::f32, "image");
  Tensor logits = model(net, net.converted(image_, tape->options.dtype));
  if (options.mode == Mode::train) {
    label_ = net.resident({s.n, s.h, s.w, 1}, DType::u8, "label");
    if (options.precision == Precision::fp16) scale_ = net.outside({}, DType::f32, "loss scale");
    loss_ = loss(net, logits, label_, parse_loss(options.loss), scale_);
    net.backward();
  } else {
    logits_ = net.converted(net.materialize(logits), DType::f32);
    logits_.slot->kind = Kind::resident;
  }
  plan.emplace(*tape, arena);
  if (options.mode != Mode::train) return;
  OptimizerOptions rule;
  if (scale_) rule.rule.loss_scaling = LossScaling::dynamic;
  optimizer.emplace(parameters, rule, options.backend);
  if (scale_) scale_.slot->data = optimizer->loss_scale().data;
}

void Recorded::send_inputs() {
  Device& home = device(stream_.backend);
  if (!host_images_.empty())
    home.upload(image_.slot->data, host_images_.data(), image_.slot->bytes(), stream_);
  if (!host_labels_.empty())
    home.upload(label_.slot->data, host_labels_.data(), label_.slot->bytes(), stream_);
  host_images_.clear();
  host_labels_.clear();
}

void Recorded::enqueue() {
  plan->enqueue();
  if (optimizer) optimizer->enqueue({loss_.slot});
}

void Recorded::run() {
  if (plan->bind()) replay_.reset();
  send_inputs();
  if (optimizer) optimizer->wish(1e-3);
  replay_.run(stream_, [this] { enqueue(); });
  device(stream_.backend).synchronize(stream_);
}

float* Recorded::images() {
  plan->bind();
  if (device(stream_.backend).is_host()) return static_cast<float*>(image_.slot->data);
  host_images_.resize(static_cast<std::size_t>(image_.shape().count()));
  return host_images_.data();
}

std::uint8_t* Recorded::labels() {
  plan->bind();
  if (!label_) return nullptr;
  if (device(stream_.backend).is_host()) return static_cast<std::uint8_t*>(label_.slot->data);
  host_labels_.resize(static_cast<std::size_t>(label_.shape().count()));
  return host_labels_.data();
}

std::size_t Recorded::planned_bytes() const {
  return plan->arena_bytes() + plan->kept_bytes() + parameters.bytes() +
         (optimizer ? parameters.gradients.bytes() + optimizer->bytes() : 0);
}

std::vector<double> Recorded::step_seconds() {
  plan->bind();
  Stream stream = fjord::stream(tape->options.backend);
  std::vector<double> seconds;
  const auto time = [&](const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    device(stream.backend).synchronize(stream);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  };
  for (std::size_t i = 0; i < tape->steps.size(); ++i) time([&] { plan->run_step(i); });
  if (optimizer) time([&] { optimizer->enqueue({loss_.slot}); });
  return seconds;
}

std::int64_t parameter_count(const Parameters& parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters.all())
    if (parameter.role == Role::weight) count += parameter.count();
  return count;
}

}  // namespace fjord
