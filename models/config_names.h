// Which words of SMP's config.json stand for what.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "kernels/error.h"
#include "models/models.h"

namespace fjord {

/// Where model files keep the options, among their metadata.
inline constexpr std::string_view kModelKey = "fjord.model";

/// SMP's classes; an architecture's name is its class in lower case.
inline constexpr std::string_view kClasses[] = {
    "Unet",      "UnetPlusPlus",  "MAnet", "Linknet", "FPN",       "PSPNet",
    "DeepLabV3", "DeepLabV3Plus", "PAN",   "UPerNet", "Segformer", "DPT"};

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};
inline constexpr Named<Attention> kAttentions[] = {{"scse", Attention::scse}};
inline constexpr Named<Pooling> kPoolings[] = {{"avg", Pooling::avg}, {"max", Pooling::max}};
inline constexpr Named<FinalActivation> kFinalActivations[] = {
    {"identity", FinalActivation::none},
    {"sigmoid", FinalActivation::sigmoid},
    {"softmax", FinalActivation::softmax},
    {"softmax2d", FinalActivation::softmax2d},
    {"logsoftmax", FinalActivation::logsoftmax},
    {"tanh", FinalActivation::tanh},
    {"argmax", FinalActivation::argmax},
    {"argmax2d", FinalActivation::argmax2d},
    {"clamp", FinalActivation::clamp}};
inline constexpr Named<DecoderNorm> kNorms[] = {{"batchnorm", DecoderNorm::batchnorm},
                                                {"identity", DecoderNorm::identity},
                                                {"instancenorm", DecoderNorm::instance}};
inline constexpr Named<Interpolation> kInterpolations[] = {
    {"nearest", Interpolation::nearest},
    {"nearest-exact", Interpolation::nearest_exact},
    {"bilinear", Interpolation::bilinear},
    {"bicubic", Interpolation::bicubic},
    {"area", Interpolation::area}};

template <class Value, std::size_t count>
std::string_view name_of(Value value, const Named<Value> (&known)[count]) {
  return std::ranges::find(known, value, &Named<Value>::value)->name;
}

template <class Value, std::size_t count>
Value value_of(std::string_view name, const Named<Value> (&known)[count]) {
  const auto row = std::ranges::find(known, name, &Named<Value>::name);
  check(row != std::end(known), "option", "'{}' is not one of its names", name);
  return row->value;
}

inline std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

}  // namespace fjord
