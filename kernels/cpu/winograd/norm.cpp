// Convolutions between batch normalisations as Winograd passes.
#include <memory>

#include "kernels/cpu/winograd/convolution.h"
#include "kernels/cpu/winograd/filter_gradient.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace winograd;

Source source_of(const ConvNormInputs& t, Act act) {
  return {values(t.x),
          values(t.low),
          values(t.skip),
          {values(t.scale), values(t.shift), act == Act::relu}};
}

std::int64_t low_channels(const ConvNormShape& s) { return s.low.n == 0 ? 0 : s.low.c; }

std::string name_of(const ConvNormShape& s, bool moments) {
  return std::string(winograd::name_of(s.conv.math)) + (s.normalized ? " of norm" : "") +
         (moments ? " + moments" : "");
}

}  // namespace

ConvNormForward winograd_norm_forward(const ConvNormShape& s) {
  const Pass pass{.in = s.conv.x,
                  .out = s.conv.y,
                  .padding = s.conv.conv.padding,
                  .low_channels = low_channels(s),
                  .moments = s.moments,
                  .math = s.conv.math};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {name_of(s, s.moments), layer->scratch_bytes(),
          [layer, act = s.act](const ConvNormInputs& t, Out y, Out mean, Out variance,
                               void* scratch, Stream&) {
            const Edge edge{
                .bias = values(t.bias), .mean = values(mean), .variance = values(variance)};
            layer->run(source_of(t, act), {.weight = t.weight.as<float>()}, edge, y.as<float>(),
                       static_cast<float*>(scratch));
          }};
}

ConvNormBackwardFilter winograd_norm_backward_filter(const ConvNormShape& s) {
  const auto layer = std::make_shared<FilterGradient>(s.conv, threads(), low_channels(s));
  return {name_of(s, false), layer->scratch_bytes(),
          [layer, act = s.act](const ConvNormInputs& t, In dy, Out dweight, Out, void* scratch,
                               Stream&) {
            layer->run(source_of(t, act), dy.as<float>(), dweight, static_cast<float*>(scratch));
          }};
}

}  // namespace fjord
