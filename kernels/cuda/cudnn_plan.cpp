// A convolution ready to run by cuDNN: one engine configuration, built.
#include "kernels/cuda/cudnn_plan.h"

#include <algorithm>

namespace fjord::cuda {

void CudnnPlan::run(const ConvOperands& operands, Stream& stream) const {
  std::vector<std::int64_t> ids{static_cast<std::int64_t>(ConvTensor::first),
                                static_cast<std::int64_t>(ConvTensor::second),
                                static_cast<std::int64_t>(ConvTensor::result)};
  std::vector<void*> addresses{const_cast<void*>(operands.first),
                               const_cast<void*>(operands.second), operands.result};
  const auto bind = [&](ConvTensor tensor, const void* address) {
    ids.push_back(static_cast<std::int64_t>(tensor));
    addresses.push_back(const_cast<void*>(address));
  };
  if (epilogue_.bias) bind(ConvTensor::bias, operands.bias);
  if (epilogue_.residual) bind(ConvTensor::residual, operands.residual);
  const ConvSumOperands& sums = operands.sums;
  if (epilogue_.sums != ConvSums::none) {
    bind(ConvTensor::center, sums.center);
    bind(ConvTensor::first_sum, sums.first);
    bind(ConvTensor::second_sum, sums.second);
  }
  if (of_gradients(epilogue_.sums)) bind(ConvTensor::sums_x, sums.x);
  if (epilogue_.sums == ConvSums::gradients) {
    bind(ConvTensor::scale, sums.scale);
    bind(ConvTensor::shift, sums.shift);
  }
  if (epilogue_.sums == ConvSums::gradients_by_y) bind(ConvTensor::sums_y, sums.y);
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
  pack.set_address(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, operands.workspace);
  pack.finalize("cuDNN operands");
  check_cudnn(cudnnBackendExecute(device_->handle(stream), plan_.raw(), pack.raw()), engine);
}

std::shared_ptr<const CudnnPlan> build_plan(const ConvProblem& problem,
                                            std::shared_ptr<const ConvGraph> graph,
                                            Candidate candidate,
                                            std::shared_ptr<const CudnnDevice> device) {
  auto made = std::make_shared<CudnnPlan>();
  made->plan_ = Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  made->plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate.config);
  device->bind(made->plan_);
  if (made->plan_.try_finalize() != CUDNN_STATUS_SUCCESS) return nullptr;
  const std::int64_t workspace = made->plan_.integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  made->workspace_bytes = static_cast<std::size_t>(std::max<std::int64_t>(workspace, 0));
  if (made->workspace_bytes > kConvWorkspaceBytes) return nullptr;
  made->engine = to_string(candidate);
  made->tensor_cores = std::count(candidate.notes.begin(), candidate.notes.end(),
                                  CUDNN_NUMERICAL_NOTE_TENSOR_CORE) > 0;
  made->choice = candidate.choice;
  made->epilogue_ = problem.epilogue;
  made->graph_ = std::move(graph);
  made->config_ = std::move(candidate.config);
  made->device_ = std::move(device);
  return made;
}

std::shared_ptr<const CudnnPlan> first_plan(const ConvProblem& problem,
                                            const std::shared_ptr<const CudnnDevice>& device) {
  const auto graph = std::make_shared<const ConvGraph>(conv_graph(problem));
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK})
    for (Candidate& c : candidates(*graph, *device, mode)) {
      if (!allowed(c, problem) || !worth_building(c, problem)) continue;
      if (auto plan = build_plan(problem, graph, std::move(c), device)) return plan;
    }
  return nullptr;
}

std::shared_ptr<const CudnnPlan> plan_of(const ConvProblem& problem, const EngineChoice& choice,
                                         const std::shared_ptr<const CudnnDevice>& device) {
  const auto graph = std::make_shared<const ConvGraph>(conv_graph(problem));
  std::optional<Candidate> found = candidate(*graph, *device, choice);
  if (!found || !allowed(*found, problem)) return nullptr;
  return build_plan(problem, graph, std::move(*found), device);
}

}  // namespace fjord::cuda
