// cuda_goldens: SMP's outputs of whole models, beside what a card computes in each precision.
// Prints a row a model and precision; fails where one is out of its bound.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "engine/evaluator.h"
#include "kernels/cpu/backend.h"
#include "kernels/plugin.h"
#include "tests/golden/entries.h"

namespace fjord::golden {

namespace {

struct Tried {
  const char* name;
  Precision precision;
  // Of a value's distance by the tensor's rms: the rounding of products, through some forty layers.
  double bound;
};
constexpr Tried kTried[]{{"fp32", Precision::fp32, 1e-4},
                         {"tf32", Precision::tf32, 2e-2},
                         {"fp16", Precision::fp16, 2e-2},
                         {"bf16", Precision::bf16, 1e-1}};

void fill(Parameters& parameters) {
  for (Parameter& p : parameters.all()) {
    if (p.role == Role::counter) continue;
    const std::vector<std::int64_t> shape = p.file_shape();
    std::vector<float> values(static_cast<std::size_t>(p.count()));
    for (std::size_t j = 0; j < values.size(); ++j)
      values[j] = static_cast<float>(parameter(p.name, shape, static_cast<std::int64_t>(j)));
    parameters.set_file_values(p, values);
  }
}

double distance_of(const ModelEntry& entry, Backend backend, Precision precision) {
  const Model model = [m = entry.model](Net net, Tensor image) {
    return build_model(net, image, m);
  };
  Parameters parameters;
  declare_parameters(parameters, model, static_cast<int>(entry.image.c), 0, backend);
  fill(parameters);
  Arena arena(backend);
  Evaluator evaluator(model, parameters, arena, backend, {}, precision);
  const std::vector<double> image = tensor(entry.input, entry.image);
  const std::vector<float> values(image.begin(), image.end());
  const float* logits = evaluator.predict(entry.image, values.data());
  const NamedFigures& wanted = entry.outputs.front();  // not a classification head's
  return distance(figures(logits, wanted.shape), wanted.figures, wanted.shape.count());
}

int run(bool on_cpu) {
  enable_cpu_kernels();
  if (!on_cpu) enable_cuda_from(FJORD_CUDA_LIBRARY);
  fmt::print("| model | precision | distance | bound |\n|---|---|---|---|\n");
  bool good = true;
  for (const ModelEntry& entry : model_entries()) {
    // The card gives logits: those of another entry, where this one's have an activation.
    if (entry.encoder_only || entry.model.activation != FinalActivation::none) continue;
    for (const Tried& tried : kTried) {
      if (on_cpu && tried.precision != Precision::fp32) continue;
      const double error =
          distance_of(entry, on_cpu ? Backend::cpu : Backend::cuda, tried.precision);
      good = good && error <= tried.bound;
      fmt::print("| {} | {} | {:.2g} | {:.0e}{} |\n", entry.name, tried.name, error, tried.bound,
                 error <= tried.bound ? "" : " EXCEEDED");
    }
  }
  return good ? 0 : 1;
}

}  // namespace

}  // namespace fjord::golden

int main(int argc, char** argv) {
  try {
    return fjord::golden::run(argc == 2 && std::string(argv[1]) == "--cpu");
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
