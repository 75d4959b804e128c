// The evaluation-mode goldens: encoders' features and models' logits.
#include <fmt/format.h>

#include "tests/golden/goldens.h"

namespace fjord::golden {

std::string to_string(On on) {
  const std::string exact = on.algorithm == ConvAlgorithm::direct ? " exact" : "";
  return std::string(fjord::to_string(on.backend)) + exact;
}

// In double by the plain composition, else as programs compute it.
std::vector<Row> model_rows(const ModelEntry& entry, On on) {
  std::optional<FilterMemory> inference;
  if (on.backend == Backend::cpu) inference = FilterMemory::normal;
  ModelRun run({.backend = on.backend,
                .dtype = on.dtype,
                .algorithm = on.algorithm,
                .mode = Mode::eval,
                .inference = inference,
                .model = entry.model,
                .image = entry.image,
                .encoder_only = entry.encoder_only});
  run.fill_parameters();
  run.fill_image(entry.input);
  run.run();
  if (!entry.encoder_only) activate(*run.results[0].slot, entry.model.activation);
  const std::string name =
      fmt::format("{} {} {}", entry.name, to_string(on), entry.encoder_only ? "encoder" : "");
  const bool winograd = on.backend == Backend::cpu && on.algorithm == ConvAlgorithm::any;
  // Instance norms of few pixels, eleven in a row, amplify rounding, by as much as the order of a
  // convolution's sums has it: 9e-6 with AVX2, 1.4e-5 by plain loops, 2.3e-5 with AVX-512, where
  // double is 3e-6 from PyTorch.
  const bool amplified =
      on.backend == Backend::cpu && entry.model.decoder_norm == DecoderNorm::instance;
  const double exact = amplified ? 5e-5 : 1e-5;
  std::vector<Row> rows;
  for (std::size_t i = 0; i < entry.outputs.size(); ++i) {
    const NamedFigures& golden = entry.outputs[i];
    const Buffer& found = *run.results.at(i).slot;
    check(found.shape == golden.shape, golden.name, "the golden is {}, found {}",
          to_string(golden.shape), to_string(found.shape));
    rows.push_back(
        {name, golden.name + " l2, mean, values", fmt::format("{:.8g}", golden.figures.l2),
         distance(figures(found), golden.figures, golden.shape.count()), winograd ? 5e-5 : exact});
  }
  return rows;
}

}  // namespace fjord::golden
