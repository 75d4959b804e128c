// The tables of architectures and encoders, and what may be combined.
#include <algorithm>

#include "kernels/error.h"
#include "models/blocks.h"

namespace fjord {

namespace {

const std::vector<ArchitectureRow>& architectures() {
  static const std::vector<ArchitectureRow> rows = {
      {"unet", unet}, {"unetplusplus", unetplusplus}, {"linknet", linknet}, {"manet", manet}};
  return rows;
}

const std::vector<EncoderRow>& encoders() {
  static const std::vector<EncoderRow> rows = [] {
    std::vector<EncoderRow> all;
    for (const auto& family : {resnet_encoders(), senet_encoders(), mobilenet_encoders(),
                               efficientnet_encoders(), resnest_encoders()})
      all.insert(all.end(), family.begin(), family.end());
    return all;
  }();
  return rows;
}

template <class Row>
std::vector<std::string_view> names(const std::vector<Row>& rows) {
  std::vector<std::string_view> list;
  for (const Row& row : rows) list.push_back(row.name);
  return list;
}

template <class Row>
const Row& find(const std::vector<Row>& rows, std::string_view kind, const std::string& name) {
  const auto found = std::ranges::find(rows, std::string_view(name), &Row::name);
  if (found != rows.end()) return *found;
  const std::vector<std::string_view> known = names(rows);
  throw Error(ExitCode::usage, fmt::format("unknown-{}", kind),
              fmt::format("--{} {}", kind, printable(name)),
              fmt::format("there is no such name; known are {}", fmt::join(known, ", ")),
              fmt::format("use --{} {}", kind, nearest_name(name, known)));
}

void demand(bool ok, std::string_view what, std::string_view why, std::string_view remedy) {
  if (!ok) throw Error(ExitCode::usage, "model-options", what, why, remedy);
}

// What SMP's constructor of the architecture does not take would be lost on the way to a file.
void validate_decoder(const ModelOptions& options) {
  const std::vector<int>& channels = options.decoder_channels;
  const bool linknet = options.arch == "linknet";
  if (options.attention != Attention::none) {
    demand(has_attention(options.arch), "--decoder-attention scse",
           fmt::format("{} has no such attention, only unet and unetplusplus have", options.arch),
           "leave it out, or use --arch unet");
    demand(std::ranges::all_of(channels, [](int c) { return c >= 16; }),
           fmt::format("--decoder-channels {}", fmt::join(channels, ",")),
           "--decoder-attention scse divides them by 16",
           "use --decoder-channels of 16 or more, or leave --decoder-attention out");
  }
  demand(options.deep_supervision == 0 || options.arch == "unetplusplus", "--deep-supervision",
         fmt::format("{} has no nodes of a mask's size inside", options.arch),
         "leave it out, or use --arch unetplusplus");
  demand(!linknet || std::ranges::equal(channels, default_channels(options.encoder_depth)),
         fmt::format("--decoder-channels {}", fmt::join(channels, ",")),
         "linknet takes its decoder's channels from the encoder",
         "leave --decoder-channels out, or use --arch unet");
  demand(!linknet || options.interpolation == Interpolation::nearest, "--decoder-interpolation",
         "linknet enlarges by transposed convolutions", "leave it out, or use --arch unet");
  demand(options.pab_channels == ModelOptions{}.pab_channels || options.arch == "manet",
         fmt::format("--pab-channels {}", options.pab_channels),
         fmt::format("{} has no attention between positions, only manet has", options.arch),
         "leave it out, or use --arch manet");
}

}  // namespace

bool has_attention(std::string_view arch) { return arch == "unet" || arch == "unetplusplus"; }

int size_divisor(const ModelOptions& options) {
  return options.arch == "unet" ? 1 : 1 << options.encoder_depth;
}

std::vector<int> default_channels(int depth) {
  std::vector<int> channels = ModelOptions{}.decoder_channels;
  channels.resize(std::min(static_cast<std::size_t>(std::max(depth, 0)), channels.size()));
  return channels;
}

void validate(const ModelOptions& options) {
  find(architectures(), "arch", options.arch);
  find(encoders(), "encoder", options.encoder);
  demand(options.in_channels >= 1, fmt::format("--in-channels {}", options.in_channels),
         "a model needs at least one input channel", "use --in-channels 1 or more");
  demand(options.classes >= 1, fmt::format("--classes {}", options.classes),
         "a model needs at least one class", "use --classes 1 for foreground against background");
  demand(options.encoder_depth >= 3 && options.encoder_depth <= 5,
         fmt::format("--encoder-depth {}", options.encoder_depth), "the depth is 3, 4 or 5",
         "use --encoder-depth 5");
  const std::vector<int>& channels = options.decoder_channels;
  const std::string given = fmt::format("--decoder-channels {}", fmt::join(channels, ","));
  demand(static_cast<int>(channels.size()) == options.encoder_depth, given,
         fmt::format("model depth is {}, but you provide `decoder_channels` for {} blocks",
                     options.encoder_depth, channels.size()),
         fmt::format("give --decoder-channels {} numbers, or another --encoder-depth",
                     options.encoder_depth));
  demand(std::ranges::all_of(channels, [](int c) { return c >= 1; }), given,
         "every block of the decoder needs at least one channel",
         "use --decoder-channels with positive numbers");
  validate_decoder(options);
}

std::vector<Tensor> build_encoder(Net net, Tensor image, const ModelOptions& options) {
  check(image.c() == options.in_channels, net.path + "image",
        "the model takes {} channels, but the image has {} ({})", options.in_channels, image.c(),
        to_string(image.shape()));
  const EncoderRow& row = find(encoders(), "encoder", options.encoder);
  return row.build(options.freeze_encoder ? net.freeze() : net, image, options.encoder_depth);
}

namespace {

struct Segmented {
  Tensor logits, deepest;
};

Segmented segmented(Net net, Tensor image, const ModelOptions& options) {
  validate(options);
  demand_divisible(image, options);
  const Features features = build_encoder(net / "encoder", image, options);
  const ArchitectureRow& row = find(architectures(), "arch", options.arch);
  return {row.build(net, features, options), features.back()};
}

}  // namespace

Tensor build_model(Net net, Tensor image, const ModelOptions& options) {
  const Segmented made = segmented(net, image, options);
  if (options.classification)
    declare(net / "classification_head", [&](Net aside) {
      classification_head(aside, aside.tensor({1, 1, 1, made.deepest.c()}),
                          *options.classification);
    });
  return made.logits;
}

ModelOutputs build_model_and_scores(Net net, Tensor image, const ModelOptions& options) {
  const auto [logits, deepest] = segmented(net, image, options);
  if (!options.classification) return {logits, {}};
  return {logits,
          classification_head(net / "classification_head", deepest, *options.classification)};
}

std::vector<std::string_view> architecture_names() { return names(architectures()); }
std::vector<std::string_view> encoder_names() { return names(encoders()); }

}  // namespace fjord
