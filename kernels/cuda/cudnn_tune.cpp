// The fastest way to do a convolution on the card present.
#include "kernels/cuda/cudnn_tune.h"

#include "kernels/cuda/conv_plans.h"
#include "kernels/cuda/cublas_library.h"
#include "kernels/cuda/cudnn_plan.h"

namespace fjord::cuda {

void ConvRace::enter(std::shared_ptr<const ConvPlan> plan, ConvChoice choice) {
  if (!plan) return;
  const float time = stopwatch_(*plan);
  if (!(time < shortest_)) return;
  shortest_ = time;
  winner_ = {std::move(plan), std::move(choice)};
}

namespace {

// Null where no engine does even the convolution alone.
std::shared_ptr<const ConvPlan> plan_apart_if_any(const ConvProblem& problem,
                                                  const ConvTuning& tuning) {
  try {
    return plan_apart(problem, tuning);
  } catch (const Error& error) {
    if (error.slug != "no-engine") throw;
    return nullptr;
  }
}

}  // namespace

std::optional<ConvCandidate> fastest(const ConvProblem& problem, const ConvTuning& tuning,
                                     const std::shared_ptr<const CudnnDevice>& device,
                                     const Stopwatch& stopwatch) {
  ConvRace race(stopwatch);
  if (has_ending(problem.epilogue)) race.enter(plan_apart_if_any(problem, tuning), ApartChoice{});
  const ConvGraph graph = conv_graph(problem);
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B})
    for (const Candidate& c : candidates(graph, *device, mode))
      if (allowed(c, problem)) race.enter(plan_of(problem, c.choice, device), c.choice);
  for (const ConvCandidate& c : product_candidates(problem)) race.enter(c.plan, c.choice);
  return race.winner();
}

namespace {

struct Chosen {
  const ConvProblem& problem;
  const ConvTuning& tuning;
  const std::shared_ptr<const CudnnDevice>& device;

  std::shared_ptr<const ConvPlan> operator()(const EngineChoice& choice) const {
    return plan_of(problem, choice, device);
  }
  std::shared_ptr<const ConvPlan> operator()(const AlgorithmChoice& choice) const {
    return product_plan(problem, choice);
  }
  std::shared_ptr<const ConvPlan> operator()(const ApartChoice&) const {
    return has_ending(problem.epilogue) ? plan_apart_if_any(problem, tuning) : nullptr;
  }
};

}  // namespace

std::shared_ptr<const ConvPlan> chosen_plan(const ConvProblem& problem, const ConvChoice& choice,
                                            const ConvTuning& tuning,
                                            const std::shared_ptr<const CudnnDevice>& device) {
  return std::visit(Chosen{problem, tuning, device}, choice);
}

}  // namespace fjord::cuda
