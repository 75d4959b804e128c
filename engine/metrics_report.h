// Scores as users see them: the JSON of fjord-evaluate and tables.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/metrics.h"

namespace fjord {

/// {"classes":[{"name","iou","dice","precision","recall","pixels"}...], "miou", "accuracy",
/// "mean_class_accuracy", "fwiou", "confusion":[[...]]}: rows = truth; undefined figures are null.
nlohmann::ordered_json to_json(const Metrics& metrics, const ConfusionMatrix& confusion);
/// {"acc", "acc_cls", "iou":[...], "miou", "fwavacc", "recall", "f1"}.
nlohmann::ordered_json to_json(const SeedReport& report);

/// One line a class, then the means; undefined figures are "n/a", and how many classes the means
/// leave out is said.
std::string to_table(const Metrics& metrics);
std::string to_table(const SeedReport& report);

}  // namespace fjord
