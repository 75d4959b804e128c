// Where the weights of a run come from.
#include "models/weights.h"
#include "tools/log.h"
#include "tools/training.h"

namespace fjord {

void load_start(const TrainSettings& settings, Parameters& parameters) {
  auto tell = [](const Loaded& loaded, const std::string& path) {
    for (const std::string& note : loaded.notes) say(note);
    say("start: {} ({})", printable(path), loaded.hash);
  };
  if (settings.init) return tell(load_state_dict(*settings.init, parameters), *settings.init);
  if (settings.encoder_weights)
    return tell(load_encoder_weights(*settings.encoder_weights, parameters),
                *settings.encoder_weights);
  say("start: from scratch. Pretrained weights train faster: --encoder-weights with "
      "model.safetensors of smp-hub/{}.imagenet would fit",
      settings.model.encoder);
}

}  // namespace fjord
