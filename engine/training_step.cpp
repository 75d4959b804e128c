// One recorded batch: forward, backward, and every so many batches an update.
#include "engine/training_step.h"

#include <cmath>

#include "engine/ops.h"
#include "kernels/pointwise.h"

namespace fjord {

namespace {

TapeOptions training_options(const TrainerOptions& options) {
  TapeOptions tape =
      tape_options(options.backend, options.precision, Mode::train, options.algorithm);
  tape.seed = options.seed;
  tape.activations = options.activations;
  return tape;
}

constexpr std::size_t kLossBytes = 256;  // of the sum of losses, before that of the gradients

[[noreturn]] void throw_nonfinite(const char* what, double value) {
  throw Error(ExitCode::numeric, "diverged", fmt::format("the {} is {}", what, value),
              "training has diverged; no weight was changed by this step",
              "lower --lr, set --clip-norm 1, or find the layer with --check");
}

[[noreturn]] void throw_halted(const UpdateReport& report) {
  throw Error(ExitCode::numeric, "diverged",
              fmt::format("loss or gradients were not finite in {} updates in a row",
                          report.skipped_in_row),
              fmt::format("fp16 overflows even with a loss scale of {}; no weight was changed by "
                          "these updates",
                          report.loss_scale),
              "use --precision bf16, lower --lr, or find the layer with --check");
}

// Images that arrive raw: their augmentation is the first part of the step, and writes them in the
// type that the network reads.
void record_augmentation(const Net& net, const RawImages& raw, Shape s, TrainingStep::Tensors& t) {
  const Shape source{s.n, raw.source.h, raw.source.w, s.c};
  const auto bytes = static_cast<std::int64_t>(sizeof(AugmentSample));
  const Tensor pixels = net.resident(source, raw.dtype, "pixels");
  const Tensor classes = net.resident({s.n, source.h, source.w, 1}, DType::u8, "classes");
  const Tensor draws = net.resident({1, 1, s.n, bytes}, DType::u8, "draws");
  t.inputs = {pixels, classes, draws};
  t.band_scale = net.outside({1, 1, 1, s.c}, DType::f32, "scale");
  t.band_offset = net.outside({1, 1, 1, s.c}, DType::f32, "offset");
  t.image = net.tensor(s, net.tape->options.dtype, "image", Kind::activation);
  t.label = net.tensor({s.n, s.h, s.w, 1}, DType::u8, "label", Kind::activation);
  net.record(augment_image, in(pixels), in(draws), in(t.band_scale), in(t.band_offset),
             out(t.image), raw.image);
  net.record(augment_label, in(classes), in(draws), out(t.label), raw.label);
}

TrainingStep::Tensors record_step(Tape& tape, const Model& model, const TrainerOptions& options,
                                  const LossExpression& loss, std::int64_t batch) {
  const Net net{&tape, ""};
  const Shape s{batch, options.image.h, options.image.w, options.image.c};
  TrainingStep::Tensors t;
  if (options.raw) {
    record_augmentation(net, *options.raw, s, t);
  } else {
    t.image = net.resident(s, DType::f32, "image");
    t.label = net.resident({s.n, s.h, s.w, 1}, DType::u8, "label");
    t.inputs = {t.image, t.label};
  }
  const Tensor logits = model(net, net.converted(t.image, tape.options.dtype));
  if (options.precision == Precision::fp16)
    t.loss_scale = net.outside({}, DType::f32, "loss scale");
  t.loss = fjord::loss(net, logits, t.label, loss, t.loss_scale);
  for (const InnerLogits& inner : tape.inner_logits) {
    LossExpression share = loss;
    for (LossTerm& term : share.terms) term.weight *= inner.weight;
    fjord::loss(net, inner.logits, t.label, share, t.loss_scale, t.loss);
  }
  net.backward();
  return t;
}

/// The batches on their way to a device: two, in pinned memory and on the device.
std::size_t staging_bytes(const TrainingStep::Tensors& t) {
  std::size_t bytes = 0;
  for (const Tensor& input : t.inputs) bytes += 2 * input.slot->bytes();
  return bytes;
}

}  // namespace

TrainingStep::TrainingStep(Model model, Parameters& parameters, const TrainerOptions& options)
    : home_(device(options.backend)),
      model_(std::move(model)),
      options_(options),
      parameters_(parameters),
      arena_(options.backend),
      stream_(stream(options.backend)),
      losses_(home_.mailbox(sizeof(float))) {
  record(options.loss.at(0));
  arena_bytes_ = plan_->arena_bytes();
  if (options.loss.stages.size() > 1) arena_bytes_ = largest_arena(options.image.n);
  OptimizerOptions rule = options.optimizer;
  if (options.precision == Precision::fp16) rule.rule.loss_scaling = LossScaling::dynamic;
  optimizer_.emplace(parameters, rule, options.backend);
  if (options.raw) send_bands(*options.raw);
  attach();
  if (options.accumulate == 1) return;
  sums_ = DeviceBlock(options.backend, parameters.gradients.bytes() + kLossBytes);
  loss_sum_ = {"loss", {}, DType::f32, sums_.data()};
  gradient_sum_ = parameters.gradients;
  gradient_sum_.data = sums_.data() + kLossBytes;
}

void TrainingStep::record(const LossExpression& loss) {
  plan_.reset();
  tape_.emplace(parameters_, training_options(options_));
  t_ = record_step(*tape_, model_, options_, loss, options_.image.n);
  plan_.emplace(*tape_, arena_, options_.plan);
  loss_ = loss;
}

// Gives the tape's tensors what is not of its plan.
void TrainingStep::attach() {
  if (t_.loss_scale) t_.loss_scale.slot->data = optimizer_->loss_scale().data;
  if (!options_.raw) return;
  t_.band_scale.slot->data = bands_.data();
  t_.band_offset.slot->data = bands_.data() + bands_.bytes() / 2;
}

void TrainingStep::start_epoch(int epoch) {
  batch_in_step_ = 0;
  const LossExpression loss = options_.loss.at(epoch);
  if (loss == loss_) return;
  record(loss);
  attach();
}

void TrainingStep::send_bands(const RawImages& raw) {
  const std::size_t bytes = raw.scale.size() * sizeof(float), room = (bytes + 255) / 256 * 256;
  bands_ = DeviceBlock(options_.backend, 2 * room);
  home_.upload(bands_.data(), raw.scale.data(), bytes, stream_);
  home_.upload(bands_.data() + room, raw.offset.data(), bytes, stream_);
}

std::size_t TrainingStep::largest_arena(std::int64_t batch) const {
  std::size_t largest = 0;
  for (const int epoch : options_.loss.samples()) {
    Arena arena(options_.backend);
    Tape tape(parameters_, training_options(options_));
    record_step(tape, model_, options_, options_.loss.at(epoch), batch);
    largest = std::max(largest, Plan(tape, arena, options_.plan).arena_bytes());
  }
  return largest;
}

// What steps of a batch and their validation, in the same arena, would take, without taking it.
std::size_t TrainingStep::bytes_of_batch(std::int64_t batch, const Evaluator& evaluator) const {
  Shape images = options_.image;
  images.n = batch;
  Evaluator::Needs most{largest_arena(batch), 0};
  for (const int epoch : options_.loss.samples()) {
    const Evaluator::Needs needs = evaluator.needs(images, options_.loss.at(epoch));
    most.arena_bytes = std::max(most.arena_bytes, needs.arena_bytes);
    most.kept_bytes = std::max(most.kept_bytes, needs.kept_bytes);
  }
  return most.arena_bytes + most.kept_bytes + staging_bytes(t_) / options_.image.n * batch;
}

// A card's memory is what it is: better to say so, and what fits, before the first step.
void TrainingStep::demand_memory(const Evaluator& evaluator) const {
  if (home_.is_host()) return;
  const std::size_t free = home_.memory().free;
  const std::size_t needed = bytes_of_batch(options_.image.n, evaluator);
  if (needed <= free) return;
  std::int64_t fits = 0, too_many = options_.image.n;
  while (too_many - fits > 1) {
    const std::int64_t batch = (fits + too_many) / 2;
    (bytes_of_batch(batch, evaluator) <= free ? fits : too_many) = batch;
  }
  const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / 0x1p20; };
  throw Error(ExitCode::device, "device-memory",
              fmt::format("a step of {} needs {:.0f} MiB beside the weights",
                          to_string(options_.image), mib(needed)),
              fmt::format("{:.0f} MiB of {} are free{}", mib(free), home_.name(),
                          fits > 0 ? fmt::format("; {} images fit", fits)
                                   : std::string("; not even one image fits")),
              fits > 0 ? fmt::format("use --batch {}", fits)
                       : std::string("use a smaller --size, or --device cpu"));
}

void TrainingStep::bind() {
  arena_.reserve(arena_bytes_);
  if (plan_->bind())
    for (Replay& replay : replays_) replay.reset();
  if (home_.is_host() || !staging_.empty()) return;
  for (const Tensor& input : t_.inputs) staging_.push_back(home_.staging(input.slot->bytes()));
}

void* TrainingStep::host(std::size_t input) {
  bind();
  return staging_.empty() ? t_.inputs[input].slot->data : staging_[input]->host();
}

int TrainingStep::fill(BatchSource& source) {
  if (!options_.raw) return source.next(images(), labels());
  return source.next_raw(
      {host(0), static_cast<std::uint8_t*>(host(1)), static_cast<AugmentSample*>(host(2))});
}

float* TrainingStep::images() {
  check(!options_.raw, "TrainingStep", "raw batches come from a source");
  return static_cast<float*>(host(0));
}

std::uint8_t* TrainingStep::labels() {
  check(!options_.raw, "TrainingStep", "raw batches come from a source");
  return static_cast<std::uint8_t*>(host(1));
}

void TrainingStep::send_batch() {
  bind();
  for (std::size_t i = 0; i < staging_.size(); ++i)
    staging_[i]->send(t_.inputs[i].slot->data, stream_);
}

void TrainingStep::forward() {
  send_batch();
  plan_->run_forward();
}

void TrainingStep::enqueue(double lr) {
  send_batch();
  const bool first = batch_in_step_ == 0, due = update_due();
  parameters_.changed();
  if (due) optimizer_->wish(lr, options_.accumulate);
  const auto work = [&] { run(first, due); };
  if (plan_->replayable())
    replays_[(first ? 1 : 0) + (due ? 2 : 0)].run(stream_, work);
  else
    work();
  losses_->post(t_.loss.slot->data, stream_);
  if (due) optimizer_->post();
  batch_in_step_ = due ? 0 : batch_in_step_ + 1;
}

// What a replay holds: no decision here may depend on anything but the arguments.
void TrainingStep::run(bool first, bool due) {
  plan_->enqueue();
  if (options_.accumulate > 1) {
    const Write write = first ? Write::store : Write::add;
    copy_forward(In{t_.loss.slot}, Out{&loss_sum_, write}, stream_);
    copy_forward(In{&parameters_.gradients}, Out{&gradient_sum_, write}, stream_);
  }
  if (!due) return;
  if (options_.accumulate > 1)
    optimizer_->enqueue({&loss_sum_, &gradient_sum_});
  else
    optimizer_->enqueue({t_.loss.slot});
}

Trainer::StepResult TrainingStep::take(bool due) {
  float loss = 0;
  losses_->take(&loss);
  Trainer::StepResult result{loss, {}};
  UpdateReport report;
  if (due) {
    report = optimizer_->take();
    result.gradient_norm = report.gradient_norm;
    result.skipped = report.skipped != 0;
  }
  if (options_.precision == Precision::fp16) {
    if (report.halted) throw_halted(report);
    return result;
  }
  if (!std::isfinite(result.loss)) throw_nonfinite("loss", result.loss);
  if (due && !std::isfinite(*result.gradient_norm))
    throw_nonfinite("norm of the gradients", *result.gradient_norm);
  return result;
}

std::size_t TrainingStep::bytes() const {
  return arena_bytes_ + optimizer_->bytes() + sums_.bytes();
}

}  // namespace fjord
