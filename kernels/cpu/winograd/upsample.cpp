// "Nearest x2, concatenate, 3x3" as Winograd passes that read the two parts, or write their
// gradients, in place of the enlarged image.
#include <memory>

#include "kernels/cpu/winograd/convolution.h"
#include "kernels/cpu/winograd/filter_gradient.h"
#include "kernels/cpu/winograd/passes.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

using namespace winograd;

/// The widest panel: the first part's channels are whole panels with any instruction set.
constexpr std::int64_t kPanel = 32;

Shape joined(const UpsampleConvShape& s) { return {s.y.n, s.y.h, s.y.w, s.weight.c}; }

Source parts(In low, In skip) { return {.low = low.as<float>(), .skip = skip.as<float>()}; }

}  // namespace

bool winograd_fits(const UpsampleConvShape& s) {
  return s.low.c % kPanel == 0 && (s.skip.n == 0 || s.skip.c % 16 == 0);
}

UpsampleConvForward winograd_upsample_forward(const UpsampleConvShape& s) {
  const Pass pass{.in = joined(s), .out = s.y, .low_channels = s.low.c, .math = s.math};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {implementation_of(s.math), layer->scratch_bytes(),
          [layer](In low, In skip, In weight, Out y, void* scratch, Stream&) {
            layer->run(parts(low, skip), {.weight = weight.as<float>()}, {}, y.as<float>(),
                       static_cast<float*>(scratch));
          }};
}

UpsampleConvBackwardData winograd_upsample_backward_data(const UpsampleConvShape& s) {
  const Pass pass{
      .in = s.y, .out = joined(s), .turned = true, .low_outputs = s.low.c, .math = s.math};
  const auto layer = std::make_shared<Convolution>(pass, threads());
  return {implementation_of(s.math), layer->scratch_bytes(),
          [layer](In dy, In weight, Out dlow, Out dskip, void* scratch, Stream&) {
            float* skip = dskip.as<float>();
            const Edge edge{.plus = skip && dskip.write == Write::add ? skip : nullptr,
                            .low = dlow.as<float>(),
                            .add_low = dlow && dlow.write == Write::add};
            layer->run({.x = dy.as<float>()}, {.weight = weight.as<float>()}, edge, skip,
                       static_cast<float*>(scratch));
          }};
}

UpsampleConvBackwardFilter winograd_upsample_backward_filter(const UpsampleConvShape& s) {
  const ConvShape shape{.x = joined(s), .weight = s.weight, .y = s.y, .conv = {}, .math = s.math};
  const auto layer = std::make_shared<FilterGradient>(shape, threads(), s.low.c);
  return {implementation_of(s.math), layer->scratch_bytes(),
          [layer](In low, In skip, In dy, Out dweight, void* scratch, Stream&) {
            layer->run(parts(low, skip), {dy.as<float>()}, dweight, static_cast<float*>(scratch));
          }};
}

}  // namespace fjord
