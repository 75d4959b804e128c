// A small model's parameters, as a recording would create them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/parameters.h"
#include "engine/safetensors.h"

namespace fjord::test {

/// encoder.conv1 (4 filters of 3 x 2 on `channels`), encoder.bn1, and a head of one class.
inline void add_small_model(Parameters& p, std::int64_t channels = 3) {
  const auto weight = Role::weight, statistic = Role::statistic;
  p.get("encoder.conv1.weight", {4, 3, 2, channels}, true, weight, Init::kaiming_normal_fan_out);
  p.get("encoder.bn1.weight", {1, 1, 1, 4}, false, weight, Init::ones);
  p.get("encoder.bn1.bias", {1, 1, 1, 4}, false, weight, Init::zeros);
  p.get("encoder.bn1.running_mean", {1, 1, 1, 4}, false, statistic, Init::zeros);
  p.get("encoder.bn1.running_var", {1, 1, 1, 4}, false, statistic, Init::ones);
  p.get("encoder.bn1.num_batches_tracked", {}, false, Role::counter, Init::zeros);
  p.get("segmentation_head.0.weight", {1, 1, 1, 4}, true, weight, Init::xavier_uniform);
  p.get("segmentation_head.0.bias", {1, 1, 1, 1}, false, weight, Init::zeros);
  p.allocate();
  p.initialize(1);
}

/// A tensor of a file that a test makes; f32 unless said.
inline TensorSource source(std::string name, std::vector<std::int64_t> shape,
                           std::vector<float> values) {
  return {
      std::move(name), FileType::f32, std::move(shape),
      [values = std::move(values)](const Sink& sink) { sink(std::as_bytes(std::span(values))); }};
}
inline TensorSource raw_source(std::string name, FileType type, std::vector<std::int64_t> shape,
                               std::vector<std::byte> bytes) {
  return {std::move(name), type, std::move(shape),
          [bytes = std::move(bytes)](const Sink& sink) { sink(bytes); }};
}

inline float* values(Parameters& p, std::string_view name) {
  return static_cast<float*>(p.find(name)->value.data);
}

}  // namespace fjord::test
