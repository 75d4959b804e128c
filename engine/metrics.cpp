// From counts to scores.
#include "engine/metrics.h"

#include <numeric>
#include <utility>

namespace fjord {
namespace {

Figure ratio(std::int64_t part, std::int64_t whole) {
  if (whole == 0) return {};
  return static_cast<double>(part) / static_cast<double>(whole);
}

template <class Get>
Figure mean(const std::vector<ClassMetrics>& classes, Get figure_of) {
  double sum = 0;
  int count = 0;
  for (const ClassMetrics& one : classes)
    if (const Figure figure = figure_of(one)) {
      sum += *figure;
      ++count;
    }
  if (count == 0) return {};
  return sum / count;
}

std::string class_name(const std::vector<std::string>& names, int c, int classes) {
  if (static_cast<std::size_t>(c) < names.size()) return names[static_cast<std::size_t>(c)];
  if (classes == 2) return c == 0 ? "background" : "foreground";
  return std::to_string(c);
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(int channels)
    : classes_(static_cast<int>(confusion_classes(channels))) {
  check(channels >= 1 && channels <= 256, "confusion matrix", "of 1..256 channels, got {}",
        channels);
  counts_.assign(static_cast<std::size_t>(confusion_cells(classes_)), 0);
}

std::size_t ConfusionMatrix::card_bytes() const { return counts_.size() * sizeof(std::int64_t); }

void ConfusionMatrix::add(In logits, In label, double threshold, Stream& stream) {
  check(confusion_classes(logits.shape().c) == classes_, "confusion matrix",
        "it has {} classes, the logits are {}", classes_, to_string(logits.shape()));
  check(label.dtype() == DType::u8 && label.shape().count() == logits.shape().pixels(),
        "confusion matrix", "it expects a u8 label for each pixel of {}, got {}",
        to_string(logits.shape()), to_string(label.shape()));
  std::vector<std::int64_t> sums = counts_;
  Buffer counts{"confusion", {1, 1, 1, confusion_cells(classes_)}, DType::i64, sums.data()};
  Device& home = device(stream.backend);
  if (!home.is_host()) {
    if (!scratch_) scratch_ = std::make_shared<DeviceBlock>(stream.backend, counts.bytes());
    counts.data = scratch_->data();
    home.upload(counts.data, sums.data(), counts.bytes(), stream);
  }
  confusion_count(logits, label, InOut{&counts}, {.threshold_logit = threshold_logit(threshold)},
                  stream);
  home.download(sums.data(), counts.data, counts.bytes(), stream);
  if (sums.back() > 0)
    throw Error(ExitCode::numeric, "nan",
                fmt::format("the logits of {} pixels are not numbers", sums.back()),
                "a NaN belongs to no class", "check the model's weights with fjord-inspect");
  counts_ = std::move(sums);
}

void ConfusionMatrix::add(std::span<const std::uint8_t> truth,
                          std::span<const std::uint8_t> prediction) {
  check(truth.size() == prediction.size(), "confusion matrix",
        "{} pixels of truth, {} of prediction", truth.size(), prediction.size());
  for (std::size_t i = 0; i < truth.size(); ++i)
    if (truth[i] < classes_ && prediction[i] >= classes_)
      throw Error(ExitCode::dataset, "label-value",
                  fmt::format("predicted class {} at pixel {}", prediction[i], i),
                  fmt::format("the classes are 0..{}", classes_ - 1),
                  "give the label map that the predictions were written with by --labels");
  for (std::size_t i = 0; i < truth.size(); ++i)
    if (truth[i] < classes_)
      ++counts_[static_cast<std::size_t>(truth[i] * classes_ + prediction[i])];
}

std::int64_t ConfusionMatrix::pixels() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
}

Metrics ConfusionMatrix::metrics(const std::vector<std::string>& names) const {
  Metrics metrics;
  std::int64_t correct = 0;
  double weighted_iou = 0;
  for (int c = 0; c < classes_; ++c) {
    std::int64_t truth = 0, prediction = 0;
    for (int k = 0; k < classes_; ++k) {
      truth += at(c, k);
      prediction += at(k, c);
    }
    const std::int64_t hit = at(c, c);
    metrics.classes.push_back({class_name(names, c, classes_), ratio(hit, truth + prediction - hit),
                               ratio(2 * hit, truth + prediction), ratio(hit, prediction),
                               ratio(hit, truth), truth});
    correct += hit;
    weighted_iou += static_cast<double>(truth) * metrics.classes.back().iou.value_or(0);
  }
  metrics.miou = mean(metrics.classes, [](const ClassMetrics& c) { return c.iou; });
  metrics.accuracy = ratio(correct, pixels());
  metrics.mean_class_accuracy =
      mean(metrics.classes, [](const ClassMetrics& c) { return c.recall; });
  if (pixels() > 0) metrics.fwiou = weighted_iou / static_cast<double>(pixels());
  return metrics;
}

SeedReport seed_report(const Metrics& metrics) {
  SeedReport report{
      metrics.accuracy, metrics.mean_class_accuracy, {}, metrics.miou, metrics.fwiou, {}, {}};
  for (const ClassMetrics& one : metrics.classes) report.iou.push_back(one.iou);
  if (metrics.classes.size() == 2) {
    report.recall = metrics.classes.back().recall;
    report.f1 = metrics.classes.back().dice;
  } else {
    report.recall = metrics.mean_class_accuracy;
    report.f1 = mean(metrics.classes, [](const ClassMetrics& c) { return c.dice; });
  }
  return report;
}

}  // namespace fjord
