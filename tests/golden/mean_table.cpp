// How near a trained model's 3x3 filters of 16 channels and more, at stride 1, come to double
// precision when the pixels that they read have a mean far from zero:
// mean_table MODEL.safetensors [--isa avx512|avx2|plain]
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string_view>

#include "engine/tensor_file.h"
#include "kernels/conv.h"
#include "kernels/cpu/backend.h"
#include "tests/golden/recipe.h"
#include "tests/reference/reference.h"

namespace fjord::golden {
namespace {

constexpr std::int64_t kSize = 18;  // of the images: whole tiles, and parts of them at the border

struct Values {
  Values(Shape shape, DType dtype)
      : memory((static_cast<std::size_t>(shape.count()) + 8) * size_of(dtype) + 63),
        buffer{"values", shape, dtype, memory.data()} {
    buffer.data = memory.data() + (63 - (reinterpret_cast<std::uintptr_t>(buffer.data) + 63) % 64);
  }
  Values(const Values&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(buffer.data);
  }

  std::vector<std::byte> memory;
  Buffer buffer;
};

struct Layer {
  std::string name;
  std::int64_t inputs = 0, outputs = 0;
  std::vector<float> weight;  // K x 3 x 3 x C
};

Layer layer_of(const TensorFile& file, const TensorEntry& tensor) {
  Layer layer{tensor.name, tensor.shape[1], tensor.shape[0], {}};
  const std::vector<float> values = to_floats(tensor.type, file.read(tensor));
  layer.weight.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    layer.weight[static_cast<std::size_t>(
        to_nhwc(static_cast<std::int64_t>(i), {layer.outputs, 3, 3, layer.inputs}))] = values[i];
  return layer;
}

/// Pixels of that mean and a deviation of 1.
float pixel(std::int64_t i, double mean) {
  static const std::uint64_t hash = fnv1a("mean_table");
  return static_cast<float>(mean + std::sqrt(3.0) * u(hash, i));
}

template <class T>
std::vector<T> outputs(const Layer& layer, double mean, Backend backend, ConvAlgorithm algorithm) {
  const DType dtype = backend == Backend::reference ? DType::f64 : DType::f32;
  const ConvShape shape{.x = {1, kSize, kSize, layer.inputs},
                        .weight = {layer.outputs, 3, 3, layer.inputs},
                        .y = {1, kSize, kSize, layer.outputs},
                        .conv = {},
                        .dtype = dtype,
                        .algorithm = algorithm};
  Values x(shape.x, dtype), weight(shape.weight, dtype), y(shape.y, dtype);
  for (std::int64_t i = 0; i < shape.x.count(); ++i) x.as<T>()[i] = pixel(i, mean);
  std::ranges::copy(layer.weight, weight.as<T>());
  Stream stream{backend};
  ConvForward pass;
  prepare_conv_forward(shape, pass, stream);
  const Values scratch({1, 1, 1, static_cast<std::int64_t>(pass.scratch_bytes)}, DType::u8);
  pass.run({&x.buffer}, {&weight.buffer}, {}, {&y.buffer}, scratch.buffer.data, stream);
  return {y.as<T>(), y.as<T>() + shape.y.count()};
}

/// By the channel's deviation inside of the border, of all pixels.
struct Error {
  double largest = 0, rms = 0;
};

Error error_of(const std::vector<float>& found, const std::vector<double>& exact,
               std::int64_t channels) {
  Error error;
  double squares = 0;
  std::int64_t counted = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, sum2 = 0, largest = 0, apart2 = 0;
    std::int64_t inside = 0;
    for (std::int64_t p = 0; p < kSize * kSize; ++p) {
      const double value = exact[p * channels + c], apart = found[p * channels + c] - value;
      largest = std::max(largest, std::fabs(apart));
      apart2 += apart * apart / (kSize * kSize);
      const std::int64_t row = p / kSize, column = p % kSize;
      if (row == 0 || column == 0 || row == kSize - 1 || column == kSize - 1) continue;
      ++inside, sum += value, sum2 += value * value;
    }
    const double n = static_cast<double>(inside), variance = sum2 / n - sum / n * (sum / n);
    if (!(variance > 0)) continue;
    error.largest = std::max(error.largest, largest / std::sqrt(variance));
    squares += apart2 / variance;
    ++counted;
  }
  error.rms = counted ? std::sqrt(squares / static_cast<double>(counted)) : 0;
  return error;
}

// False where Winograd is further off than it should be: by its amplification around 0, by anything
// far from it.
bool print_layer(const Layer& layer) {
  bool ok = true;
  std::string row = fmt::format("{:<46} | {:>4} to {:>4}", layer.name, layer.inputs, layer.outputs);
  for (const auto& [mean, allowed] : {std::pair{0.0, 8.2}, std::pair{1000.0, 1.0}}) {
    const auto exact = outputs<double>(layer, mean, Backend::reference, ConvAlgorithm::any);
    const auto rms = [&](ConvAlgorithm algorithm) {
      const Error e =
          error_of(outputs<float>(layer, mean, Backend::cpu, algorithm), exact, layer.outputs);
      row += fmt::format(" | {:.1e} {:.1e}", e.largest, e.rms);
      return e.rms;
    };
    const double by_default = rms(ConvAlgorithm::any), direct = rms(ConvAlgorithm::direct);
    ok &= by_default <= allowed * direct;
  }
  fmt::print("{} | {}\n", row, ok ? "ok" : "FAILS");
  return ok;
}

// The instruction set that is asked for; nothing when the words are others.
std::optional<Isa> isa_of(int count, char** arguments) {
  if (count == 2) return Isa::automatic;
  if (count == 4 && arguments[2] == std::string_view("--isa"))
    for (const Isa isa : {Isa::avx512, Isa::avx2, Isa::plain})
      if (arguments[3] == to_string(isa)) return isa;
  return std::nullopt;
}

}  // namespace
}  // namespace fjord::golden

int main(int count, char** arguments) try {
  using namespace fjord;
  const auto isa = golden::isa_of(count, arguments);
  if (!isa) {
    fmt::print(stderr, "usage: mean_table MODEL.safetensors [--isa avx512|avx2|plain]\n");
    return 2;
  }
  enable_cpu_kernels(*isa);
  enable_reference_kernels();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  fmt::print(
      "errors by channel, of its deviation: largest, rms\n{:<46} | {:<12} | {:<15} | {:<15} "
      "| {:<15} | {:<15}\n",
      "filter", "channels", "mean 0: default", "direct", "1000: default", "direct");
  const auto file = open_tensors(arguments[1]);
  int layers = 0;
  bool ok = true;
  for (const TensorEntry& tensor : file->tensors())
    if (tensor.shape.size() == 4 && tensor.shape[2] == 3 && tensor.shape[3] == 3 &&
        std::min(tensor.shape[0], tensor.shape[1]) >= 16) {
      ok &= golden::print_layer(golden::layer_of(*file, tensor));
      ++layers;
    }
  fmt::print("{} filters{}\n", layers, ok ? "" : ", some FAIL");
  return ok && layers > 0 ? 0 : 1;
} catch (const fjord::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return static_cast<int>(error.exit);
}
