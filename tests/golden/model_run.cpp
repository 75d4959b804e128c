// Records a model for a golden or a test and fills it.
#include "tests/golden/model_run.h"

#include "kernels/pointwise.h"

namespace fjord::golden {

namespace {

template <class F>
void visit(const Buffer& buffer, F f) {
  if (buffer.dtype == DType::f64)
    f(static_cast<double*>(buffer.data));
  else if (buffer.dtype == DType::f32)
    f(static_cast<float*>(buffer.data));
  else
    check(false, buffer.name, "golden figures are of f32 or f64 tensors");
}

void store(const Buffer& buffer, const std::vector<double>& nhwc) {
  check(static_cast<std::int64_t>(nhwc.size()) == buffer.shape.count(), buffer.name,
        "{} values given for {}", nhwc.size(), to_string(buffer.shape));
  visit(buffer, [&](auto* data) {
    for (std::size_t i = 0; i < nhwc.size(); ++i)
      data[i] = static_cast<std::remove_reference_t<decltype(*data)>>(nhwc[i]);
  });
}

/// recipe.h's parameter() with what does not change within a tensor taken out of the loop.
void fill(Parameter& p) {
  const std::uint64_t hash = fnv1a(p.name);
  double scale = 0.1, offset = 0;
  if (p.filter) scale = std::sqrt(3.0 / static_cast<double>(p.shape.h * p.shape.w * p.shape.c));
  if (!p.filter && p.name.ends_with("weight")) offset = 1;
  if (p.name.ends_with("running_var")) offset = 1, scale = 0.25;
  visit(p.value, [&](auto* data) {
    for (std::int64_t j = 0; j < p.count(); ++j)
      data[to_nhwc(j, p.shape)] = static_cast<float>(offset + scale * u(hash, j));
  });
}

}  // namespace

ModelRun::ModelRun(const RunOptions& options)
    : options(options),
      parameters(options.dtype),
      tape(parameters, {.backend = options.backend,
                        .dtype = options.dtype,
                        .mode = options.mode,
                        .algorithm = options.algorithm,
                        .inference = options.inference,
                        .activations = options.activations}) {
  const Net net{&tape, ""};
  image = net.resident(options.image, options.dtype, "image");
  if (options.encoder_only) {
    int level = 0;
    for (Tensor feature : build_encoder(net / "encoder", image, options.model))
      results.push_back(kept(net, feature, "f" + std::to_string(level++)));
  } else {
    const auto [logits, scores] = build_model_and_scores(net, image, options.model);
    results.push_back(kept(net, logits, "logits"));
    if (scores) results.push_back(kept(net, scores, "scores"));
    if (!options.loss.empty()) {
      label =
          net.resident({options.image.n, options.image.h, options.image.w, 1}, DType::u8, "label");
      loss = fjord::loss(net / "loss", logits, label, parse_loss(options.loss));
      net.backward();
    }
  }
  parameters.allocate();
  plan.emplace(tape, arena, options.plan);
  plan->bind();
}

/// A copy whose memory nobody takes before it is read.
Tensor ModelRun::kept(Net net, Tensor x, const std::string& name) const {
  const Tensor copy = net.resident(x.shape(), x.dtype(), name);
  net.record(copy_forward, in(net.materialize(x)), out(copy));
  return copy;
}

void ModelRun::fill_parameters() {
  for (Parameter& p : parameters.all())
    if (p.role == Role::counter)
      *static_cast<std::int64_t*>(p.value.data) = 0;
    else
      fill(p);
  parameters.changed_by_host();
}

void ModelRun::fill_image(const std::string& stream) { fill_image(tensor(stream, image.shape())); }

void ModelRun::fill_image(const std::vector<double>& nhwc) { store(*image.slot, nhwc); }

void ModelRun::fill_label(const std::vector<std::uint8_t>& classes) {
  check(static_cast<std::int64_t>(classes.size()) == label.shape().count(), "label",
        "{} values given for {}", classes.size(), to_string(label.shape()));
  std::ranges::copy(classes, static_cast<std::uint8_t*>(label.slot->data));
}

void activate(const Buffer& logits, FinalActivation activation) {
  if (activation == FinalActivation::none) return;
  const bool softmax = activation == FinalActivation::softmax2d;
  check(softmax || activation == FinalActivation::sigmoid, logits.name,
        "goldens are of sigmoid and softmax2d");
  const std::int64_t classes = logits.shape.c;
  visit(logits, [&](auto* data) {
    using T = std::remove_reference_t<decltype(*data)>;
    for (auto* pixel = data; pixel != data + logits.shape.count(); pixel += classes) {
      double sum = 0;
      for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(double{pixel[c]});
      for (std::int64_t c = 0; c < classes; ++c)
        pixel[c] = static_cast<T>(softmax ? std::exp(double{pixel[c]}) / sum
                                          : 1 / (1 + std::exp(-double{pixel[c]})));
    }
  });
}

std::vector<double> values(const Buffer& buffer) {
  std::vector<double> list;
  visit(buffer, [&](auto* data) { list.assign(data, data + buffer.shape.count()); });
  return list;
}

Figures figures(const Buffer& buffer) {
  Figures found;
  visit(buffer, [&](auto* data) { found = figures(data, buffer.shape); });
  return found;
}

double l2_error(const Figures& found, const Figures& golden) {
  if (golden.l2 == 0) return found.l2;
  return std::fabs(found.l2 - golden.l2) / golden.l2;
}

double value_error(const Figures& found, const Figures& golden, std::int64_t count) {
  const double rms = golden.l2 == 0 ? 1 : golden.l2 / std::sqrt(static_cast<double>(count));
  double worst = 0;
  for (std::size_t k = 0; k < found.at.size(); ++k)
    worst = worse(worst, std::fabs(found.at[k] - golden.at[k]) / rms);
  return worst;
}

}  // namespace fjord::golden
