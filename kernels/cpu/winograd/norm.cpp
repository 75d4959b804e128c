// Convolutions between batch normalisations as Winograd passes.
#include <memory>

#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/winograd/convolution.h"
#include "kernels/cpu/winograd/filter_gradient.h"
#include "kernels/cpu/winograd/passes.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace winograd;

Source source_of(const ConvNormInputs& t, Act act) {
  return {t.x.as<float>(),
          t.low.as<float>(),
          t.skip.as<float>(),
          {t.scale.as<float>(), t.shift.as<float>(), act == Act::relu}};
}

// What makes dy of dz, with two values of each channel that are found first.
NormBackward second_half(const ConvNormGradient& dy, float* means) {
  const NormGradientInputs& t = dy.norm;
  const Shape y = dy.value.shape();
  put_means(dy.sums, t.inv_std, y.pixels(), means, means + y.c);
  return {.x = t.raw.as<float>(),
          .y = nullptr,
          .dy = dy.value.as<float>(),
          .scale = t.scale.as<float>(),
          .shift = t.shift.as<float>(),
          .mean = t.mean.as<float>(),
          .mean_dz = means,
          .slope = means + y.c,
          .dx = dy.made.as<float>(),
          .relu = t.act == Act::relu};
}

std::int64_t low_channels(const ConvNormShape& s) { return s.low.n == 0 ? 0 : s.low.c; }

std::string name_of(const ConvNormShape& s, bool moments) {
  return std::string(implementation_of(s.conv.math)) + (s.normalized ? " of norm" : "") +
         (moments ? " + moments" : "");
}

}  // namespace

ConvNormForward winograd_norm_forward(const ConvNormShape& s) {
  const Pass pass{.in = s.conv.x,
                  .out = s.conv.y,
                  .padding = s.conv.conv.padding,
                  .low_channels = low_channels(s),
                  .summed = s.moments ? Summed::moments : Summed::nothing,
                  .math = s.conv.math};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {name_of(s, s.moments), layer->scratch_bytes(),
          [layer, act = s.act](const ConvNormInputs& t, Out y, Out mean, Out variance,
                               void* scratch, Stream&) {
            const Edge edge{.bias = t.bias.as<float>(),
                            .mean = mean.as<float>(),
                            .variance = variance.as<float>()};
            layer->run(source_of(t, act), {.weight = t.weight.as<float>()}, edge, y.as<float>(),
                       static_cast<float*>(scratch));
          }};
}

ConvNormBackwardFilter winograd_norm_backward_filter(const ConvNormShape& s) {
  const auto layer = std::make_shared<FilterGradient>(s.conv, threads(), low_channels(s));
  Layout layout;
  const std::int64_t means = layout.take(s.makes_dy ? 2 * s.conv.y.c : 0), own = layout.floats;
  return {name_of(s, false) + (s.makes_dy ? ", makes dy" : ""),
          layout.bytes() + layer->scratch_bytes(),
          [=, makes = s.makes_dy, act = s.act](const ConvNormInputs& t, const ConvNormGradient& dy,
                                               Out dweight, Out, void* scratch, Stream&) {
            auto* floats = static_cast<float*>(scratch);
            if (!makes)
              return layer->run(source_of(t, act), {dy.value.as<float>()}, dweight, floats);
            const NormBackward made_by = second_half(dy, floats + means);
            layer->run(source_of(t, act), {made_by.dx, &made_by}, dweight, floats + own);
          }};
}

ConvNormBackwardData winograd_norm_backward_data(const ConvNormShape& s) {
  const bool through = s.low.n != 0;
  const auto layer = std::make_shared<Convolution>(Pass{.in = s.conv.y,
                                                        .out = s.conv.x,
                                                        .padding = 2 - s.conv.conv.padding,
                                                        .turned = true,
                                                        .low_outputs = low_channels(s),
                                                        .summed = Summed::gradients,
                                                        .math = s.conv.math},
                                                   threads());
  return {std::string(implementation_of(s.conv.math)) + " + sums of norm", layer->scratch_bytes(),
          [layer, through](In dy, In weight, const NormGradientInputs& t, Out dz, Out dskip,
                           const NormGradientOutputs& gradients, void* scratch, Stream&) {
            Edge edge{.norm = {.raw = t.raw.as<float>(),
                               .y = t.y.as<float>(),
                               .scale = t.scale.as<float>(),
                               .shift = t.shift.as<float>(),
                               .mean = t.mean.as<float>(),
                               .relu = t.act == Act::relu},
                      .inv_std = t.inv_std,
                      .gradients = gradients};
            const Out whole = through ? dskip : dz;
            if (whole && whole.write == Write::add) edge.plus = whole.as<float>();
            if (through) edge.low = dz.as<float>(), edge.add_low = dz.write == Write::add;
            layer->run({.x = dy.as<float>()}, {.weight = weight.as<float>()}, edge,
                       whole.as<float>(), static_cast<float*>(scratch));
          }};
}

}  // namespace fjord
