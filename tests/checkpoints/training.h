// A stand-in for a training run: every value of the model and of its moments is made from the step.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "engine/checkpoint.h"
#include "tests/checkpoints/model.h"

namespace fjord::test {

struct TinyTraining {
  Parameters model;
  std::vector<float> first, second;
  Buffer first_moment, second_moment;

  explicit TinyTraining(std::int64_t moments = 40'000)
      : first(static_cast<std::size_t>(moments)), second(first) {
    add_small_model(model);
    first_moment = {"m", {1, 1, 1, moments}, DType::f32, first.data()};
    second_moment = {"v", {1, 1, 1, moments}, DType::f32, second.data()};
  }

  void go_to(std::int64_t step) {
    const float value = 1 + static_cast<float>(step);
    for (Parameter& p : model.all())
      if (p.role == Role::counter)
        *static_cast<std::int64_t*>(p.value.data) = step;
      else
        std::fill_n(static_cast<float*>(p.value.data), p.count(), value);
    std::fill(first.begin(), first.end(), value);
    std::iota(second.begin(), second.end(), value);
  }
  /// Whether everything here is what go_to(step) makes.
  bool is_at(std::int64_t step) {
    TinyTraining other(static_cast<std::int64_t>(first.size()));
    other.go_to(step);
    return state_hash(other.model) == state_hash(model) && other.first == first &&
           other.second == second;
  }

  std::vector<NamedBuffer> state() const {
    return {{"optimizer.m", &first_moment}, {"optimizer.v", &second_moment}};
  }
  Checkpoint checkpoint(std::int64_t step) const {
    return {.parameters = model,
            .state = state(),
            .scalars = {{"step", std::to_string(step)}, {"epoch", "3"}},
            .metadata = {{"architecture", "tiny"}},
            .config = "{}"};
  }
};

}  // namespace fjord::test
