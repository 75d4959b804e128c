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

constexpr char kName[] = "winograd:4x4", kBf16Name[] = "winograd:4x4:bf16";

const float* values(In tensor) { return tensor ? tensor.as<float>() : nullptr; }

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
            layer->run({.x = x.as<float>()}, {.weight = weight.as<float>()}, edge, y.as<float>(),
                       static_cast<float*>(scratch));
          }};
}

ConvBackwardData winograd_backward_data(const ConvShape& s) {
  const Pass pass{s.y, s.x, 2 - s.conv.padding, true};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {kName, layer->scratch_bytes(), [layer](In dy, In weight, Out dx, void* scratch, Stream&) {
            float* to = dx.as<float>();
            const Edge edge{.plus = dx.write == Write::add ? to : nullptr};
            layer->run({.x = dy.as<float>()}, {.weight = weight.as<float>()}, edge, to,
                       static_cast<float*>(scratch));
          }};
}

ConvBackwardFilter winograd_backward_filter(const ConvShape& s) {
  const auto layer = std::make_shared<FilterGradient>(s, threads());
  return {kName, layer->scratch_bytes(),
          [layer](In x, In dy, Out dweight, Out, void* scratch, Stream&) {
            layer->run({.x = x.as<float>()}, dy.as<float>(), dweight, static_cast<float*>(scratch));
          }};
}

bool winograd_fits(const ConvInferenceShape& s) {
  const Shape x = s.conv.x, y = s.conv.y;
  const bool act = s.act == Act::none || s.act == Act::relu;
  if (!winograd_fits(s.conv) || !act) return false;
  return s.low.n == 0 || (x.h == 2 * s.low.h && x.w == 2 * s.low.w && y.n == s.low.n &&
                          s.low.c % winograd_loops().width == 0);
}

ConvInference winograd_inference(const ConvInferenceShape& s) {
  const bool keeps = s.memory == FilterMemory::normal;
  const auto layer = std::make_shared<Convolution>(Pass{.in = s.conv.x,
                                                        .out = s.conv.y,
                                                        .padding = s.conv.conv.padding,
                                                        .low_channels = s.low.n == 0 ? 0 : s.low.c,
                                                        .keeps = keeps,
                                                        .math = s.conv.math},
                                                   threads());
  const char* name = s.conv.math == ConvMath::bf16 ? kBf16Name : kName;
  ConvInference pass{name, layer->format(), layer->kept_bytes(), layer->scratch_bytes(), {}, {}};
  if (keeps)
    pass.keep = [layer](In weight, In scale, void* kept, Stream&) {
      layer->keep({.weight = weight.as<float>(), .scale = values(scale)},
                  static_cast<float*>(kept));
    };
  pass.run = [layer, relu = s.act == Act::relu](const ConvInferenceInputs& t, Out y, void* scratch,
                                                Stream&) {
    layer->run({values(t.x), values(t.low), values(t.skip)},
               {values(t.weight), values(t.scale), static_cast<const float*>(t.kept)},
               {.bias = values(t.shift), .plus = values(t.residual), .relu = relu}, y.as<float>(),
               static_cast<float*>(scratch));
  };
  return pass;
}

}  // namespace fjord
