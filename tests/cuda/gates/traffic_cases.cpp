// All kernels whose traffic is counted.
#include "tests/cuda/gates/traffic_cases.h"

namespace fjord {

OpCase traffic_case(const char* slot, std::string what, std::vector<Operand> tensors,
                    std::vector<std::string> features,
                    std::function<void(Operands&, Stream&)> run) {
  return {.slot = slot,
          .what = std::move(what),
          .tensors = std::move(tensors),
          .features = std::move(features),
          .run = std::move(run)};
}

std::vector<Measured> measured_cases() {
  std::vector<Measured> all;
  add_pass_traffic(all);
  add_spatial_traffic(all);
  add_channel_traffic(all);
  add_loss_traffic(all);
  add_conv_traffic(all);
  add_conv_norm_traffic(all);
  return all;
}

}  // namespace fjord
