// Convolutions of the kernels' interface as Winograd passes.
#include "kernels/cpu/winograd/winograd.h"

#include <memory>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/winograd/convolution.h"
#include "kernels/cpu/winograd/filter_gradient.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace winograd;

constexpr char kName[] = "winograd:4x4";

}  // namespace

bool winograd_fits(const ConvShape& s) {
  const Conv2d& c = s.conv;
  return c.kernel == 3 && c.stride == 1 && c.dilation == 1 && c.groups == 1 && c.padding <= 2;
}

ConvForward winograd_forward(const ConvShape& s) {
  const Pass pass{s.x, s.y, s.conv.padding, false};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {kName, layer->scratch_bytes(),
          [layer](In x, In weight, In bias, Out y, void* scratch, Stream&) {
            const Edge edge{.bias = bias ? bias.as<float>() : nullptr};
            layer->run(x.as<float>(), weight.as<float>(), edge, y.as<float>(),
                       static_cast<float*>(scratch));
          }};
}

ConvBackwardData winograd_backward_data(const ConvShape& s) {
  const Pass pass{s.y, s.x, 2 - s.conv.padding, true};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {kName, layer->scratch_bytes(), [layer](In dy, In weight, Out dx, void* scratch, Stream&) {
            float* to = dx.as<float>();
            const Edge edge{.plus = dx.write == Write::add ? to : nullptr};
            layer->run(dy.as<float>(), weight.as<float>(), edge, to, static_cast<float*>(scratch));
          }};
}

ConvBackwardFilter winograd_backward_filter(const ConvShape& s) {
  const auto layer = std::make_shared<FilterGradient>(s, threads());
  return {kName, layer->scratch_bytes(),
          [layer](In x, In dy, Out dweight, Out, void* scratch, Stream&) {
            layer->run(x.as<float>(), dy.as<float>(), dweight, static_cast<float*>(scratch));
          }};
}

}  // namespace fjord
