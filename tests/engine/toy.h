// A model small enough for tests that touches every word of the vocabulary.
#pragma once

#include <vector>

#include "engine/ops.h"
#include "engine/trainer.h"
#include "kernels/rng.h"

namespace fjord::test {

/// One level down and up, with a residual and a skip; logits n x h x w x classes.
inline Model toy_model(int classes = 1, int channels = 8) {
  return [classes, channels](Net net, Tensor image) {
    Tensor x = conv_bn_act(net / "stem", image, {.conv = {.channels = channels}});
    Tensor low = max_pool(net / "pool", x, {});
    ConvBnAct residual{.conv = {.channels = channels}};
    residual.residual = low;
    low = conv_bn_act(net / "low", low, residual);
    Tensor up = upsample_concat(net / "up", low, x);
    up = conv_bn_act(net / "fuse", up, {.conv = {.channels = channels}});
    return conv2d(net / "head", up, {.channels = classes, .bias = true});
  };
}

inline constexpr Shape kToyBatch{2, 16, 16, 3};

inline TrainerOptions toy_options() {
  TrainerOptions o;
  o.image = kToyBatch;
  o.loss = parse_loss("0.5*dice+0.5*bce");
  o.schedule.lr = 1e-2;
  o.epochs = 2;
  o.seed = 1;
  return o;
}

/// Endless batches of blobs: label 1 where a wave of the image's own phase is positive.
struct Waves : BatchSource {
  Waves(Shape batch, std::int64_t count) : batch(batch), count(count) {}

  void start(int new_epoch, std::int64_t new_batch) override {
    epoch = new_epoch;
    position = new_batch;
  }
  int next(float* images, std::uint8_t* labels) override {
    if (position == count) return 0;
    const Philox random{7};
    for (std::int64_t i = 0; i < batch.pixels(); ++i) {
      const auto pixel = static_cast<std::uint32_t>(i);
      const RandomWords words =
          random.draw(Draw::scene, static_cast<std::uint32_t>(epoch * 1000 + position), pixel, 0);
      const std::int64_t row = i / batch.w % batch.h;
      labels[i] = (row / 4 + position) % 2;
      for (std::int64_t c = 0; c < batch.c; ++c)
        images[i * batch.c + c] = static_cast<float>(labels[i] + uniform(words[c % 4], -1, 1));
    }
    ++position;
    return static_cast<int>(batch.n);
  }
  std::int64_t batches() const override { return count; }

  const Shape batch;
  const std::int64_t count;
  int epoch = 0;
  std::int64_t position = 0;
};

}  // namespace fjord::test
