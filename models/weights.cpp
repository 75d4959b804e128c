// Which tensor of an encoder's file fills which parameter.
#include "models/weights.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "kernels/error.h"
#include "models/import.h"

namespace fjord {

namespace {

// Classifiers of the encoders that SMP reads (its loaders drop the same).
constexpr std::string_view kClassifiers[] = {"fc.",          "_fc.",  "classifier.",
                                             "last_linear.", "head.", "linear."};

using TensorNames = std::map<std::string, const TensorEntry*>;

struct EncoderMap {
  std::vector<Assignment> assignments;
  std::vector<std::string> notes;
  Mismatch mismatch{.of = "this encoder"};
  std::vector<std::string> classifier;
  std::set<const Parameter*> covered;  // the file has a tensor of their name
  int others = 0;                      // tensors of a full model outside of its encoder
};

void map_tensors(const TensorNames& tensors, Parameters& parameters, EncoderMap& map) {
  const bool full = std::ranges::any_of(
      tensors, [](const auto& row) { return row.first.starts_with("encoder."); });
  const Parameter* first = first_filter(parameters);
  for (const auto& [name, tensor] : tensors) {
    if (full && !name.starts_with("encoder.")) {
      ++map.others;
      continue;
    }
    Parameter* parameter = encoder_parameter(parameters, name);
    map.covered.insert(parameter);
    if (!parameter) {
      const bool dropped = is_classifier(full ? name.substr(8) : name);
      (dropped ? map.classifier : map.mismatch.extra).push_back(printable(name));
    } else if (auto assignment = fit_filter(*tensor, *parameter, parameter == first, map.notes)) {
      map.assignments.push_back(std::move(*assignment));
    } else {
      map.mismatch.add_reshaped(*parameter, *tensor);
    }
  }
}

void find_missing(const Parameters& parameters, EncoderMap& map) {
  for (const Parameter& p : parameters.all())
    if (p.name.starts_with("encoder.") && p.role != Role::counter && !map.covered.contains(&p))
      map.mismatch.missing.push_back(p.name);
}

}  // namespace

bool is_classifier(std::string_view name) {
  return std::ranges::any_of(kClassifiers, [&](auto prefix) { return name.starts_with(prefix); });
}

Parameter* encoder_parameter(Parameters& parameters, const std::string& name) {
  if (name.starts_with("encoder.")) return parameters.find(name);
  Parameter* found = parameters.find("encoder." + name);
  return found ? found : parameters.find("encoder.model." + name);
}

const Parameter* first_filter(const Parameters& parameters) {
  for (const Parameter& p : parameters.all())
    if (p.name.starts_with("encoder.") && p.filter) return &p;
  return nullptr;
}

std::optional<Assignment> fit_filter(const TensorEntry& tensor, Parameter& parameter, bool first,
                                     std::vector<std::string>& notes) {
  std::vector<std::int64_t> shape = parameter.file_shape();
  if (tensor.shape == shape) return Assignment{&tensor, &parameter, {}};
  if (!first || shape.size() != 4) return {};
  const FirstConv to{shape[0], shape[1], shape[2] * shape[3]};
  shape[1] = 3;
  if (tensor.shape != shape) return {};
  notes.push_back(fmt::format(
      "{}: 3 input channels adapted to {} ({})", parameter.name, to.channels,
      to.channels == 1 ? "their sum" : fmt::format("in turn, times 3/{}", to.channels)));
  return Assignment{&tensor, &parameter, [to](const std::vector<float>& filter) {
                      return adapt_first_conv(filter, to);
                    }};
}

std::vector<float> adapt_first_conv(const std::vector<float>& filter, FirstConv to) {
  std::vector<float> adapted(static_cast<std::size_t>(to.filters * to.channels * to.window));
  const float scale = static_cast<float>(3.0 / static_cast<double>(to.channels));
  for (std::int64_t k = 0; k < to.filters; ++k)
    for (std::int64_t c = 0; c < to.channels; ++c)
      for (std::int64_t i = 0; i < to.window; ++i) {
        const auto at = [&](std::int64_t channel) {
          return filter[(k * 3 + channel) * to.window + i];
        };
        adapted[(k * to.channels + c) * to.window + i] =
            to.channels == 1 ? at(0) + at(1) + at(2) : at(c % 3) * scale;
      }
  return adapted;
}

Loaded load_encoder_weights(const std::filesystem::path& path, Parameters& parameters) {
  return load_encoder_weights(*open_tensors(path), parameters);
}

Loaded load_encoder_weights(const TensorFile& file, Parameters& parameters) {
  EncoderMap map;
  map.notes = file.notes();
  const TensorNames tensors = without_prefixes(
      file,
      [&](const std::string& name) {
        return encoder_parameter(parameters, name) || is_classifier(name);
      },
      map.notes);
  map_tensors(tensors, parameters, map);
  find_missing(parameters, map);
  if (map.mismatch.count() > 0) map.mismatch.remedy = nearest_network(file, map.mismatch.count());
  refuse_mismatch(file, map.mismatch);
  Loaded loaded = assign(file, map.assignments, parameters);
  loaded.notes.insert(loaded.notes.begin(), map.notes.begin(), map.notes.end());
  if (!map.classifier.empty())
    loaded.notes.push_back(fmt::format("classifier left out ({})", first_ten(map.classifier)));
  if (map.others > 0)
    loaded.notes.push_back(fmt::format("{} tensors outside of the encoder left out", map.others));
  loaded.notes.push_back(fmt::format("{} encoder tensors read", map.assignments.size()));
  return loaded;
}

}  // namespace fjord
