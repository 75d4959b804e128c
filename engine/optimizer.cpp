// Parameter groups as segments of the flat buffers, and one update.
#include "engine/optimizer.h"

#include <algorithm>

#include "kernels/error.h"

namespace fjord {

namespace {

// Neighbours in the flat buffer with the same group become one run.
std::vector<Segment> segments_of(const Parameters& parameters, const OptimizerOptions& options) {
  std::vector<Segment> segments;
  for (auto p = parameters.all().rbegin(); p != parameters.all().rend(); ++p) {
    if (p->role != Role::weight || !p->trained) continue;
    const ParameterGroup group =
        options.group ? options.group(*p) : ParameterGroup{1, options.weight_decay};
    Segment next{p->offset, p->offset + p->count(), group.lr_factor, group.weight_decay};
    const bool same = !segments.empty() && segments.back().lr_factor == next.lr_factor &&
                      segments.back().weight_decay == next.weight_decay &&
                      next.begin - segments.back().end < 16;  // only alignment between them
    if (same)
      segments.back().end = next.end;
    else
      segments.push_back(next);
  }
  return segments;
}

}  // namespace

Optimizer::Optimizer(Parameters& parameters, OptimizerOptions options, Backend backend)
    : parameters_(parameters),
      options_(std::move(options)),
      stream_{backend, nullptr},
      segments_(segments_of(parameters, options_)) {
  check(parameters.allocated(), "Optimizer", "the parameters are not allocated yet");
  check(!segments_.empty(), "Optimizer", "no recorded backward pass writes any gradient");
  std::vector<const char*> names;
  if (options_.kind == OptimizerKind::adamw)
    names = {"moment1", "moment2"};
  else if (options_.sgd.momentum != 0)
    names = {"velocity"};
  const Shape flat{1, 1, 1, parameters.weight_count()};
  for (std::size_t i = 0; i < names.size(); ++i) {
    state_memory_[i].reserve(static_cast<std::size_t>(flat.count()) * size_of(parameters.dtype));
    state_.push_back({names[i], flat, parameters.dtype, state_memory_[i].data()});
  }
}

double Optimizer::gradient_norm(const Step& step) {
  double norm = 0;
  Buffer result{"gradient_norm", {}, DType::f64, &norm};
  const Buffer* gradients = step.gradients ? step.gradients : &parameters_.gradients;
  fjord::gradient_norm(In{gradients}, Out{&result}, segments_, stream_);
  return norm * step.gradient_scale;
}

void Optimizer::update(const Step& step, double norm) {
  ++steps;
  double scale = step.gradient_scale;
  // As torch.nn.utils.clip_grad_norm_: the 1e-6 keeps the division finite.
  if (options_.clip_norm > 0) scale *= std::min(1.0, options_.clip_norm / (norm + 1e-6));
  StepParams values{steps, step.lr, scale};
  Buffer params{"step", {1, 1, 1, sizeof(StepParams)}, DType::u8, &values};
  const Buffer* gradients = step.gradients ? step.gradients : &parameters_.gradients;
  InOut weights{&parameters_.weights};
  auto state = [this](std::size_t i) { return i < state_.size() ? InOut{&state_[i]} : InOut{}; };
  if (options_.kind == OptimizerKind::adamw)
    adamw_update(In{&params}, In{gradients}, weights, state(0), state(1), segments_, options_.adamw,
                 stream_);
  else
    sgd_update(In{&params}, In{gradients}, weights, state(0), segments_, options_.sgd, stream_);
}

std::size_t Optimizer::bytes() const {
  std::size_t bytes = 0;
  for (const Buffer& buffer : state_) bytes += buffer.bytes();
  return bytes;
}

}  // namespace fjord
