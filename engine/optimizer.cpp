// Parameter groups as segments of the flat buffers, and one update.
#include "engine/optimizer.h"

#include <algorithm>

#include "kernels/device.h"
#include "kernels/pointwise.h"

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
      stream_(stream(backend)),
      segments_(segments_of(parameters, options_)),
      mailbox_(device(backend).mailbox(sizeof(UpdateReport))) {
  check(parameters.allocated(), "Optimizer", "the parameters are not allocated yet");
  check(!segments_.empty(), "Optimizer", "no recorded backward pass writes any gradient");
  std::vector<const char*> names;
  if (options_.kind == OptimizerKind::adamw)
    names = {"moment1", "moment2"};
  else if (options_.sgd.momentum != 0)
    names = {"velocity"};
  moments_ = names.size();
  if (options_.average) names.push_back(moving_average() ? "trained_weights" : "swa_weights");
  const Shape flat{1, 1, 1, parameters.weight_count()};
  for (const char* name : names) {
    state_memory_.emplace_back(backend,
                               static_cast<std::size_t>(flat.count()) * size_of(parameters.dtype));
    state_.push_back({name, flat, parameters.dtype, state_memory_.back().data()});
  }
  lay_out_scalars();
  if (options_.average) copy_forward(In{&parameters.weights}, Out{&state_.back()}, stream_);
  UpdateState first;
  if (options_.rule.loss_scaling == LossScaling::dynamic) first.loss_scale = kFirstLossScale;
  set_progress(first);
}

// Each on a cache line of its own.
void Optimizer::lay_out_scalars() {
  constexpr std::size_t kLine = 256;
  scalars_ = DeviceBlock(stream_.backend, 5 * kLine);
  const auto struct_at = [this](std::size_t line, const char* name, std::size_t bytes) {
    return Buffer{name,
                  {1, 1, 1, static_cast<std::int64_t>(bytes)},
                  DType::u8,
                  scalars_.data() + line * kLine};
  };
  wish_ = struct_at(0, "wish", sizeof(UpdateWish));
  progress_ = struct_at(1, "progress", sizeof(UpdateState));
  params_ = struct_at(2, "params", sizeof(StepParams));
  report_ = struct_at(3, "report", sizeof(UpdateReport));
  norm_ = {"gradient_norm", {}, DType::f64, scalars_.data() + 4 * kLine};
  loss_scale_ = {"loss_scale", {}, DType::f32, progress_.data};
}

void Optimizer::wish(double lr, int batches) {
  parameters_.changed();
  const UpdateWish wish{lr, options_.clip_norm, static_cast<double>(batches)};
  device(stream_.backend).upload(wish_.data, &wish, sizeof wish, stream_);
}

void Optimizer::enqueue(const Sources& sources) {
  const Buffer* gradients = sources.gradients ? sources.gradients : &parameters_.gradients;
  gradient_norm(In{gradients}, Out{&norm_}, segments_, stream_);
  prepare_update(In{&wish_}, In{sources.loss}, In{&norm_}, InOut{&progress_}, Out{&params_},
                 Out{&report_}, options_.rule, stream_);
  const InOut weights{&parameters_.weights};
  const Out shadow = parameters_.shadow.data ? Out{&parameters_.shadow} : Out{};
  auto state = [this](std::size_t i) { return i < moments_ ? InOut{&state_[i]} : InOut{}; };
  if (options_.kind == OptimizerKind::adamw)
    adamw_update(In{&params_}, In{gradients}, weights, state(0), state(1), shadow, segments_,
                 options_.adamw, stream_);
  else
    sgd_update(In{&params_}, In{gradients}, weights, state(0), shadow, segments_, options_.sgd,
               stream_);
  if (const Ema* moving = moving_average())
    ema_update(In{&params_}, In{&parameters_.weights}, InOut{&state_.back()}, *moving, stream_);
}

const Ema* Optimizer::moving_average() const {
  return options_.average ? std::get_if<Ema>(&*options_.average) : nullptr;
}

// By way of the gradients, which nobody reads between two updates.
void Optimizer::exchange_average() {
  if (!moving_average()) return;
  Buffer &weights = parameters_.weights, &average = state_.back(), &between = parameters_.gradients;
  copy_forward(In{&weights}, Out{&between}, stream_);
  copy_forward(In{&average}, Out{&weights}, stream_);
  copy_forward(In{&between}, Out{&average}, stream_);
  parameters_.changed_by_host();
}

// An equal average is a moving one whose decay follows the count: the first is the weights.
void Optimizer::join_average(std::int64_t count) {
  const StepParams params{.step = count};
  device(stream_.backend).upload(params_.data, &params, sizeof params, stream_);
  ema_update(In{&params_}, In{&parameters_.weights}, InOut{&state_.back()},
             {.decay = 1 - 1 / static_cast<double>(count)}, stream_);
}

void Optimizer::adopt_average() {
  copy_forward(In{&state_.back()}, Out{&parameters_.weights}, stream_);
  parameters_.changed_by_host();
}

void Optimizer::post() { mailbox_->post(report_.data, stream_); }

UpdateReport Optimizer::take() {
  UpdateReport report;
  mailbox_->take(&report);
  return report;
}

UpdateReport Optimizer::update(double lr, const Sources& sources) {
  wish(lr);
  enqueue(sources);
  post();
  return take();
}

UpdateState Optimizer::progress() {
  UpdateState progress;
  device(stream_.backend).download(&progress, progress_.data, sizeof progress, stream_);
  return progress;
}

void Optimizer::set_progress(const UpdateState& progress) {
  device(stream_.backend).upload(progress_.data, &progress, sizeof progress, stream_);
}

std::size_t Optimizer::bytes() const {
  std::size_t bytes = 0;
  for (const Buffer& buffer : state_) bytes += buffer.bytes();
  return bytes;
}

}  // namespace fjord
