// Scores from a confusion matrix over all pixels of a split.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/confusion.h"
#include "kernels/device.h"

namespace fjord {

/// A figure that is not defined (a class absent from truth and prediction, no pixels at all) has no
/// value and is left out of means.
using Figure = std::optional<double>;

struct ClassMetrics {
  std::string name;
  Figure iou, dice, precision, recall;
  std::int64_t pixels = 0;  // of the truth
};

struct Metrics {
  std::vector<ClassMetrics> classes;
  Figure miou;                 // over the classes that have an IoU
  Figure accuracy;             // of all pixels
  Figure mean_class_accuracy;  // mean recall over the classes that the truth has
  Figure fwiou;                // IoU weighted by the truth's pixels
};

class ConfusionMatrix {
 public:
  /// For logits of 1..256 channels; one channel means background and foreground.
  explicit ConfusionMatrix(int channels = 1);

  /// Counts a batch: n x h x w x channels logits against u8 labels (255 and unknown ones count
  /// nowhere), both in the memory of the stream's device. `threshold` is of the sigmoid, for one
  /// channel. Throws Error{numeric} when logits are NaN, and counts nothing then.
  void add(In logits, In label, double threshold, Stream& stream);
  /// Of a card's memory, which it takes for counting logits there.
  std::size_t card_bytes() const;
  /// Counts label images: pixels whose truth is not a class count nowhere; a prediction that is not
  /// a class throws Error{dataset} naming it, and nothing is counted.
  void add(std::span<const std::uint8_t> truth, std::span<const std::uint8_t> prediction);

  int classes() const { return classes_; }
  std::int64_t at(int truth, int prediction) const {
    return counts_[static_cast<std::size_t>(truth * classes_ + prediction)];
  }
  std::int64_t pixels() const;

  /// Names of the classes in order; default: background and foreground, or the class numbers.
  Metrics metrics(const std::vector<std::string>& names = {}) const;

 private:
  int classes_;
  std::vector<std::int64_t> counts_;  // confusion_cells, the last one always 0 here
  std::shared_ptr<DeviceBlock> scratch_;
};

/// The seed's seven figures. Recall and F1 are those of the foreground for two classes, else the
/// mean over classes.
struct SeedReport {
  Figure accuracy, class_accuracy;  // acc, acc_cls
  std::vector<Figure> iou;          // per class
  Figure miou, fwavacc, recall, f1;
};
SeedReport seed_report(const Metrics& metrics);

}  // namespace fjord
