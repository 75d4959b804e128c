// What fused operations save on the CPU: Unet's training step and forward pass as they are
// recorded, and the same with the slots of fused kernels empty, in turns; then what each layer
// moves in both. fusion_table [--encoder NAME] [--turns N]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/conv_inference.h"
#include "kernels/conv_norm.h"
#include "kernels/cpu/backend.h"
#include "kernels/rng.h"
#include "tools/recorded.h"
#include "tools/roofline.h"

namespace fjord {
namespace {

constexpr double kMiB = 1048576;

template <class Slot>
struct Emptied {
  explicit Emptied(Slot& slot) : slot(slot), before(std::exchange(slot.cpu, nullptr)) {}
  ~Emptied() { slot.cpu = before; }
  Emptied(const Emptied&) = delete;

  Slot& slot;
  const decltype(Slot::cpu) before;
};

// While it lives operations are recorded one by one.
struct Plainly {
  Emptied<decltype(prepare_conv_norm_forward)> norm_forward{prepare_conv_norm_forward};
  Emptied<decltype(prepare_conv_norm_backward_filter)> filter{prepare_conv_norm_backward_filter};
  Emptied<decltype(prepare_conv_norm_backward_data)> data{prepare_conv_norm_backward_data};
  Emptied<decltype(prepare_upsample_conv_forward)> upsample{prepare_upsample_conv_forward};
  Emptied<decltype(prepare_conv_inference)> inference{prepare_conv_inference};
};

RecordedOptions options_of(const std::string& encoder, Mode mode) {
  RecordedOptions options;
  options.model.encoder = encoder;
  options.mode = mode;
  options.image = mode == Mode::train ? Shape{8, 256, 256, 3} : Shape{1, 512, 512, 3};
  return options;
}

void fill(Recorded& recorded, Shape image) {
  const Philox random(0);
  float* values = recorded.images();
  for (std::int64_t i = 0; i < image.count(); ++i)
    values[i] = static_cast<float>(
        uniform(random.draw(Draw::augment, 0, static_cast<std::uint32_t>(i), 0)[0]));
  if (std::uint8_t* labels = recorded.labels())
    for (std::int64_t i = 0; i < image.pixels(); ++i) labels[i] = values[i * image.c] > 0.5f;
}

double milliseconds(Recorded& recorded) {
  const auto start = std::chrono::steady_clock::now();
  recorded.run();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// What a layer's steps read and write, without scratch, and which fused words they are.
struct Layer {
  double plain = 0, fused = 0;
  std::map<std::string, int> words;
};

// The block, or the normalised convolution of one, that a step's path names.
std::string layer_of(std::string_view path) {
  while (path.ends_with('.')) path.remove_suffix(1);
  const std::size_t dot = path.rfind('.');
  return path.empty()                    ? "loss and between blocks"
         : dot == std::string_view::npos ? std::string(path)
                                         : std::string(path.substr(0, dot));
}

void count_words(const Step& step, std::map<std::string, int>& words) {
  const std::string_view op = step.op, by = step.implementation;
  const auto count = [&](bool is, const char* word) {
    if (is) words[word] += 1;
  };
  count(op.starts_with("upsample_conv"), "enlarges as it reads or writes");
  count(by.find(" of norm") != by.npos && by.find("sums of norm") == by.npos,
        "normalises as it reads");
  count(by.find("+ moments") != by.npos, "moments");
  count(by.find("sums of norm") != by.npos, "a gradient's sums");
  count(by.find("makes dy") != by.npos, "makes dy");
  count(op == "conv_inference", "folded");
}

using Layers = std::vector<std::pair<std::string, Layer>>;

Layer& layer_named(Layers& layers, const std::string& name) {
  const auto found = std::ranges::find(layers, name, &Layers::value_type::first);
  if (found != layers.end()) return found->second;
  return layers.emplace_back(name, Layer{}).second;
}

double add_bytes(const Recorded& recorded, double Layer::*side, Layers& layers) {
  const std::vector<Work> work = work_of(*recorded.tape);
  double sum = 0;
  for (std::size_t i = 0; i < work.size(); ++i) {
    const Step& step = recorded.tape->steps[i];
    const double bytes = work[i].bytes - work[i].scratch;
    Layer& layer = layer_named(layers, layer_of(step.path));
    layer.*side += bytes;
    sum += bytes;
    if (side == &Layer::fused) count_words(step, layer.words);
  }
  return sum;
}

void print_layers(const Layers& layers) {
  fmt::print(
      "| layer | one by one, MiB | fused, MiB | saved | what is fused |\n|---|---|---|---|---|\n");
  for (const auto& [name, layer] : layers) {
    std::string words;
    for (const auto& [word, count] : layer.words)
      words += fmt::format("{}{}{}", words.empty() ? "" : ", ", word,
                           count > 1 ? fmt::format(" x{}", count) : "");
    fmt::print("| {} | {:.1f} | {:.1f} | {:.1f} | {} |\n", name, layer.plain / kMiB,
               layer.fused / kMiB, (layer.plain - layer.fused) / kMiB, words);
  }
}

std::string cell(std::vector<double> values, int digits) {
  std::sort(values.begin(), values.end());
  return fmt::format("{0:.{3}f} ({1:.{3}f} to {2:.{3}f})", values[values.size() / 2],
                     values.front(), values.back(), digits);
}

// The losses of the first step, or all logits: the largest difference, relative to the largest
// value.
double difference(const Buffer& fused, const Buffer& plain) {
  const float *a = In{&fused}.as<float>(), *b = In{&plain}.as<float>();
  double apart = 0, largest = 0;
  for (std::int64_t i = 0; i < plain.shape.count(); ++i) {
    apart = std::max(apart, std::fabs(double(a[i]) - double(b[i])));
    largest = std::max(largest, std::fabs(double(b[i])));
  }
  return apart / largest;
}

// False where fused operations give other values, or save nothing.
bool compare(const std::string& encoder, Mode mode, int turns) {
  const RecordedOptions options = options_of(encoder, mode);
  Recorded fused(options);
  std::optional<Recorded> plain;
  {
    const Plainly plainly;
    plain.emplace(options);
  }
  fill(fused, options.image);
  fill(*plain, options.image);
  fused.run(), plain->run();
  const bool train = mode == Mode::train;
  const double apart = train ? difference(*fused.loss_value(), *plain->loss_value())
                             : difference(*fused.logits(), *plain->logits());
  std::vector<double> fused_ms, plain_ms, ratios;
  for (int i = 0; i < turns; ++i) {
    fused_ms.push_back(milliseconds(fused)), plain_ms.push_back(milliseconds(*plain));
    ratios.push_back(plain_ms.back() / fused_ms.back());
  }
  Layers layers;
  const double plain_bytes = add_bytes(*plain, &Layer::plain, layers);
  const double fused_bytes = add_bytes(fused, &Layer::fused, layers);
  fmt::print("\n{} of Unet-{}, {}\n\n", mode == Mode::train ? "training step" : "inference",
             encoder, to_string(options.image));
  fmt::print("| | one by one | fused |\n|---|---|---|\n");
  fmt::print("| steps | {} | {} |\n", plain->tape->steps.size(), fused.tape->steps.size());
  fmt::print("| MiB read and written | {:.0f} | {:.0f} |\n", plain_bytes / kMiB,
             fused_bytes / kMiB);
  fmt::print("| MiB planned | {:.0f} | {:.0f} |\n", double(plain->planned_bytes()) / kMiB,
             double(fused.planned_bytes()) / kMiB);
  fmt::print("| ms, {} turns | {} | {} |\n", turns, cell(plain_ms, 0), cell(fused_ms, 0));
  fmt::print("\ntimes as fast: {}", cell(ratios, 2));
  fmt::print("; {} {:.1e} apart\n\n", train ? "first losses" : "logits", apart);
  print_layers(layers);
  // Folded filters are rounded once more: over a network's layers that adds up, here as in goldens.
  return apart <= (train ? 1e-6 : 5e-5) && fused_bytes < plain_bytes;
}

}  // namespace
}  // namespace fjord

int main(int count, char** arguments) try {
  using namespace fjord;
  std::string encoder = "resnet34";
  int turns = 5;
  bool known = count % 2 == 1;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view flag = arguments[i];
    if (flag == "--encoder")
      encoder = arguments[i + 1];
    else if (flag == "--turns")
      turns = std::atoi(arguments[i + 1]);
    else
      known = false;
  }
  if (!known || turns < 1) {
    fmt::print(stderr, "usage: fusion_table [--encoder NAME] [--turns N]\n");
    return 2;
  }
  enable_cpu_kernels();
  const bool train = compare(encoder, Mode::train, turns);
  return compare(encoder, Mode::eval, turns) && train ? 0 : 1;
} catch (const fjord::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return static_cast<int>(error.exit);
}
