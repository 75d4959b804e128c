// cuda_steps: a short training run on a card, as one line: loss, hash of all weights, milliseconds
// a step, every step's loss and the gradients' norm. Equal commands must print equal hashes; so
// must --plain, which replays no graph. --cpu is what the losses and norms are compared with. With
// --sums cuDNN adds up for batch normalisation: whether hashes are equal then is the question.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "engine/loss_expression.h"
#include "engine/trainer.h"
#include "kernels/cpu/backend.h"
#include "kernels/plugin.h"
#include "kernels/rng.h"
#include "models/models.h"

namespace fjord {

namespace {

struct Settings {
  Backend backend = Backend::cuda;
  Precision precision = Precision::bf16;
  PlanOptions plan;
  ModelOptions model{.arch = "unet", .encoder = "resnet18"};
  Shape image{4, 128, 128, 3};
  int steps = 5;
};

// Throws std::exception for anything it does not know.
Settings settings_of(const std::vector<std::string>& arguments) {
  Settings s;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--plain")
      s.plan.check = true;
    else if (name == "--sums")
      set_conv_tuning({.library_sums = true});
    else if (name == "--cpu")
      s.backend = Backend::cpu, s.precision = Precision::fp32;
    else if (name == "--precision")
      s.precision = precision_of(arguments.at(++i));
    else if (name == "--encoder")
      s.model.encoder = arguments.at(++i);
    else if (name == "--size")
      s.image.h = s.image.w = std::stoi(arguments.at(++i));
    else if (name == "--batch")
      s.image.n = std::stoi(arguments.at(++i));
    else if (name == "--steps")
      s.steps = std::stoi(arguments.at(++i));
    else
      throw Error(ExitCode::usage, "argument", name, "not an argument of cuda_steps",
                  "see tests/gpu.sh");
  }
  return s;
}

void fill_batch(Trainer& trainer, Shape image, std::uint32_t number) {
  const Philox random(7);
  float* values = trainer.images();
  std::uint8_t* labels = trainer.labels();
  for (std::int64_t i = 0; i < image.count(); ++i) {
    const auto draw = random.draw(Draw::augment, number, static_cast<std::uint32_t>(i), 0);
    values[i] = static_cast<float>(uniform(draw[0]) * 2 - 1);
  }
  for (std::int64_t i = 0; i < image.pixels(); ++i) labels[i] = values[i * image.c] > 0;
}

std::uint64_t hash_of(const Parameters& parameters) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const Parameter& p : parameters.all()) {
    if (p.role == Role::counter) continue;
    for (const float value : parameters.file_values(p)) {
      std::uint32_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      hash = (hash ^ bits) * 0x100000001b3ull;
    }
  }
  return hash;
}

int run(const Settings& s) {
  enable_cpu_kernels();
  if (s.backend == Backend::cuda) enable_cuda_from(FJORD_CUDA_LIBRARY);
  Parameters parameters;
  TrainerOptions options{.image = s.image, .loss = parse_loss("0.5*dice+0.5*bce")};
  options.backend = s.backend, options.precision = s.precision, options.plan = s.plan;
  Trainer trainer([m = s.model](Net net, Tensor image) { return build_model(net, image, m); },
                  parameters, options);
  std::vector<double> losses, norms, milliseconds;
  for (int i = 0; i < s.steps; ++i) {
    Trainer::StepResult step;
    std::chrono::duration<double, std::milli> time{};
    do {  // fp16 looks for its loss scale: the same batch again
      fill_batch(trainer, s.image, static_cast<std::uint32_t>(i));
      const auto start = std::chrono::steady_clock::now();
      step = trainer.step(1e-3);
      time = std::chrono::steady_clock::now() - start;
    } while (step.skipped);
    milliseconds.push_back(time.count());
    losses.push_back(step.loss);
    norms.push_back(step.gradient_norm.value());
  }
  std::nth_element(milliseconds.begin(), milliseconds.begin() + s.steps / 2, milliseconds.end());
  fmt::print("loss {:.9g} hash {:016x} ms {:.3f} losses {:.9g} norms {:.9g}\n", losses.back(),
             hash_of(parameters), milliseconds[static_cast<std::size_t>(s.steps / 2)],
             fmt::join(losses, " "), fmt::join(norms, " "));
  return 0;
}

}  // namespace

}  // namespace fjord

int main(int argc, char** argv) {
  try {
    return fjord::run(fjord::settings_of({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
