// Scores of a split, image by image, as users see them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/image_scores.h"

namespace fjord {

/// {"boundary_iou":[per class], "ece", "calibration":[{"pixels", "confidence", "accuracy"}...],
/// "smp":{name: {reduction: value}}, "per_image":[{"image", "miou", "accuracy",
/// "classes":[{"name", "iou", "dice", "precision", "recall", "boundary_iou", "pixels"}...]}...]}.
/// Undefined figures are null, "ece" too where there were no logits.
nlohmann::ordered_json to_json(const ImageScores& scores);

/// image,class,iou,dice,precision,recall,boundary_iou,pixels: a row for each image and class;
/// undefined figures are empty.
std::string to_csv(const ImageScores& scores);

/// Boundary IoU of each class, the calibration error, and the images with the lowest mean IoU.
std::string to_table(const ImageScores& scores);

}  // namespace fjord
