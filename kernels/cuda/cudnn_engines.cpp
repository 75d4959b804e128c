// Which of cuDNN's engines can run a graph, what they ask for, and which of them are allowed.
#include "kernels/cuda/cudnn_engines.h"

#include <algorithm>

#include "kernels/error.h"

namespace fjord::cuda {

namespace {

template <class T>
bool contains(const std::vector<T>& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

Candidate describe(Descriptor config) {
  Candidate c;
  const auto engines =
      config.descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  const Descriptor& engine = engines.at(0);
  c.choice.engine = engine.integer(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  for (const Descriptor& knob :
       config.descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                          CUDNN_KNOB_TYPE_COUNTS))
    c.choice.knobs.emplace_back(knob.knob_type(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE),
                                knob.integer(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  const std::int64_t workspace = config.integer(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE);
  c.workspace_bytes = static_cast<std::size_t>(std::max<std::int64_t>(workspace, 0));
  c.notes = engine.numerical_notes();
  c.runtime_compiled = contains(engine.behavior_notes(), CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
  c.config = std::move(config);
  return c;
}

}  // namespace

std::vector<Candidate> candidates(const ConvGraph& graph, const CudnnDevice& device,
                                  cudnnBackendHeurMode_t mode) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device.properties());
  std::vector<Candidate> found;
  if (heuristic.try_finalize() != CUDNN_STATUS_SUCCESS) return found;
  for (Descriptor& config :
       heuristic.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR))
    found.push_back(describe(std::move(config)));
  return found;
}

std::optional<Candidate> candidate(const ConvGraph& graph, const CudnnDevice& device,
                                   const EngineChoice& choice) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.graph);
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, choice.engine);
  engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, device.properties());
  if (engine.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  std::vector<Descriptor> knobs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const auto& [type, value] : choice.knobs) {
    Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type));
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    if (knob.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
    raw.push_back(knob.raw());
  }
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!raw.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, raw);
  if (config.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  return describe(std::move(config));
}

namespace {

constexpr std::size_t kFusedFromBytes = std::size_t{16} << 20;

// cuDNN 9.19 suggests engines for these sums whose code NVRTC refuses, each after seconds.
bool refused_by_compiler(const Candidate& c, const ConvProblem& problem) {
  return c.runtime_compiled && problem.epilogue.sums != ConvSums::none &&
         problem.pass == ConvPass::backward_data && problem.conv.stride > 1;
}

}  // namespace

bool allowed(const Candidate& c, const ConvProblem& problem) {
  if (refused_by_compiler(c, problem)) return false;
  if (c.workspace_bytes > kConvWorkspaceBytes) return false;
  if (contains(c.notes, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return false;
  if (contains(c.notes, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return false;
  if (problem.dtype != DType::f32) return true;
  if (contains(c.notes, CUDNN_NUMERICAL_NOTE_WINOGRAD)) return false;
  return problem.math == ConvMath::tf32 ||
         (!contains(c.notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE) &&
          !contains(c.notes, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
}

bool worth_building(const Candidate& c, const ConvProblem& problem) {
  if (!c.runtime_compiled || !has_ending(problem.epilogue)) return true;
  const Shape result = problem.pass == ConvPass::forward ? problem.output : problem.image;
  return static_cast<std::size_t>(result.count()) * size_of(problem.dtype) > kFusedFromBytes;
}

std::string to_string(const Candidate& c) {
  constexpr const char* tags[] = {"tensor-core",  "down-convert",     "reduced-precision",
                                  "fft",          "nondeterministic", "winograd",
                                  "winograd-4x4", "winograd-6x6",     "winograd-13x13",
                                  "strict-nan"};
  std::string text = fmt::format("engine {}", c.choice.engine);
  for (const auto& [type, value] : c.choice.knobs) text += fmt::format(" k{}={}", type, value);
  for (const cudnnBackendNumericalNote_t note : c.notes)
    if (note < std::size(tags)) text += std::string(" ") + tags[note];
  if (c.runtime_compiled) text += " runtime-compiled";
  return text;
}

}  // namespace fjord::cuda
