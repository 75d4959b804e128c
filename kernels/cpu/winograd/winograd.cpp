// Convolutions of the kernels' interface as Winograd passes.
#include "kernels/cpu/winograd/winograd.h"

#include <cstddef>
#include <memory>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/winograd/convolution.h"
#include "kernels/cpu/winograd/filter_gradient.h"
#include "kernels/cpu/winograd/passes.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace winograd;

/// Filters are kept by the second run with them: the first makes them ready on the way, as with
/// little memory, so that a process of one image does not wait for what only others would use. What
/// tells them apart lies behind the taps: the first run touches no page of these.
enum class KeptState : std::uint64_t { unused, used, kept };

KeptState& state_of(const Convolution& layer, void* kept) {
  return *reinterpret_cast<KeptState*>(static_cast<std::byte*>(kept) + layer.kept_bytes());
}

const float* kept_taps(const Convolution& layer, const Filters& filters, void* kept) {
  if (!kept) return nullptr;
  KeptState& state = state_of(layer, kept);
  auto* taps = static_cast<float*>(kept);
  if (state == KeptState::used) layer.keep(filters, taps);
  const bool first = state == KeptState::unused;
  state = first ? KeptState::used : KeptState::kept;
  return first ? nullptr : taps;
}

}  // namespace

bool winograd_fits(const ConvShape& s) {
  const Conv2d& c = s.conv;
  return c.kernel == 3 && c.stride == 1 && c.dilation == 1 && c.groups == 1 && c.padding <= 2;
}

ConvForward winograd_forward(const ConvShape& s) {
  const Pass pass{.in = s.x, .out = s.y, .padding = s.conv.padding, .math = s.math};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {implementation_of(s.math), layer->scratch_bytes(),
          [layer](In x, In weight, In bias, Out y, void* scratch, Stream&) {
            const Edge edge{.bias = bias.as<float>()};
            layer->run({.x = x.as<float>()}, {.weight = weight.as<float>()}, edge, y.as<float>(),
                       static_cast<float*>(scratch));
          }};
}

ConvBackwardData winograd_backward_data(const ConvShape& s) {
  const Pass pass{
      .in = s.y, .out = s.x, .padding = 2 - s.conv.padding, .turned = true, .math = s.math};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {implementation_of(s.math), layer->scratch_bytes(),
          [layer](In dy, In weight, Out dx, void* scratch, Stream&) {
            float* to = dx.as<float>();
            const Edge edge{.plus = dx.write == Write::add ? to : nullptr};
            layer->run({.x = dy.as<float>()}, {.weight = weight.as<float>()}, edge, to,
                       static_cast<float*>(scratch));
          }};
}

ConvBackwardFilter winograd_backward_filter(const ConvShape& s) {
  const auto layer = std::make_shared<FilterGradient>(s, threads());
  return {implementation_of(s.math), layer->scratch_bytes(),
          [layer](In x, In dy, Out dweight, Out, void* scratch, Stream&) {
            layer->run({.x = x.as<float>()}, {dy.as<float>()}, dweight,
                       static_cast<float*>(scratch));
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
  ConvInference pass{
      implementation_of(s.conv.math), layer->format(), 0, layer->scratch_bytes(), {}, {}};
  if (keeps) {
    pass.kept_bytes = layer->kept_bytes() + sizeof(KeptState);
    pass.keep = [layer](In, In, void* kept, Stream&) {
      state_of(*layer, kept) = KeptState::unused;
    };
  }
  pass.run = [layer, relu = s.act == Act::relu](const ConvInferenceInputs& t, Out y, void* scratch,
                                                Stream&) {
    Filters filters{.weight = t.weight.as<float>(), .scale = t.scale.as<float>()};
    filters.kept = kept_taps(*layer, filters, t.kept);
    layer->run({t.x.as<float>(), t.low.as<float>(), t.skip.as<float>()}, filters,
               {.bias = t.shift.as<float>(), .plus = t.residual.as<float>(), .relu = relu},
               y.as<float>(), static_cast<float*>(scratch));
  };
  return pass;
}

}  // namespace fjord
