// JSON, CSV and text of image scores.
#include "engine/image_scores_report.h"

#include <algorithm>
#include <cmath>

namespace fjord {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Figure& figure) { return figure ? Json(*figure) : Json(nullptr); }

Json finite_json(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json calibration_json(const Calibration& calibration) {
  Json bins = Json::array();
  for (const Calibration::Bin& bin : calibration.bins) {
    const double pixels = static_cast<double>(bin.pixels);
    bins.push_back({{"pixels", bin.pixels},
                    {"confidence", finite_json(bin.confidence / pixels)},
                    {"accuracy", finite_json(static_cast<double>(bin.right) / pixels)}});
  }
  return bins;
}

// The weighted reductions alone take the weights: the others are SMP's without.
Json smp_json(const PixelStats& stats, const std::vector<double>& class_weights) {
  Json scores = Json::object();
  for (const NamedScore& one : smp_scores())
    for (const NamedReduction& way : smp_reductions()) {
      ScoreOptions options{.reduction = way.reduction};
      const bool weighted = options.reduction == Reduction::weighted ||
                            options.reduction == Reduction::weighted_imagewise;
      if (options.reduction == Reduction::none || (weighted && class_weights.empty())) continue;
      if (weighted) options.class_weights = class_weights;
      scores[std::string(one.name)][std::string(way.name)] =
          finite_json(score(stats, one.score, options)[0]);
    }
  return scores;
}

Json image_json(const ImageScore& image) {
  const Metrics metrics = image.confusion.metrics();
  Json json{{"image", printable(image.image)},
            {"miou", json_of(metrics.miou)},
            {"accuracy", json_of(metrics.accuracy)},
            {"classes", Json::array()}};
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) {
    const ClassMetrics& one = metrics.classes[c];
    json["classes"].push_back({{"name", printable(one.name)},
                               {"iou", json_of(one.iou)},
                               {"dice", json_of(one.dice)},
                               {"precision", json_of(one.precision)},
                               {"recall", json_of(one.recall)},
                               {"boundary_iou", json_of(boundary_iou(image.boundary[c]))},
                               {"pixels", one.pixels}});
  }
  return json;
}

std::string cell(const Figure& figure) { return figure ? fmt::format("{}", *figure) : ""; }

std::string quoted(std::string text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2)
    text.insert(at, 1, '"');
  return '"' + text + '"';
}

}  // namespace

Json to_json(const ImageScores& scores, const std::vector<double>& class_weights) {
  Json json{{"boundary_iou", Json::array()}};
  for (const Figure& one : scores.boundary_iou()) json["boundary_iou"].push_back(json_of(one));
  json["ece"] = json_of(scores.calibration().error());
  json["calibration"] = calibration_json(scores.calibration());
  json["smp"] = smp_json(scores.stats(), class_weights);
  json["per_image"] = Json::array();
  for (const ImageScore& image : scores.images()) json["per_image"].push_back(image_json(image));
  return json;
}

std::string to_csv(const ImageScores& scores) {
  std::string text = "image,class,iou,dice,precision,recall,boundary_iou,pixels\n";
  for (const ImageScore& image : scores.images()) {
    const Metrics metrics = image.confusion.metrics();
    for (std::size_t c = 0; c < metrics.classes.size(); ++c) {
      const ClassMetrics& one = metrics.classes[c];
      text += fmt::format("{},{},{},{},{},{},{},{}\n", quoted(printable(image.image)),
                          quoted(printable(one.name)), cell(one.iou), cell(one.dice),
                          cell(one.precision), cell(one.recall),
                          cell(boundary_iou(image.boundary[c])), one.pixels);
    }
  }
  return text;
}

std::string to_table(const ImageScores& scores) {
  const auto text_of = [](const Figure& f) { return f ? fmt::format("{:.4f}", *f) : "n/a"; };
  std::vector<std::string> borders;
  for (const Figure& one : scores.boundary_iou()) borders.push_back(text_of(one));
  std::vector<std::pair<double, std::string>> worst;
  for (const ImageScore& image : scores.images())
    if (const Figure miou = image.confusion.metrics().miou)
      worst.emplace_back(*miou, printable(image.image));
  const std::size_t shown = std::min<std::size_t>(3, worst.size());
  std::partial_sort(worst.begin(), worst.begin() + static_cast<std::ptrdiff_t>(shown), worst.end());
  std::string text = fmt::format("boundary IoU {}\ncalibration error {}\n", fmt::join(borders, " "),
                                 text_of(scores.calibration().error()));
  for (std::size_t i = 0; i < shown; ++i)
    text += fmt::format("{} {}: mIoU {:.4f}\n", i == 0 ? "lowest" : "      ", worst[i].second,
                        worst[i].first);
  return text;
}

}  // namespace fjord
