// Where the weights of a run come from.
#include "models/import.h"
#include "models/weights.h"
#include "tools/log.h"
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

void load_start(const TrainSettings& settings, Parameters& parameters) {
  auto tell = [](const Loaded& loaded, const std::string& path) {
    for (const std::string& note : loaded.notes) say(note);
    say("start: {} ({})", printable(path), loaded.hash);
  };
  if (settings.init)
    return tell(import_model(*open_tensors(*settings.init), parameters, settings.common.seed),
                *settings.init);
  if (settings.encoder_weights)
    return tell(load_encoder_weights(*settings.encoder_weights, parameters),
                *settings.encoder_weights);
  const std::string& encoder = settings.model.encoder;
  say("start: from scratch. Pretrained weights train faster: --encoder-weights{}",
      on_hub(encoder)
          ? fmt::format(" with model.safetensors of smp-hub/{}.imagenet would fit", encoder)
          : " FILE");
}

}  // namespace fjord
