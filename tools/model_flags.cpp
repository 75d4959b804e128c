// Flags that say what a network is.
#include "tools/model_flags.h"

#include <algorithm>

#include "kernels/error.h"
#include "models/config_names.h"

namespace fjord {

namespace {

std::vector<std::string> strings(const std::vector<std::string_view>& names) {
  return {names.begin(), names.end()};
}

template <class Value, std::size_t count>
std::vector<std::string> names_of(const Named<Value> (&known)[count]) {
  std::vector<std::string> names;
  for (const Named<Value>& row : known) names.emplace_back(row.name);
  return names;
}

}  // namespace

void add_model_flags(Options& options, ModelFlags& flags) {
  options.group("network");
  options.flag("arch", &flags.arch,
               {.value = "NAME",
                .help = fmt::format("{}", fmt::join(architecture_names(), ", ")),
                .choices = strings(architecture_names())});
  options.flag(
      "encoder", &flags.encoder,
      {.value = "NAME",
       .help = fmt::format("resnet34 or another of {} (docs/encoders.md)", encoder_names().size()),
       .choices = strings(encoder_names())});
  options.flag("in-channels", &flags.in_channels,
               {.value = "N", .help = "bands (from the data)", .range = {1, 512}});
  options.flag("classes", &flags.classes,
               {.value = "N", .help = "1: binary (1)", .range = {1, 254}});
  options.flag("encoder-depth", &flags.encoder_depth,
               {.value = "N", .help = "3 to 5 (5)", .range = {3, 5}});
  options.flag("decoder-channels", &flags.decoder_channels,
               {.value = "LIST", .help = "256,128,64,32,16", .range = {1, 4096}});
  options.flag("decoder-attention", &flags.decoder_attention,
               {.value = "scse", .choices = {"scse"}});
  // What few need is in docs/encoders.md: a screen of help is full.
  options.flag("decoder-interpolation", &flags.decoder_interpolation,
               {.value = "HOW", .choices = names_of(kInterpolations)});
  options.flag("decoder-norm", &flags.decoder_norm, {.value = "KIND", .choices = names_of(kNorms)});
  options.flag("pab-channels", &flags.pab_channels, {.value = "N", .range = {1, 4096}});
}

ModelOptions model_options_of(const ModelFlags& flags, int bands) {
  ModelOptions options{.arch = flags.arch,
                       .encoder = flags.encoder,
                       .in_channels = flags.in_channels.value_or(bands),
                       .classes = flags.classes.value_or(1),
                       .encoder_depth = flags.encoder_depth,
                       .interpolation = value_of(flags.decoder_interpolation, kInterpolations),
                       .decoder_norm = value_of(flags.decoder_norm, kNorms),
                       .pab_channels = flags.pab_channels};
  if (flags.decoder_attention) options.attention = Attention::scse;
  const auto depth = static_cast<std::size_t>(flags.encoder_depth);
  if (flags.arch == "linknet" && !flags.decoder_channels.empty())
    throw Error(ExitCode::usage, "model-options",
                fmt::format("--decoder-channels {}", fmt::join(flags.decoder_channels, ",")),
                "linknet takes its decoder's channels from the encoder",
                "leave --decoder-channels out, or use --arch unet");
  options.decoder_channels = flags.decoder_channels.empty() ? default_channels(flags.encoder_depth)
                                                            : flags.decoder_channels;
  if (options.decoder_channels.size() != depth)
    throw Error(ExitCode::usage, "decoder-channels",
                fmt::format("--decoder-channels {}", fmt::join(options.decoder_channels, ",")),
                fmt::format("--encoder-depth {} needs {} numbers", depth, depth),
                "give one number for each level, deepest first");
  validate(options);
  return options;
}

void add_compute_flags(Options& options, ComputeFlags& flags) {
  options.flag("precision", &flags.precision,
               {.value = "TYPE",
                .help = "fp32 tf32 bf16 fp16",
                .choices = {"fp32", "tf32", "bf16", "fp16"}});
  options.flag("memory", &flags.memory,
               {.value = "MODE", .help = "normal, low", .choices = {"normal", "low"}});
  options.flag("exact", &flags.exact, {.help = "direct convolutions"});
}

}  // namespace fjord
