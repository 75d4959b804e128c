// Two backends side by side.
#include "tests/cuda/step/twins.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/augment.h"
#include "kernels/cpu/backend.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/rng.h"

namespace fjord::test {

namespace {

constexpr std::int64_t kSource = 64;

struct Scenes {
  std::vector<std::uint8_t> images, labels;
};

// Discs and bars on noise; a class for each.
Scenes draw_scenes(int classes, int number) {
  Scenes scenes;
  scenes.images.resize(static_cast<std::size_t>(kBatch.n * kSource * kSource * 3));
  scenes.labels.resize(static_cast<std::size_t>(kBatch.n * kSource * kSource));
  const Philox random{17};
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(scenes.labels.size()); ++i) {
    const std::int64_t n = i / (kSource * kSource), y = i / kSource % kSource, x = i % kSource;
    const std::int64_t cx = (20 + 7 * number + 11 * n) % kSource,
                       cy = (30 - 4 * number + 9 * n) % kSource;
    const bool disc = (x - cx) * (x - cx) + (y - cy) * (y - cy) < 15 * 15;
    const bool bar = std::abs(x - y / 2 - 5 * n) < 7;
    scenes.labels[i] = static_cast<std::uint8_t>(classes == 1 ? disc : disc ? 1 : bar ? 2 : 0);
    const RandomWords noise = random.draw(Draw::scene, static_cast<std::uint32_t>(number),
                                          static_cast<std::uint32_t>(i), 0);
    for (std::int64_t c = 0; c < 3; ++c)
      scenes.images[3 * i + c] = static_cast<std::uint8_t>((disc  ? 150 - 40 * c
                                                            : bar ? 60 + 50 * c
                                                                  : 100) +
                                                           uniform_int(noise[c], -30, 30));
  }
  return scenes;
}

}  // namespace

Model model_of(const TwinOptions& options) {
  const ModelOptions model{
      .encoder = options.encoder, .in_channels = 3, .classes = options.classes};
  return [model](Net net, Tensor image) { return build_model(net, image, model); };
}

void enable_backends() {
  static const bool once = [] {
    enable_cpu_kernels();
    enable_cpu_augment();
    enable_device(Backend::cuda, cuda_device());
    enable_cuda_kernels();
    return true;
  }();
  (void)once;
}

Twin::Twin(const TwinOptions& options, Backend backend, Precision precision) : backend(backend) {
  TrainerOptions o;
  o.image = kBatch;
  o.classes = options.classes;
  LossExpression loss = parse_loss(options.loss);
  loss.ignore = 255;
  o.loss = loss;
  o.optimizer.kind = options.optimizer;
  o.accumulate = options.accumulate;
  o.seed = 3;
  o.backend = backend;
  o.precision = precision;
  // As the emulated card's: the deepest normalisations have 16 values each, which enlarges the
  // rounding of Winograd's convolutions to 6e-2 of a gradient.
  o.algorithm = ConvAlgorithm::direct;
  // As the programs have it: a card augments by itself, the CPU's batches come ready.
  if (backend == Backend::cuda) o.raw = SceneBatches::raw_images(options.classes);
  trainer = std::make_unique<Trainer>(model_of(options), parameters, o);
}

std::vector<float> Twin::values(const Buffer& buffer) const {
  std::vector<float> values(static_cast<std::size_t>(buffer.shape.count()));
  Stream in_order = stream(backend);
  device(backend).download(values.data(), buffer.data, buffer.bytes(), in_order);
  return values;
}

void Twin::take_state(Twin& from) {
  std::vector<std::byte> bytes;
  const auto copy = [&](Buffer& to, const Buffer& source) {
    bytes.resize(source.bytes());
    Stream out = stream(from.backend), in = stream(backend);
    device(from.backend).download(bytes.data(), source.data, bytes.size(), out);
    device(backend).upload(to.data, bytes.data(), bytes.size(), in);
  };
  copy(parameters.weights, from.parameters.weights);
  copy(parameters.statistics, from.parameters.statistics);
  copy(parameters.counters, from.parameters.counters);
  parameters.changed_by_host();
  auto &to_state = trainer->optimizer().state(), &from_state = from.trainer->optimizer().state();
  for (std::size_t i = 0; i < to_state.size(); ++i) copy(to_state[i], from_state[i]);
  UpdateState progress = trainer->optimizer().progress();
  progress.step = from.trainer->optimizer().progress().step;
  trainer->optimizer().set_progress(progress);
}

SceneBatches::SceneBatches(int classes, int number) : classes_(classes), number_(number) {}

RawImages SceneBatches::raw_images(int classes) {
  return {.source = {1, kSource, kSource, 3},
          .dtype = DType::u8,
          .scale = std::vector<float>(3, 1 / 128.0f),
          .offset = std::vector<float>(3, -0.9f),
          .image = {.range = 255},
          .label = {.outside = static_cast<std::uint8_t>(classes == 1 ? 0 : 255)}};
}

int SceneBatches::next_raw(const RawBatch& batch) {
  const Scenes scenes = draw_scenes(classes_, number_);
  std::ranges::copy(scenes.images, static_cast<std::uint8_t*>(batch.pixels));
  std::ranges::copy(scenes.labels, batch.classes);
  const AugmentFrame frame{kBatch.h, kBatch.w, kSource, kSource, AugmentPolicy::standard};
  for (std::uint32_t i = 0; i < kBatch.n; ++i)
    batch.samples[i] =
        draw_augmentation(Philox{5}, 0, static_cast<std::uint32_t>(number_) * 2 + i, frame);
  ++number_;
  return static_cast<int>(kBatch.n);
}

// The CPU's way: ready before the step sees them.
int SceneBatches::next(float* images, std::uint8_t* labels) {
  const RawImages raw = raw_images(classes_);
  const Shape source{kBatch.n, kSource, kSource, 3};
  std::vector<std::uint8_t> pixels(source.count()), classes(source.pixels());
  std::vector<AugmentSample> samples(kBatch.n);
  const int count = next_raw({pixels.data(), classes.data(), samples.data()});
  augment_on_host(raw, {pixels.data(), classes.data(), samples.data()}, kBatch, images, labels);
  return count;
}

void fill_batch(Twin& twin, int classes, int number) {
  SceneBatches batches(classes, number);
  twin.trainer->fill(batches);
}

double relative_distance(const float* a, const float* b, std::int64_t count) {
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

Worst gradient_distance(const Twin& found, const Twin& wanted) {
  const std::vector<float> a = found.values(found.parameters.gradients);
  const std::vector<float> b = wanted.values(wanted.parameters.gradients);
  Worst worst;
  for (const Parameter& p : wanted.parameters.all()) {
    if (!p.trained) continue;
    const double distance = relative_distance(a.data() + p.offset, b.data() + p.offset, p.count());
    if (!(distance <= worst.distance)) worst = {distance, p.name};
  }
  return worst;
}

}  // namespace fjord::test
