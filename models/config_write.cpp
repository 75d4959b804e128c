// ModelOptions -> SMP's config.json, and our own files' metadata.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "models/config.h"
#include "models/config_names.h"

namespace fjord {

namespace {

using Json = nlohmann::json;

Json norm_json(DecoderNorm norm) {
  const std::string_view name = name_of(norm, kNorms);
  if (norm != DecoderNorm::instance) return name;
  return {{"affine", true}, {"type", name}};
}

Json activation_json(FinalActivation activation) {
  if (activation == FinalActivation::none) return nullptr;
  return name_of(activation, kFinalActivations);
}

Json classification_json(const std::optional<ClassificationHead>& head) {
  if (!head) return nullptr;
  return {{"activation", activation_json(head->activation)},
          {"classes", head->classes},
          {"dropout", head->dropout},
          {"pooling", name_of(head->pooling, kPoolings)}};
}

Json smp_json(const ModelOptions& options) {
  const auto row = std::ranges::find_if(
      kClasses, [&](std::string_view name) { return lower(name) == options.arch; });
  check(row != std::end(kClasses), "smp_config", "SMP has no class for '{}'", options.arch);
  const bool linknet = options.arch == "linknet";
  Json json = {{"_model_class", *row},
               {"activation", activation_json(options.activation)},
               {"aux_params", classification_json(options.classification)},
               {"classes", options.classes},
               {"decoder_use_norm", norm_json(options.decoder_norm)},
               {"encoder_depth", options.encoder_depth},
               {"encoder_name", options.encoder},
               {"encoder_weights", nullptr},
               {"in_channels", options.in_channels}};
  if (linknet) return json;
  json["decoder_channels"] = options.decoder_channels;
  json["decoder_interpolation"] = name_of(options.interpolation, kInterpolations);
  if (options.arch == "manet") {
    json["decoder_pab_channels"] = options.pab_channels;
    return json;
  }
  const bool scse = options.attention == Attention::scse;
  json["decoder_attention_type"] = scse ? Json("scse") : Json(nullptr);
  return json;
}

}  // namespace

std::string smp_config(const ModelOptions& options) { return smp_json(options).dump(2); }

Metadata model_metadata(const ModelOptions& options) {
  return {{std::string(kModelKey), smp_json(options).dump()}};
}

}  // namespace fjord
