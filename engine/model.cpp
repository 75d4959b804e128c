// Parameters are declared by recording their model once.
#include "engine/model.h"

namespace fjord {

void list_parameters(Parameters& parameters, const Model& model, int bands, Backend backend) {
  Tape tape(parameters, {.backend = backend, .dtype = parameters.dtype, .mode = Mode::declare});
  const Net net{&tape, ""};
  model(net, net.resident({1, 64, 64, bands}, parameters.dtype, "image"));
}

void declare_parameters(Parameters& parameters, const Model& model, int bands, std::uint64_t seed,
                        Backend backend) {
  if (parameters.allocated()) return;
  list_parameters(parameters, model, bands, backend);
  parameters.allocate(backend);
  parameters.initialize(seed);
}

}  // namespace fjord
