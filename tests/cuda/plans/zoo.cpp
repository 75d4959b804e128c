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

std::vector<ConvShape>& met() {
  static std::vector<ConvShape> shapes;
  return shapes;
}

// In the slot's place: notes the shape, and leaves its number as the implementation's name.
void note(const ConvShape& shape, ConvForward& pass, Stream&) {
  met().push_back(shape);
  pass = {std::to_string(met().size() - 1), 0, nullptr};
}

std::string key(const ConvShape& s) {
  return fmt::format("{} {} {} {} {} {}", to_string(s.x), to_string(s.weight), s.conv.stride,
                     s.conv.padding, s.conv.dilation, s.bias);
}

// "64 to 128, 3x3 stride 2, at 128x128": channels, window, stride, size of the input.
std::string describe(Shape x, Shape filter, int stride) {
  return fmt::format("{} to {}, {}x{}{}, at {}x{}", filter.c, filter.n, filter.h, filter.w,
                     stride > 1 ? fmt::format(" stride {}", stride) : "", x.h, x.w);
}

/// While it lives, convolutions are noted, and the decoders' first ones are plain convolutions of
/// joined images: what a card is asked for where sizes are odd.
struct Noting {
  Noting() {
    prepare_conv_forward.cpu = note;
    prepare_upsample_conv_forward.cpu = nullptr;
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

// Shapes of all of these networks, each once.
std::vector<ZooConv> convolutions_of(const std::vector<ModelOptions>& networks) {
  enable_cpu_kernels();
  const Noting noting;
  std::vector<ZooConv> convolutions;
  std::set<std::string> known;
  for (const ModelOptions& options : networks) {
    Parameters parameters;
    declare_parameters(
        parameters, [&](Net net, Tensor image) { return build_model(net, image, options); },
        options.in_channels, 0, Backend::cpu);
    Tape tape(parameters, {});
    const Net net{&tape, ""};
    build_model(net, net.resident({kBatch, kSize, kSize, 3}, DType::f32, "image"), options);
    for (const Step& step : tape.steps) {
      if (std::string_view(step.op) != "conv_forward") continue;
      const ConvShape& shape = met().at(std::stoul(step.implementation));
      if (known.insert(key(shape)).second)
        convolutions.push_back(
            {fmt::format("{} {}: {}", options.arch == "unet" ? options.encoder : options.arch,
                         step.path.substr(0, step.path.rfind('.')),
                         describe(shape.x, shape.weight, shape.conv.stride)),
             shape});
    }
  }
  return convolutions;
}

}  // namespace

std::vector<ZooConv> zoo_convolutions() {
  return convolutions_of({{.encoder = "resnet18"}, {.encoder = "resnet34"}});
}

std::vector<ZooConv> wider_zoo_convolutions(Zoo zoo) {
  std::vector<ModelOptions> networks{{.encoder = "mobilenet_v2"},
                                     {.encoder = "timm-resnest14d"},
                                     {.arch = "linknet", .encoder = "resnet18"}};
  if (zoo == Zoo::all) {
    for (const char* encoder : {"resnet50", "resnext50_32x4d", "se_resnext50_32x4d", "senet154",
                                "efficientnet-b0", "timm-efficientnet-b4", "timm-resnest50d"})
      networks.push_back({.encoder = encoder});
    for (const char* arch : {"unetplusplus", "manet", "linknet"})
      networks.push_back({.arch = arch, .encoder = "resnet34"});
  }
  return convolutions_of(networks);
}

std::vector<ZooUpsampleConv> zoo_upsample_convolutions() {
  const std::vector<std::int64_t> skips{256, 128, 64, 64, 0}, outputs{256, 128, 64, 32, 16};
  std::vector<ZooUpsampleConv> convolutions;
  std::int64_t low = 512;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::int64_t size = kSize >> (5 - i);
    UpsampleConvShape shape{.low = {kBatch, size, size, low},
                            .skip = {kBatch, 2 * size, 2 * size, skips[i]},
                            .weight = {outputs[i], 3, 3, low + skips[i]},
                            .y = {kBatch, 2 * size, 2 * size, outputs[i]}};
    if (skips[i] == 0) shape.skip = {0, 0, 0, 0};
    convolutions.push_back({fmt::format("decoder.blocks.{}.conv1: {}, enlarged", i,
                                        describe(shape.low, shape.weight, 1)),
                            shape});
    low = outputs[i];
  }
  return convolutions;
}

}  // namespace fjord
