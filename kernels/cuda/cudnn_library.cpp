// The convolution library is cuDNN 9 through its graph API, and, where it is timed, cuBLASLt.
#include <map>
#include <mutex>

#include "kernels/cuda/cudnn_cache.h"
#include "kernels/cuda/cudnn_plan.h"
#include "kernels/cuda/cudnn_tune.h"

namespace fjord::cuda {

namespace {

std::shared_ptr<const ConvPlan> timed_plan(const ConvProblem& problem, const std::string& key,
                                           const ConvTuning& tuning,
                                           const std::shared_ptr<const CudnnDevice>& device) {
  static auto& caches = *new std::map<std::string, PlanCache>;
  PlanCache& cache = caches.try_emplace(tuning.folder, tuning.folder, device->name()).first->second;
  if (const auto choice = cache.find(key))
    if (auto plan = chosen_plan(problem, *choice, tuning, device)) return plan;
  const auto found = fastest(problem, tuning, device, card_stopwatch(problem));
  if (!found) return nullptr;
  cache.store(key, found->choice);
  return found->plan;
}

}  // namespace

std::shared_ptr<const ConvPlan> plan_conv(const ConvProblem& problem, const ConvTuning& tuning) {
  // Recursive: timing a problem with an ending plans the one without.
  static std::recursive_mutex mutex;
  // Never destroyed: at exit the driver may be gone before it.
  static auto& plans = *new std::map<std::string, std::shared_ptr<const ConvPlan>>;
  const std::lock_guard lock(mutex);
  const auto device = CudnnDevice::current();
  const bool timed = tuning.timed && device->runs();
  const std::string key = to_string(problem);
  const std::string known_as = fmt::format("{}: {}{}", device->name(), key, timed ? " timed" : "");
  if (const auto known = plans.find(known_as); known != plans.end()) return known->second;
  std::shared_ptr<const ConvPlan> plan;
  if (timed) plan = timed_plan(problem, key, tuning, device);
  if (!plan) plan = first_plan(problem, device);
  plans[known_as] = plan;
  return plan;
}

}  // namespace fjord::cuda
