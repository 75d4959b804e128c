// A build that found no cuDNN: every convolution is refused.
#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

std::shared_ptr<const ConvPlan> plan_conv(const ConvProblem&, const ConvTuning&) {
  throw Error(ExitCode::device, "no-cudnn", "convolution on the GPU",
              "this build was made without cuDNN 9",
              "use --device cpu, or install cuDNN and build again");
}

}  // namespace fjord::cuda
