// A model's record as metadata of its file.
#include "tools/model_record.h"

#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "models/config.h"

namespace fjord {

namespace {

using Json = nlohmann::json;

constexpr const char *kNormalize = "fjord.normalize", *kInput = "fjord.input",
                     *kLabels = "fjord.labels";

Framing parse_framing(const std::string& file, const std::string& text) {
  auto refuse = [&](std::string_view why) {
    throw Error(ExitCode::model_file, "metadata", file, why, "use a file as fjord-train wrote it");
  };
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) refuse("fjord.input is not a JSON object");
  auto pixels = [&](const char* key) -> std::int64_t {
    const auto value = json.find(key);
    if (value == json.end()) return 0;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > 65536)
      refuse(fmt::format("fjord.input has a wrong {}", key));
    return value->get<std::int64_t>();
  };
  Framing framing;
  framing.height = pixels("height"), framing.width = pixels("width");
  framing.crop_height = framing.crop_width = pixels("crop");
  const auto resize = json.find("resize");
  if (resize == json.end() || !resize->is_string() ||
      (*resize != "nearest" && *resize != "linear" && *resize != "area"))
    refuse("fjord.input has a wrong resize");
  framing.resampling = resampling_of(resize->get<std::string>());
  return framing;
}

}  // namespace

Resampling resampling_of(const std::string& name) {
  return name == "linear" ? Resampling::linear
         : name == "area" ? Resampling::area
                          : Resampling::nearest;
}

std::string name_of(Resampling method) {
  return method == Resampling::linear ? "linear" : method == Resampling::area ? "area" : "nearest";
}

std::string to_string(const Framing& framing) {
  if (framing.crops())
    return fmt::format("crops of {}x{}", framing.crop_height, framing.crop_width);
  if (!framing.resizes()) return "at its own size";
  return fmt::format("resized to {}x{} by {}", framing.height, framing.width,
                     name_of(framing.resampling));
}

Metadata to_metadata(const ModelRecord& record) {
  Metadata metadata = model_metadata(record.model);
  if (record.normalization) metadata[kNormalize] = record.normalization->text();
  if (record.labels) metadata[kLabels] = record.labels->text();
  if (record.framing) {
    const Framing& framing = *record.framing;
    const Json json = {{"height", framing.height},
                       {"width", framing.width},
                       {"crop", framing.crop_height},
                       {"resize", name_of(framing.resampling)}};
    metadata[kInput] = json.dump();
  }
  return metadata;
}

void read_metadata(ModelRecord& record, const std::string& file, const Metadata& metadata) {
  auto text = [&](const char* key) -> const std::string* {
    const auto row = metadata.find(key);
    return row == metadata.end() ? nullptr : &row->second;
  };
  if (const auto options = model_options(file, metadata)) record.model = *options;
  if (const auto* row = text(kNormalize)) record.normalization = Normalization::parse(*row);
  if (const auto* row = text(kInput)) record.framing = parse_framing(file, *row);
  if (const auto* row = text(kLabels)) {
    try {
      record.labels = LabelMap::parse(*row, label_classes(record.model.classes));
    } catch (const Error& error) {
      throw Error(ExitCode::model_file, "metadata", file,
                  fmt::format("fjord.labels cannot be read: {}", error.what()),
                  "use a file as fjord-train wrote it");
    }
  }
}

int label_classes(int classes) { return std::max(classes, 2); }

std::vector<std::string> class_names(int classes) {
  if (classes == 1) return {"background", "foreground"};
  std::vector<std::string> names;
  for (int k = 0; k < classes; ++k) names.push_back(fmt::format("{}", k));
  return names;
}

}  // namespace fjord
