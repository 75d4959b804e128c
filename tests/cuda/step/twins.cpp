// Two backends side by side.
#include "tests/cuda/step/twins.h"

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

Model model_of(const TwinOptions& options) {
  const ModelOptions model{
      .encoder = options.encoder, .in_channels = 3, .classes = options.classes};
  return [model](Net net, Tensor image) { return build_model(net, image, model); };
}

/// Memory of a backend's device with values of the host.
struct Placed {
  Placed(Backend backend, Shape shape, DType dtype, const void* values)
      : backend(backend), buffer{"", shape, dtype, nullptr}, block(backend, buffer.bytes()) {
    buffer.data = block.data();
    Stream in_order = stream(backend);
    if (values) device(backend).upload(buffer.data, values, buffer.bytes(), in_order);
  }
  void download(void* to) const {
    Stream in_order = stream(backend);
    device(backend).download(to, buffer.data, buffer.bytes(), in_order);
  }

  Backend backend;
  Buffer buffer;
  DeviceBlock block;
};

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
    const std::int64_t cx = 20 + 7 * number + 11 * n, cy = 30 - 4 * number + 9 * n;
    const bool disc = (x - cx) * (x - cx) + (y - cy) * (y - cy) < 15 * 15;
    const bool bar = std::abs(x - y / 2 - 9 * n) < 7;
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
  o.loss = parse_loss(options.loss);
  o.loss.ignore = 255;
  o.optimizer.kind = options.optimizer;
  o.accumulate = options.accumulate;
  o.seed = 3;
  o.backend = backend;
  o.precision = precision;
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

void fill_batch(Twin& twin, int classes, int number) {
  const Scenes scenes = draw_scenes(classes, number);
  std::vector<AugmentSample> samples;
  const AugmentFrame frame{kBatch.h, kBatch.w, kSource, kSource, AugmentPolicy::standard};
  for (std::uint32_t i = 0; i < kBatch.n; ++i)
    samples.push_back(
        draw_augmentation(Philox{5}, 0, static_cast<std::uint32_t>(number) * 2 + i, frame));
  const std::vector<float> scale(3, 1 / 128.0f), offset(3, -0.9f);
  const Shape source{kBatch.n, kSource, kSource, 3};
  const Backend b = twin.backend;
  const Placed image(b, source, DType::u8, scenes.images.data());
  const Placed label(b, {source.n, kSource, kSource, 1}, DType::u8, scenes.labels.data());
  const Placed draws(b,
                     {1, 1, 1, static_cast<std::int64_t>(samples.size() * sizeof(AugmentSample))},
                     DType::u8, samples.data());
  const Placed scales(b, {1, 1, 1, 3}, DType::f32, scale.data());
  const Placed offsets(b, {1, 1, 1, 3}, DType::f32, offset.data());
  Placed images(b, kBatch, DType::f32, nullptr);
  Placed labels(b, {kBatch.n, kBatch.h, kBatch.w, 1}, DType::u8, nullptr);
  Stream in_order = stream(b);
  augment_image(In{&image.buffer}, In{&draws.buffer}, In{&scales.buffer}, In{&offsets.buffer},
                Out{&images.buffer}, {.range = 255}, in_order);
  augment_label(In{&label.buffer}, In{&draws.buffer}, Out{&labels.buffer},
                {.outside = static_cast<std::uint8_t>(classes == 1 ? 0 : 255)}, in_order);
  images.download(twin.trainer->images());
  labels.download(twin.trainer->labels());
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
