// Evaluation plans by image size and batch size, in one arena.
#include "engine/evaluator.h"

#include <algorithm>
#include <optional>

#include "engine/ops.h"

namespace fjord {

struct Evaluator::Recorded {
  Recorded(const Evaluator& owner, Shape images, const LossExpression* expression)
      : tape(owner.parameters_, owner.options()) {
    if (expression) this->expression = *expression;
    const Net net{&tape, ""};
    image = net.resident(images, DType::f32, "image");
    logits = net.materialize(owner.model_(net, net.converted(image, tape.options.dtype)));
    logits = net.converted(logits, DType::f32);
    logits.slot->kind = Kind::resident;
    if (!expression) return;
    label = net.resident({images.n, images.h, images.w, 1}, DType::u8, "label");
    loss = fjord::loss(net, logits, label, *expression);
  }

  Tape tape;
  std::optional<LossExpression> expression;  // of `loss`
  Tensor image, label, logits, loss;
  std::unique_ptr<Plan> plan;
  Replay replay;
};

Evaluator::Evaluator(Model model, Parameters& parameters, Arena& arena, Backend backend,
                     PlanOptions plan, Precision precision, ConvAlgorithm algorithm,
                     FilterMemory filters)
    : model_(std::move(model)),
      parameters_(parameters),
      arena_(arena),
      backend_(backend),
      plan_(plan),
      precision_(precision),
      algorithm_(algorithm),
      filters_(filters),
      stream_(stream(backend)) {}

TapeOptions Evaluator::options() const {
  TapeOptions options = tape_options(backend_, precision_, Mode::eval, algorithm_);
  options.inference = filters_;
  return options;
}

Evaluator::Recorded& Evaluator::recorded(Shape images, const LossExpression* loss) {
  auto same = [&](const std::shared_ptr<Recorded>& r) {
    return r->image.shape() == images && (loss ? r->expression == *loss : !r->expression);
  };
  const auto found = std::find_if(recorded_.begin(), recorded_.end(), same);
  if (found != recorded_.end()) {
    std::rotate(found, found + 1, recorded_.end());
  } else {
    if (recorded_.size() == kPlans) recorded_.erase(recorded_.begin());
    auto made = std::make_shared<Recorded>(*this, images, loss);
    made->plan = std::make_unique<Plan>(made->tape, arena_, plan_);
    recorded_.push_back(std::move(made));
  }
  Recorded& r = *recorded_.back();
  if (r.plan->bind()) r.replay.reset();
  return r;
}

void Evaluator::run(Recorded& r, const float* images) {
  device(backend_).upload(r.image.slot->data, images, r.image.slot->bytes(), stream_);
  if (r.plan->replayable())
    r.replay.run(stream_, [&r] { r.plan->enqueue(); });
  else
    r.plan->enqueue();
}

const float* Evaluator::predict(Shape images, const float* values) {
  Recorded& r = recorded(images, nullptr);
  run(r, values);
  const Buffer& logits = *r.logits.slot;
  if (device(backend_).is_host()) return static_cast<const float*>(logits.data);
  logits_.resize(static_cast<std::size_t>(logits.shape.count()));
  device(backend_).download(logits_.data(), logits.data, logits.bytes(), stream_);
  return logits_.data();
}

// The labels where the backend's kernels can read them: in place on the host.
Buffer Evaluator::at_device(const std::uint8_t* labels, Shape shape) {
  Buffer buffer{"label", shape, DType::u8, const_cast<std::uint8_t*>(labels)};
  Device& home = device(backend_);
  if (home.is_host()) return buffer;
  if (labels_.bytes() < buffer.bytes()) labels_ = DeviceBlock(backend_, buffer.bytes());
  home.upload(labels_.data(), labels, buffer.bytes(), stream_);
  buffer.data = labels_.data();
  return buffer;
}

Scores Evaluator::score(BatchSource& source, Shape batch, int classes, double threshold,
                        const LossExpression* loss) {
  Scores scores;
  scores.confusion = ConfusionMatrix(classes);
  std::vector<float> images(batch.count());
  std::vector<std::uint8_t> labels(batch.pixels());
  double loss_sum = 0;
  source.start(0, 0);
  while (const int count = source.next(images.data(), labels.data())) {
    // The last batch is a plan of its own size: nothing padded, so nothing to mask.
    Recorded& r = recorded({count, batch.h, batch.w, batch.c}, loss);
    Device& home = device(backend_);
    if (loss) home.upload(r.label.slot->data, labels.data(), r.label.slot->bytes(), stream_);
    run(r, images.data());
    const Buffer label =
        loss ? Buffer(*r.label.slot) : at_device(labels.data(), {count, batch.h, batch.w, 1});
    scores.confusion.add(In{r.logits.slot}, In{&label}, threshold, stream_);
    if (loss) {
      float value = 0;
      home.download(&value, r.loss.slot->data, sizeof value, stream_);
      loss_sum += value * static_cast<double>(count);
    }
    scores.images += count;
  }
  scores.loss = scores.images ? loss_sum / static_cast<double>(scores.images) : 0;
  return scores;
}

std::string Evaluator::report(Shape images) { return recorded(images, nullptr).plan->report(); }

Evaluator::Needs Evaluator::needs(Shape images, const LossExpression& loss) const {
  Recorded recorded(*this, images, &loss);
  const Plan plan(recorded.tape, arena_, plan_);
  const ConfusionMatrix confusion(static_cast<int>(recorded.logits.shape().c));
  return {plan.arena_bytes(), plan.kept_bytes() + confusion.card_bytes()};
}

std::size_t Evaluator::arena_bytes(Shape images) {
  return recorded(images, nullptr).plan->arena_bytes();
}

}  // namespace fjord
