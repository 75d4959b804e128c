// Every convolution of the zoo's networks at a training size, each shape once.
#include "tests/cuda/plans/zoo.h"

#include <set>

#include "engine/trainer.h"
#include "kernels/conv_norm.h"
#include "kernels/cpu/backend.h"
#include "models/models.h"

namespace fjord {

namespace {

constexpr std::int64_t kBatch = 8, kSize = 512;

// In the slots' place: note the shape, and leave its number as the implementation's name.
template <class Shape>
std::vector<Shape>& met() {
  static std::vector<Shape> shapes;
  return shapes;
}
template <class Shape, class Pass>
void note(const Shape& shape, Pass& pass, Stream&) {
  met<Shape>().push_back(shape);
  pass = {std::to_string(met<Shape>().size() - 1), 0, nullptr};
}
template <class Shape>
const Shape& noted(const Step& step) {
  return met<Shape>().at(std::stoul(step.implementation));
}

std::string key(const ConvShape& s) {
  return fmt::format("{} {} {} {} {} {}", to_string(s.x), to_string(s.weight), s.conv.stride,
                     s.conv.padding, s.conv.dilation, s.bias);
}

std::string key(const UpsampleConvShape& s) {
  return fmt::format("{} {} {}", to_string(s.low), to_string(s.skip), to_string(s.weight));
}

// "64 to 128, 3x3 stride 2, at 128x128": channels, window, stride, size of the input.
std::string describe(Shape x, Shape filter, int stride) {
  return fmt::format("{} to {}, {}x{}{}, at {}x{}", filter.c, filter.n, filter.h, filter.w,
                     stride > 1 ? fmt::format(" stride {}", stride) : "", x.h, x.w);
}
std::string describe(const ConvShape& s) { return describe(s.x, s.weight, s.conv.stride); }
std::string describe(const UpsampleConvShape& s) {
  return describe(s.low, s.weight, 1) + ", enlarged";
}

/// While it lives, convolutions are noted. Without `enlarging` the decoders' first ones are plain
/// convolutions of joined images: what a card is asked for where sizes are odd.
struct Noting {
  explicit Noting(bool enlarging) {
    prepare_conv_forward.cpu = note<ConvShape, ConvForward>;
    prepare_upsample_conv_forward.cpu =
        enlarging ? note<UpsampleConvShape, UpsampleConvForward> : nullptr;
    prepare_conv_norm_forward.cpu = nullptr;
  }
  ~Noting() {
    prepare_conv_forward.cpu = plain;
    prepare_upsample_conv_forward.cpu = joined;
    prepare_conv_norm_forward.cpu = beside_norm;
  }
  decltype(prepare_conv_forward.cpu) plain = prepare_conv_forward.cpu;
  decltype(prepare_upsample_conv_forward.cpu) joined = prepare_upsample_conv_forward.cpu;
  decltype(prepare_conv_norm_forward.cpu) beside_norm = prepare_conv_norm_forward.cpu;
};

/// Convolutions of one kind, each shape once.
template <class Conv>
class Collection {
 public:
  void add(const std::string& network, const Step& step) {
    const auto& shape = noted<decltype(Conv::shape)>(step);
    if (!known_.insert(key(shape)).second) return;
    const std::string layer = step.path.substr(0, step.path.rfind('.'));
    convolutions.push_back({fmt::format("{} {}: {}", network, layer, describe(shape)), shape});
  }

  std::vector<Conv> convolutions;

 private:
  std::set<std::string> known_;
};

std::string name_of(const ModelOptions& options) {
  return options.arch == "unet" ? options.encoder : options.arch + " " + options.encoder;
}

// Each network is recorded with its enlarging convolutions and without.
Zoo convolutions_of(const std::vector<ModelOptions>& networks) {
  enable_cpu_kernels();
  Collection<ZooConv> plain;
  Collection<ZooUpsampleConv> enlarging;
  for (const ModelOptions& options : networks) {
    Parameters parameters;
    declare_parameters(
        parameters, [&](Net net, Tensor image) { return build_model(net, image, options); },
        options.in_channels, 0, Backend::cpu);
    for (const bool enlarged : {false, true}) {
      const Noting noting(enlarged);
      Tape tape(parameters, {});
      const Net net{&tape, ""};
      build_model(net, net.resident({kBatch, kSize, kSize, 3}, DType::f32, "image"), options);
      for (const Step& step : tape.steps) {
        const std::string_view op = step.op;
        if (op == "conv_forward") plain.add(name_of(options), step);
        if (op == "upsample_conv_forward") enlarging.add(name_of(options), step);
      }
    }
  }
  return {std::move(plain.convolutions), std::move(enlarging.convolutions)};
}

}  // namespace

const Zoo& zoo() {
  static const Zoo made = convolutions_of({{.encoder = "resnet18"}, {.encoder = "resnet34"}});
  return made;
}

Zoo wider_zoo(bool all) {
  std::vector<ModelOptions> networks{{.encoder = "mobilenet_v2"},
                                     {.encoder = "timm-resnest14d"},
                                     {.arch = "linknet", .encoder = "resnet18"}};
  if (!all) return convolutions_of(networks);
  networks.clear();
  for (const std::string_view encoder : encoder_names())
    networks.push_back({.encoder = std::string(encoder)});
  for (const std::string_view arch : architecture_names())
    for (const char* encoder : {"resnet18", "resnet34", "efficientnet-b0", "timm-resnest14d",
                                "se_resnext50_32x4d", "mobilenet_v2"})
      if (arch != "unet") networks.push_back({.arch = std::string(arch), .encoder = encoder});
  return convolutions_of(networks);
}

}  // namespace fjord
