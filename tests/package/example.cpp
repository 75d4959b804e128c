// Trains a small U-Net on tensors of the caller's own: bright discs in noise.
#include <fmt/core.h>

#include "engine/trainer.h"
#include "kernels/cpu/backend.h"
#include "kernels/rng.h"
#include "models/models.h"

int main() {
  fjord::enable_cpu_kernels();
  const fjord::ModelOptions unet{
      .encoder = "resnet18", .encoder_depth = 3, .decoder_channels = {32, 16, 8}};
  const fjord::Shape batch{.n = 4, .h = 64, .w = 64, .c = 3};
  fjord::Parameters parameters;
  fjord::Trainer trainer([&](auto net, auto image) { return build_model(net, image, unet); },
                         parameters,
                         {.image = batch, .loss = fjord::parse_loss("0.5*dice+0.5*bce")});
  double loss = 0;
  for (std::uint32_t step = 0; step < 30; ++step) {
    for (std::uint32_t i = 0; i < batch.pixels(); ++i) {
      const auto random = fjord::Philox{.key = step}(0, i);
      const int x = i % 64 - 32, y = i / 64 % 64 - 32, radius = 10 + 3 * (i / 4096);
      const bool inside = x * x + y * y < radius * radius;
      trainer.labels()[i] = inside;
      for (int band = 0; band < 3; ++band)
        trainer.images()[3 * i + band] = 0.3f * band * inside + 0.5f * fjord::uniform(random[band]);
    }
    loss = trainer.step(1e-2).loss;
    fmt::print("step {:2}  loss {:.4f}\n", step + 1, loss);
  }
  return loss < 0.2 ? 0 : 1;
}
