// A convolution ready to run by cuDNN: one engine configuration, built.
#pragma once

#include "kernels/cuda/cudnn_engines.h"

namespace fjord::cuda {

class CudnnPlan : public ConvPlan {
 public:
  void run(const ConvOperands& operands, Stream& stream) const override;

  EngineChoice choice;

 private:
  friend std::shared_ptr<const CudnnPlan> build_plan(const ConvProblem&,
                                                     std::shared_ptr<const ConvGraph>, Candidate,
                                                     std::shared_ptr<const CudnnDevice>);
  std::shared_ptr<const CudnnDevice> device_;
  std::shared_ptr<const ConvGraph> graph_;
  Descriptor config_, plan_;
  ConvEpilogue epilogue_;
};

/// Null when cuDNN refuses it, or when built it asks for more workspace than allowed.
std::shared_ptr<const CudnnPlan> build_plan(const ConvProblem& problem,
                                            std::shared_ptr<const ConvGraph> graph,
                                            Candidate candidate,
                                            std::shared_ptr<const CudnnDevice> device);

/// The fixed rule: the first of cuDNN's suggestions that is allowed and can be built, of mode A,
/// else B, else the fallbacks. Null when there is none.
std::shared_ptr<const CudnnPlan> first_plan(const ConvProblem& problem,
                                            const std::shared_ptr<const CudnnDevice>& device);

/// The plan of a choice kept on disk; null when it does not fit (any more).
std::shared_ptr<const CudnnPlan> plan_of(const ConvProblem& problem, const EngineChoice& choice,
                                         const std::shared_ptr<const CudnnDevice>& device);

}  // namespace fjord::cuda
