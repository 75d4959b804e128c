// Evaluation plans by image size and batch size, in one arena.
#include "engine/evaluator.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/ops.h"

namespace fjord {

struct Evaluator::Recorded {
  Recorded(const Evaluator& owner, Shape images, const LossExpression* expression)
      : tape(owner.parameters_, {owner.backend_, DType::f32, Mode::eval}) {
    if (expression) this->expression = *expression;
    const Net net{&tape, ""};
    image = net.resident(images, DType::f32, "image");
    logits = net.materialize(owner.model_(net, image));
    logits.slot->kind = Kind::resident;
    if (!expression) return;
    label = net.resident({images.n, images.h, images.w, 1}, DType::u8, "label");
    loss = fjord::loss(net, logits, label, *expression);
  }

  Tape tape;
  std::optional<LossExpression> expression;  // of `loss`
  Tensor image, label, logits, loss;
  std::unique_ptr<Plan> plan;
};

Evaluator::Evaluator(Model model, Parameters& parameters, Arena& arena, Backend backend,
                     PlanOptions plan)
    : model_(std::move(model)),
      parameters_(parameters),
      arena_(arena),
      backend_(backend),
      plan_(plan) {}

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
  recorded_.back()->plan->bind();
  return *recorded_.back();
}

const float* Evaluator::predict(Shape images, const float* values) {
  Recorded& r = recorded(images, nullptr);
  std::memcpy(r.image.slot->data, values, r.image.slot->bytes());
  r.plan->run();
  return static_cast<const float*>(r.logits.slot->data);
}

Scores Evaluator::score(BatchSource& source, Shape batch, int classes, double threshold,
                        const LossExpression* loss) {
  Scores scores;
  scores.confusion = ConfusionMatrix(classes);
  std::vector<float> images(batch.count());
  std::vector<std::uint8_t> labels(batch.pixels());
  Stream stream{backend_, nullptr};
  double loss_sum = 0;
  source.start(0, 0);
  while (const int count = source.next(images.data(), labels.data())) {
    // The last batch is a plan of its own size: nothing padded, so nothing to mask.
    Recorded& r = recorded({count, batch.h, batch.w, batch.c}, loss);
    std::memcpy(r.image.slot->data, images.data(), r.image.slot->bytes());
    if (loss) std::memcpy(r.label.slot->data, labels.data(), r.label.slot->bytes());
    r.plan->run();
    Buffer label{"label", {count, batch.h, batch.w, 1}, DType::u8, labels.data()};
    scores.confusion.add(In{r.logits.slot}, In{&label}, threshold, stream);
    if (loss)
      loss_sum += *static_cast<const float*>(r.loss.slot->data) * static_cast<double>(count);
    scores.images += count;
  }
  scores.loss = scores.images ? loss_sum / static_cast<double>(scores.images) : 0;
  return scores;
}

std::string Evaluator::report(Shape images) { return recorded(images, nullptr).plan->report(); }

std::size_t Evaluator::arena_bytes(Shape images) {
  return recorded(images, nullptr).plan->arena_bytes();
}

}  // namespace fjord
