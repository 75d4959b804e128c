// SMP's config.json -> ModelOptions.
#include "models/config.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/error.h"
#include "models/config_names.h"

namespace fjord {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kLimit = 1'000'000;  // bytes of a config
constexpr std::int64_t kMaxChannels = 65536;

// Reads one config; remembers its name for the errors.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  ModelConfig read(const std::string& text);

 private:
  [[noreturn]] void refuse(std::string_view why, std::string_view remedy) const {
    throw Error(ExitCode::model_file, "config", name_, why, remedy);
  }
  Json parse(const std::string& text) const;
  void take(const std::string& key, const Json& value);
  bool take_option(const std::string& key, const Json& value);
  bool take_decoder_option(const std::string& key, const Json& value);
  template <class Value, std::size_t count>
  Value one_of(const std::string& key, const Json& value, const Named<Value> (&known)[count]) const;
  ClassificationHead classification(const Json& value);
  DecoderNorm norm(const std::string& key, const Json& value);
  int integer(const std::string& key, const Json& value, std::int64_t low, std::int64_t high) const;
  std::string known_name(const std::string& key, const Json& value,
                         const std::vector<std::string_view>& known) const;
  std::vector<int> channels(const std::string& key, const Json& value) const;
  void drop_unused(const Json& json);
  FinalActivation activation(std::string_view of, const Json& value);

  static std::string shown(const Json& value) {
    return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
  }

  std::string name_;
  ModelConfig config_;
};

Json Reader::parse(const std::string& text) const {
  if (text.size() > kLimit) refuse(fmt::format("longer than {} bytes", kLimit), "save it again");
  std::set<std::string> keys;
  const auto unique = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth == 1 && event == Json::parse_event_t::key &&
        !keys.insert(value.get<std::string>()).second)
      refuse(fmt::format("'{}' is given twice", printable(value.get<std::string>())),
             "correct the file");
    return true;
  };
  Json json;
  try {
    json = Json::parse(text, unique);
  } catch (const Json::parse_error& error) {
    refuse(fmt::format("not valid JSON (byte {})", error.byte), "correct the file");
  }
  if (!json.is_object()) refuse("not a JSON object", "correct the file");
  return json;
}

int Reader::integer(const std::string& key, const Json& value, std::int64_t low,
                    std::int64_t high) const {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number >= static_cast<std::uint64_t>(low) && number <= static_cast<std::uint64_t>(high))
      return static_cast<int>(number);
  }
  refuse(fmt::format("'{}' is {}, expected a whole number from {} to {}", key, shown(value), low,
                     high),
         "correct the file");
}

std::string Reader::known_name(const std::string& key, const Json& value,
                               const std::vector<std::string_view>& known) const {
  const std::string name = value.is_string() ? value.get<std::string>() : "";
  if (std::ranges::find(known, name) == known.end())
    refuse(fmt::format("'{}' is {}, which this build does not have; it has {}", key, shown(value),
                       fmt::join(known, ", ")),
           "use a model of one of these");
  return name;
}

template <class Value, std::size_t count>
Value Reader::one_of(const std::string& key, const Json& value,
                     const Named<Value> (&known)[count]) const {
  std::vector<std::string_view> names;
  for (const Named<Value>& row : known) names.push_back(row.name);
  const std::string name = known_name(key, value, names);
  return std::ranges::find(known, std::string_view(name), &Named<Value>::name)->value;
}

std::vector<int> Reader::channels(const std::string& key, const Json& value) const {
  if (!value.is_array() || value.size() > 8)
    refuse(fmt::format("'{}' is {}, expected a list of numbers", key, shown(value)),
           "correct the file");
  std::vector<int> list;
  for (const Json& number : value) list.push_back(integer(key, number, 1, kMaxChannels));
  return list;
}

// true, false, a name, or {"type": name, ...} with what torch's layer takes. Without "affine" SMP
// makes no instance norm: its own construction fails.
DecoderNorm Reader::norm(const std::string& key, const Json& value) {
  if (value.is_boolean()) return value ? DecoderNorm::batchnorm : DecoderNorm::identity;
  if (!value.is_object())
    return value == "instancenorm"
               ? norm(key, {{"type", value}})
               : one_of(key, value.is_string() ? Json(lower(value.get<std::string>())) : value,
                        kNorms);
  const DecoderNorm kind = one_of(key, value.value("type", Json()), kNorms);
  Json full = {{"type", value["type"]}, {"eps", 1e-5}, {"momentum", 0.1}};
  full["affine"] = kind == DecoderNorm::batchnorm;
  full["track_running_stats"] = kind == DecoderNorm::batchnorm;
  full.update(value);
  Json built = {{"type", value["type"]}, {"eps", 1e-5}, {"momentum", 0.1}, {"affine", true}};
  built["track_running_stats"] = kind == DecoderNorm::batchnorm;
  if (kind != DecoderNorm::identity && full != built)
    refuse(fmt::format("'{}' is {}, fjord builds {} only", key, shown(value),
                       kind == DecoderNorm::instance ? R"({"type":"instancenorm","affine":true})"
                                                     : R"("batchnorm")"),
           "use a model of that");
  return kind;
}

FinalActivation Reader::activation(std::string_view of, const Json& value) {
  if (value.is_null()) return FinalActivation::none;
  const FinalActivation kind = one_of("activation", value, kFinalActivations);
  if (kind != FinalActivation::none)
    config_.notes.push_back(
        fmt::format("{}: activation {} of {} is kept for exports: outputs of fjord are logits",
                    name_, shown(value), of));
  return kind;
}

ClassificationHead Reader::classification(const Json& given) {
  if (!given.is_object() || !given.contains("classes"))
    refuse(fmt::format("'aux_params' is {}, expected its number of 'classes'", shown(given)),
           "correct the file");
  ClassificationHead head;
  for (const auto& [key, value] : given.items()) {
    if (key == "classes") {
      head.classes = integer(key, value, 1, kMaxChannels);
    } else if (key == "pooling") {
      head.pooling = one_of(key, value, kPoolings);
    } else if (key == "dropout") {
      head.dropout = value.is_number() ? value.get<double>() : value.is_null() ? 0 : -1;
      if (!(head.dropout >= 0 && head.dropout < 1))
        refuse(fmt::format("'dropout' is {}, expected a number from 0 to below 1", shown(value)),
               "correct the file");
    } else if (key == "activation") {
      head.activation = activation("scores", value);
    } else {
      refuse(fmt::format("'aux_params' has '{}', which SMP's head does not have",
                         printable(key.substr(0, 60))),
             "correct the file");
    }
  }
  return head;
}

bool Reader::take_option(const std::string& key, const Json& value) {
  ModelOptions& o = config_.options;
  if (key == "_model_class") {
    const Json name = value.is_string() ? Json(lower(value.get<std::string>())) : value;
    o.arch = known_name(key, name, architecture_names());
  } else if (key == "encoder_name") {
    const std::string name = value.is_string() ? value.get<std::string>() : "";
    const bool alias = name.starts_with("tu-resnest");  // what SMP makes of timm-resnest
    o.encoder = known_name(key, alias ? Json("timm-" + name.substr(3)) : value, encoder_names());
  } else if (key == "encoder_depth") {
    o.encoder_depth = integer(key, value, 3, 5);
  } else if (key == "in_channels") {
    o.in_channels = integer(key, value, 1, kMaxChannels);
  } else if (key == "classes") {
    o.classes = integer(key, value, 1, kMaxChannels);
  } else if (key == "decoder_channels") {
    o.decoder_channels = channels(key, value);
  } else {
    return take_decoder_option(key, value);
  }
  return true;
}

bool Reader::take_decoder_option(const std::string& key, const Json& value) {
  ModelOptions& o = config_.options;
  if (key == "decoder_pab_channels") {
    o.pab_channels = integer(key, value, 1, kMaxChannels);
  } else if (key == "decoder_attention_type") {
    o.attention = value.is_null() ? Attention::none : one_of(key, value, kAttentions);
  } else if (key == "decoder_interpolation") {
    o.interpolation = one_of(key, value, kInterpolations);
  } else if (key == "decoder_use_norm" || key == "decoder_use_batchnorm") {
    o.decoder_norm = norm(key, value);
  } else {
    return false;
  }
  return true;
}

void Reader::take(const std::string& key, const Json& value) {
  if (take_option(key, value) || key == "encoder_weights") return;
  if (key == "aux_params") {
    if (!value.is_null()) config_.options.classification = classification(value);
  } else if (key == "activation") {
    config_.options.activation = activation("masks", value);
  } else if (!key.starts_with("_")) {
    config_.notes.push_back(fmt::format("{}: '{}' is not known and has no effect", name_,
                                        printable(key.substr(0, 60))));
  }
}

// As in SMP, a keyword that the class does not have goes to the encoder, which ignores it.
void Reader::drop_unused(const Json& json) {
  ModelOptions& o = config_.options;
  auto note = [&](const char* key) {
    if (json.contains(key))
      config_.notes.push_back(fmt::format("{}: '{}' has no effect on {}", name_, key, o.arch));
  };
  if (!has_attention(o.arch)) {
    if (o.attention != Attention::none) note("decoder_attention_type");
    o.attention = Attention::none;
  }
  if (o.arch != "manet") {
    note("decoder_pab_channels");
    o.pab_channels = ModelOptions{}.pab_channels;
  }
  if (o.arch != "linknet") return;
  note("decoder_channels");
  note("decoder_interpolation");
  o.decoder_channels = default_channels(o.encoder_depth);
  o.interpolation = Interpolation::nearest;
}

ModelConfig Reader::read(const std::string& text) {
  const Json json = parse(text);
  for (const auto& [key, value] : json.items()) take(key, value);
  const ModelOptions& o = config_.options;
  if (!json.contains("_model_class"))
    config_.notes.push_back(fmt::format("{}: no '_model_class', taken for Unet", name_));
  drop_unused(json);
  if (static_cast<int>(o.decoder_channels.size()) != o.encoder_depth)
    refuse(fmt::format("'decoder_channels' has {} numbers for an 'encoder_depth' of {}",
                       o.decoder_channels.size(), o.encoder_depth),
           "correct the file");
  return std::move(config_);
}

}  // namespace

ModelConfig parse_smp_config(const std::string& name, const std::string& text) {
  return Reader(name).read(text);
}

ModelConfig read_smp_config(const std::filesystem::path& path) {
  const std::string name = printable(path.native());
  std::ifstream file(path, std::ios::binary);
  std::string text(kLimit + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad())
    throw Error(ExitCode::io, "open", name, "it cannot be read", "check the path");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_smp_config(name, text);
}

std::optional<ModelOptions> model_options(const std::string& name, const Metadata& metadata) {
  const auto row = metadata.find(std::string(kModelKey));
  if (row == metadata.end()) return {};
  return parse_smp_config(name + ", metadata", row->second).options;
}

}  // namespace fjord
