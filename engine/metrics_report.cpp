// JSON and tables of scores.
#include "engine/metrics_report.h"

#include <algorithm>

namespace fjord {
namespace {

nlohmann::ordered_json json_of(const Figure& figure) {
  return figure ? nlohmann::ordered_json(*figure) : nlohmann::ordered_json(nullptr);
}

std::string text_of(const Figure& figure) {
  return figure ? fmt::format("{:.4f}", *figure) : std::string("n/a");
}

}  // namespace

nlohmann::ordered_json to_json(const Metrics& metrics, const ConfusionMatrix& confusion) {
  nlohmann::ordered_json json{{"classes", nlohmann::ordered_json::array()}};
  for (const ClassMetrics& one : metrics.classes)
    json["classes"].push_back({{"name", printable(one.name)},
                               {"iou", json_of(one.iou)},
                               {"dice", json_of(one.dice)},
                               {"precision", json_of(one.precision)},
                               {"recall", json_of(one.recall)},
                               {"pixels", one.pixels}});
  json["miou"] = json_of(metrics.miou);
  json["accuracy"] = json_of(metrics.accuracy);
  json["mean_class_accuracy"] = json_of(metrics.mean_class_accuracy);
  json["fwiou"] = json_of(metrics.fwiou);
  json["confusion"] = nlohmann::ordered_json::array();
  for (int truth = 0; truth < confusion.classes(); ++truth) {
    nlohmann::ordered_json row = nlohmann::ordered_json::array();
    for (int guess = 0; guess < confusion.classes(); ++guess)
      row.push_back(confusion.at(truth, guess));
    json["confusion"].push_back(std::move(row));
  }
  return json;
}

nlohmann::ordered_json to_json(const SeedReport& report) {
  nlohmann::ordered_json iou = nlohmann::ordered_json::array();
  for (const Figure& one : report.iou) iou.push_back(json_of(one));
  return {{"acc", json_of(report.accuracy)},
          {"acc_cls", json_of(report.class_accuracy)},
          {"iou", std::move(iou)},
          {"miou", json_of(report.miou)},
          {"fwavacc", json_of(report.fwavacc)},
          {"recall", json_of(report.recall)},
          {"f1", json_of(report.f1)}};
}

std::string to_table(const Metrics& metrics) {
  std::size_t width = 5;
  for (const ClassMetrics& one : metrics.classes)
    width = std::max(width, printable(one.name).size());
  std::string text = fmt::format("{:<{}} {:>8} {:>8} {:>9} {:>8} {:>12}\n", "class", width, "IoU",
                                 "Dice", "precision", "recall", "pixels");
  for (const ClassMetrics& one : metrics.classes)
    text += fmt::format("{:<{}} {:>8} {:>8} {:>9} {:>8} {:>12}\n", printable(one.name), width,
                        text_of(one.iou), text_of(one.dice), text_of(one.precision),
                        text_of(one.recall), one.pixels);
  const auto absent = std::count_if(metrics.classes.begin(), metrics.classes.end(),
                                    [](const ClassMetrics& one) { return !one.iou; });
  text += fmt::format(
      "mIoU {}{}, accuracy {}, mean class accuracy {}, frequency-weighted IoU {}\n",
      text_of(metrics.miou), absent ? fmt::format(" (without {} absent)", absent) : "",
      text_of(metrics.accuracy), text_of(metrics.mean_class_accuracy), text_of(metrics.fwiou));
  return text;
}

std::string to_table(const SeedReport& report) {
  std::vector<std::string> iou;
  for (const Figure& one : report.iou) iou.push_back(text_of(one));
  return fmt::format("acc {}\nacc_cls {}\niou {}\nmiou {}\nfwavacc {}\nrecall {}\nF1 {}\n",
                     text_of(report.accuracy), text_of(report.class_accuracy), fmt::join(iou, " "),
                     text_of(report.miou), text_of(report.fwavacc), text_of(report.recall),
                     text_of(report.f1));
}

}  // namespace fjord
