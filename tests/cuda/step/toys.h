// A small network that trains in milliseconds on either backend.
#pragma once

#include "engine/trainer.h"
#include "tests/cuda/step/twins.h"
#include "tests/engine/toy.h"

namespace fjord::test {

inline TrainerOptions toy_options(Backend backend, Precision precision = Precision::fp32) {
  TrainerOptions o = toy_options();
  o.backend = backend;
  o.precision = precision;
  return o;
}

struct Toy {
  explicit Toy(const TrainerOptions& o)
      : backend(o.backend), trainer(toy_model(o.classes), parameters, o) {}

  void fill(int number) {
    Waves waves(kToyBatch, 100);
    waves.start(0, number);
    waves.next(trainer.images(), trainer.labels());
  }
  double step(int number) {
    fill(number);
    return trainer.step(1e-2).loss;
  }
  std::vector<float> weights() const {
    std::vector<float> values(static_cast<std::size_t>(parameters.weight_count()));
    Stream in_order = stream(backend);
    device(backend).download(values.data(), parameters.weights.data, parameters.weights.bytes(),
                             in_order);
    return values;
  }

  Backend backend;
  Parameters parameters;
  Trainer trainer;
};

}  // namespace fjord::test
