// A model opened to run it.
#include "tools/network.h"

#include <algorithm>
#include <cstring>

#include "engine/state_dict.h"
#include "kernels/parallel.h"
#include "kernels/threads.h"
#include "models/import.h"
#include "tools/model_files.h"
#include "tools/samples.h"

namespace fjord {

namespace {

std::string name_of(const std::filesystem::path& path) { return printable(path.string()); }

void blank_nodata(Image& image) {
  const double nodata = *image.nodata;
  auto missing = [&](double value) {
    return value == nodata || (std::isnan(value) && std::isnan(nodata));
  };
  const std::size_t bytes = static_cast<std::size_t>(image.bands) * size_of(image.dtype);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      bool all = true;
      for (int band = 0; band < image.bands && all; ++band) all = missing(image.value(y, x, band));
      if (all)
        std::memset(image.pixels.data() +
                        (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) +
                         static_cast<std::size_t>(x)) *
                            bytes,
                    0, bytes);
    }
}

Image repeated(const Image& grey) {
  Image rgb = make_image(grey.height, grey.width, 3, grey.dtype);
  const std::size_t bytes = size_of(grey.dtype);
  for (std::size_t i = 0; i < grey.pixels.size(); i += bytes)
    for (std::size_t band = 0; band < 3; ++band)
      std::memcpy(rgb.pixels.data() + 3 * i + band * bytes, grey.pixels.data() + i, bytes);
  return rgb;
}

template <class T>
void normalise(const Image& image, const Normalization& normalization, float* to) {
  const std::vector<float> scale = normalization.scale(), offset = normalization.offset();
  const T* pixels = image.as<T>().data();
  const std::int64_t bands = image.bands, row = image.width * bands;
  parallel_for(image.height, [&](std::int64_t y) {
    for (std::int64_t i = y * row; i < (y + 1) * row; i += bands)
      for (std::int64_t band = 0; band < bands; ++band) {
        const auto b = static_cast<std::size_t>(band);
        to[i + band] = static_cast<float>(pixels[i + band]) * scale[b] + offset[b];
      }
  });
}

std::vector<float> network_input(const Image& image, const Normalization& normalization) {
  std::vector<float> values(static_cast<std::size_t>(image.count()));
  if (image.dtype == DType::u8)
    normalise<std::uint8_t>(image, normalization, values.data());
  else if (image.dtype == DType::u16)
    normalise<std::uint16_t>(image, normalization, values.data());
  else
    normalise<float>(image, normalization, values.data());
  return values;
}

// Where an index beyond the end falls when the image is mirrored at its border pixels, again and
// again.
std::int64_t mirrored(std::int64_t i, std::int64_t size) {
  if (size == 1) return 0;
  i %= 2 * size - 2;
  return i < size ? i : 2 * size - 2 - i;
}

std::vector<float> reflected(const std::vector<float>& values, Shape from, Shape to) {
  std::vector<float> padded;
  padded.reserve(static_cast<std::size_t>(to.count()));
  for (std::int64_t y = 0; y < to.h; ++y)
    for (std::int64_t x = 0; x < to.w; ++x) {
      const float* pixel =
          values.data() + (mirrored(y, from.h) * from.w + mirrored(x, from.w)) * from.c;
      padded.insert(padded.end(), pixel, pixel + from.c);
    }
  return padded;
}

// The top left part of rows of `width` pixels, of the size that `part` has.
Logits cropped(const float* logits, std::int64_t width, Logits part) {
  const std::int64_t row = std::int64_t{part.width} * part.classes;
  for (std::int64_t y = 0; y < part.height; ++y) {
    const float* from = logits + y * width * part.classes;
    part.values.insert(part.values.end(), from, from + row);
  }
  return part;
}

}  // namespace

Network::Network(const ModelRequest& request)
    : request_(request), name_(request.path), arena_(request.compute.backend) {
  const ModelFile file = find_model(request);
  record_ = file.record;
  const Model model = [options = record_.model](Net net, Tensor image) {
    return build_model(net, image, options);
  };
  const Compute compute = request.compute;
  list_parameters(parameters_, model, record_.model.in_channels, compute.backend);
  parameters_.allocate(compute.backend);
  load_state_dict(file.weights, parameters_, nearest_network);
  evaluator_ =
      std::make_unique<Evaluator>(model, parameters_, arena_, compute.backend, PlanOptions{},
                                  compute.precision, compute.algorithm, compute.filters);
}

Normalization normalization_of(const ModelRecord& record, const ModelRequest& request,
                               DType dtype) {
  const int channels = record.model.in_channels;
  if (record.normalization && !request.normalize) {
    Normalization own = *record.normalization;
    if (own.channels() != channels)
      throw Error(
          ExitCode::model_file, "normalization", printable(request.path),
          fmt::format("it normalises {} channels, the model reads {}", own.channels(), channels),
          "use --normalize");
    own.range = request.range.value_or(own.range);
    return own;
  }
  if (channels != 3 && !request.normalize)
    throw Error(ExitCode::usage, "normalize", printable(request.path),
                "does not say how its input is normalised", "say it by --normalize unit or seed");
  if (request.normalize == "stats")
    throw Error(ExitCode::usage, "normalize", "--normalize stats",
                "the statistics are those of a training set",
                "use imagenet, half, seed, unit or none");
  return make_normalization({request.normalize.value_or("imagenet"), request.range}, channels,
                            dtype, {}, threads());
}

Framing framing_of(const ModelRecord& record, const ModelRequest& request) {
  if (request.size)
    return {.height = request.size->height,
            .width = request.size->width,
            .resampling = record.framing ? record.framing->resampling : Resampling::nearest};
  if (record.framing && record.framing->resizes()) return *record.framing;
  return {};
}

Image Network::read(const std::filesystem::path& path) const {
  const int channels = record_.model.in_channels;
  Image image = read_image(path, {.keep_alpha = channels == 4});
  if (image.nodata) blank_nodata(image);
  if (image.bands == 1 && channels == 3) image = repeated(image);
  if (image.bands != channels)
    throw Error(ExitCode::dataset, "bands", fmt::format("{}: {} bands", name_of(path), image.bands),
                fmt::format("the model reads {}", channels),
                "convert the image, or use a model made for it");
  return image;
}

Logits Network::run(const Image& image) {
  const Framing size = framing();
  const Image framed =
      size.resizes() ? resize_image(image, size.height, size.width, size.resampling) : image;
  const Shape own{1, framed.height, framed.width, framed.bands};
  const int divisor = size_divisor(record_.model);
  const Shape run{1, (own.h + divisor - 1) / divisor * divisor,
                  (own.w + divisor - 1) / divisor * divisor, own.c};
  std::vector<float> values = network_input(framed, normalization(image.dtype));
  if (run != own) values = reflected(values, own, run);
  const int classes = record_.model.classes;
  return cropped(evaluator_->predict(run, values.data()), run.w,
                 {framed.height, framed.width, classes, {}});
}

namespace {

// For every output index the two source indices and the weight of the second.
struct Tap {
  int low = 0, high = 0;
  float weight = 0;
};
std::vector<Tap> taps_of(int from, int to) {
  std::vector<Tap> taps;
  for (int i = 0; i < to; ++i) {
    const double at = std::max(0.0, (i + 0.5) * from / to - 0.5);
    const int low = std::min(static_cast<int>(at), from - 1);
    taps.push_back({low, std::min(low + 1, from - 1), static_cast<float>(at - low)});
  }
  return taps;
}

}  // namespace

Logits resize_logits(const Logits& logits, int height, int width) {
  if (logits.height == height && logits.width == width) return logits;
  const int c = logits.classes;
  Logits resized{height, width, c,
                 std::vector<float>(static_cast<std::size_t>(height) * width * c)};
  const std::vector<Tap> rows = taps_of(logits.height, height),
                         columns = taps_of(logits.width, width);
  auto at = [&](int y, int x) {
    return logits.values.data() + (std::int64_t{y} * logits.width + x) * c;
  };
  float* to = resized.values.data();
  for (const Tap& row : rows)
    for (const Tap& column : columns)
      for (int k = 0; k < c; ++k) {
        const float a = at(row.low, column.low)[k], b = at(row.low, column.high)[k];
        const float d = at(row.high, column.low)[k], e = at(row.high, column.high)[k];
        const float top = a + column.weight * (b - a), bottom = d + column.weight * (e - d);
        *to++ = top + row.weight * (bottom - top);
      }
  return resized;
}

std::vector<std::uint8_t> classes_of(const Logits& logits, double threshold) {
  return classes_of(logits.values.data(), {1, logits.height, logits.width, logits.classes},
                    threshold);
}

void add_request_flags(Options& options, ModelRequest& request) {
  options.group("model");
  options.flag("which", &request.which,
               {.value = "NAME", .help = "of a run: best, last", .choices = {"best", "last"}});
  options.flag("size", &request.size, {.value = "N|HxW|0", .help = "instead of the model's"});
  options.flag("normalize", &request.normalize,
               {.value = "HOW",
                .help = "imagenet half seed unit none",
                .choices = {"imagenet", "half", "stats", "seed", "unit", "none"}});
  options.flag("range", &request.range,
               {.value = "X",
                .help = "value that means 1",
                .range = {0, std::numeric_limits<double>::infinity(), true, false}});
  add_model_flags(options, request.flags);
  request.options = &options;
}

}  // namespace fjord
