// Reading one sample; a loop of threads that reports the first failure.
#include "data/sample.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

namespace fjord {

namespace {

std::string name_of(const std::filesystem::path& path) { return printable(path.native()); }

Image repeat_grey(const Image& grey) {
  Image rgb = make_image(grey.height, grey.width, 3, grey.dtype);
  rgb.nodata = grey.nodata;
  const std::size_t bytes = size_of(grey.dtype);
  for (std::size_t i = 0; i < grey.pixels.size(); i += bytes)
    for (std::size_t band = 0; band < 3; ++band)
      std::memcpy(rgb.pixels.data() + 3 * i + band * bytes, grey.pixels.data() + i, bytes);
  return rgb;
}

bool is_nodata(const Image& image, int y, int x) {
  for (int band = 0; band < image.bands; ++band) {
    const double value = image.value(y, x, band);
    if (!(value == *image.nodata || (std::isnan(value) && std::isnan(*image.nodata)))) return false;
  }
  return true;
}

// Pixels without data: 0 in the image, ignored in the label.
void blank_nodata(Image& image, std::vector<std::uint8_t>& classes,
                  std::vector<std::string>& notes) {
  const std::size_t bytes = static_cast<std::size_t>(image.bands) * size_of(image.dtype);
  bool any = false;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      if (!is_nodata(image, y, x)) continue;
      const std::size_t i = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) +
                            static_cast<std::size_t>(x);
      std::memset(image.pixels.data() + i * bytes, 0, bytes);
      classes[i] = kIgnore;
      any = true;
    }
  if (any)
    notes.push_back("pixels without data (the file's nodata value): ignored, 0 in the image");
}

void match_channels(Image& image, const Sample& sample, int channels,
                    std::vector<std::string>& notes) {
  if (image.bands == channels) return;
  if (image.bands != 1 || channels != 3)
    throw Error(ExitCode::dataset, "bands",
                fmt::format("{}: {} band{}", name_of(sample.image), image.bands,
                            image.bands == 1 ? "" : "s"),
                fmt::format("the model reads {}", channels),
                fmt::format("use --in-channels {}, or convert the image", image.bands));
  image = repeat_grey(image);
  notes.push_back("grey images repeated to 3 channels");
}

void frame(DecodedSample& decoded, const Framing& framing, std::vector<std::string>& notes) {
  Image& image = decoded.image;
  const std::int64_t height = image.height, width = image.width;
  if (framing.resizes()) {
    decoded.classes = resize_label(decoded.classes, height, width, framing.height, framing.width);
    image = resize_image(image, framing.height, framing.width, framing.resampling);
  } else if (framing.crops() && (height < framing.crop_height || width < framing.crop_width)) {
    decoded.classes =
        pad_label(decoded.classes, height, width, framing.crop_height, framing.crop_width);
    image = pad_image(image, framing.crop_height, framing.crop_width);
    notes.push_back("images smaller than --crop: extended by reflection");
  }
}

}  // namespace

void check_label_size(const Sample& sample, int height, int width, int label_height,
                      int label_width) {
  if (height == label_height && width == label_width) return;
  const bool transposed = height == label_width && width == label_height;
  throw Error(
      ExitCode::dataset, "label-size",
      fmt::format("{}: {}x{}, but {} is {}x{}", name_of(sample.label), label_width, label_height,
                  name_of(sample.image), width, height),
      transposed ? "they are transposed: one of them was turned, perhaps by its EXIF orientation"
                 : "an image and its label have one size, pixel on pixel",
      transposed ? "turn the label as the image is shown" : "make the label again at that size");
}

DecodedSample read_sample(const Sample& sample, const LabelMap& labels, const Framing& framing,
                          int channels, std::vector<std::string>& notes) {
  DecodedSample decoded{read_image(sample.image, {.keep_alpha = channels == 4}), {}};
  decoded.rgb = decoded.image.bands == 3;
  Image& image = decoded.image;
  const Image label = read_label(labels, sample.label);
  check_label_size(sample, image.height, image.width, label.height, label.width);
  decoded.classes = to_classes(labels, label, sample.label, notes);
  for (const std::string& note : image.notes) notes.push_back("images: " + note);
  for (const std::string& note : label.notes) notes.push_back("labels: " + note);
  if (image.nodata) blank_nodata(image, decoded.classes, notes);
  match_channels(image, sample, channels, notes);
  frame(decoded, framing, notes);
  image.notes.clear();
  return decoded;
}

void for_each_sample(std::int64_t count, int threads,
                     const std::function<void(std::int64_t)>& body) {
  std::atomic<std::int64_t> next = 0;
  std::mutex mutex;
  std::int64_t failed_at = count;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::int64_t i; (i = next++) < count;) {
      try {
        body(i);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (i < failed_at) failed_at = i, failure = std::current_exception();
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    for (int t = 1; t < std::min<std::int64_t>(threads, count); ++t) pool.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fjord
