// Scores of a split, image by image, as users see them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/image_scores.h"

namespace fjord {

/// {"boundary_iou":[per class], "ece", "calibration":[{"pixels", "confidence", "accuracy"}...],
/// "smp":{name: {reduction: value}}, "per_image":[{"image", "miou", "accuracy",
/// "classes":[{"name", "iou", "dice", "precision", "recall", "boundary_iou", "pixels"}...]}...]}.
/// Undefined figures are null, "ece" too where there were no logits. "smp" has the reductions
/// weighted and weighted-imagewise where there are class weights, one for each class of stats().
nlohmann::ordered_json to_json(const ImageScores& scores,
                               const std::vector<double>& class_weights = {});

/// image,class,iou,dice,precision,recall,boundary_iou,pixels: a row for each image and class;
/// undefined figures are empty.
std::string to_csv(const ImageScores& scores);

/// Boundary IoU of each class, the calibration error, and the images with the lowest mean IoU.
std::string to_table(const ImageScores& scores);

}  // namespace fjord
