// Where the weights of a run come from.
#include "kernels/error.h"
#include "models/config_names.h"
#include "models/import.h"
#include "models/weights.h"
#include "tools/log.h"
#include "tools/model_files.h"
#include "tools/training.h"

namespace fjord {

namespace {

// SMP's hub has ImageNet weights of the encoders, but for a few.
bool on_hub(const std::string& encoder) {
  for (const char* other :
       {"resnext101_32x4d", "resnext101_32x16d", "resnext101_32x32d", "resnext101_32x48d"})
    if (encoder == other) return false;
  return !encoder.starts_with("timm-resnest");
}

}  // namespace

void adopt_network(TrainSettings& settings, const Options& options) {
  if (!settings.init) return;
  ModelFlags& flags = settings.model;
  const auto file = open_tensors(weights_file(*settings.init));
  if (kind_of(*file) == WeightsKind::encoder)
    throw Error(ExitCode::model_file, "no-model", file->name(), "it is an encoder's weights alone",
                "start from it by --encoder-weights");
  std::optional<ModelOptions> said = options_said(*settings.init, *file);
  if (!said) said = options_recognised(*file, flags, &options);
  if (said->activation != FinalActivation::none)
    say("{}: a model trained from it has no activation", file->name());
  // Of other classes and bands a model may be; its head and first convolution are then adapted.
  if (flags.classes) said->classes = *flags.classes;
  if (flags.in_channels) said->in_channels = *flags.in_channels;
  refuse_contradictions(options, flags, *said, file->name());
  flags.arch = said->arch;
  flags.encoder = said->encoder;
  flags.encoder_depth = said->encoder_depth;
  flags.decoder_channels = said->arch == "linknet" ? std::vector<int>{} : said->decoder_channels;
  if (said->attention == Attention::scse) flags.decoder_attention = "scse";
  flags.decoder_interpolation = name_of(said->interpolation, kInterpolations);
  flags.decoder_norm = name_of(said->decoder_norm, kNorms);
  flags.pab_channels = said->pab_channels;
}

void load_start(const TrainSettings& settings, Parameters& parameters) {
  auto tell = [](const Loaded& loaded, const std::string& path) {
    for (const std::string& note : loaded.notes) say(note);
    say("start: {} ({})", printable(path), loaded.hash);
  };
  if (settings.init)
    return tell(
        import_model(*open_tensors(weights_file(*settings.init)), parameters, settings.common.seed),
        *settings.init);
  if (settings.encoder_weights)
    return tell(load_encoder_weights(weights_file(*settings.encoder_weights), parameters),
                *settings.encoder_weights);
  const std::string& encoder = settings.model.encoder;
  say("start: from scratch. Pretrained weights train faster: --encoder-weights{}",
      on_hub(encoder)
          ? fmt::format(" with model.safetensors of smp-hub/{}.imagenet would fit", encoder)
          : " FILE");
}

}  // namespace fjord
