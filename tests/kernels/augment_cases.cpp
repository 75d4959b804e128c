// Cases of the augmentation; tests/datasets/augment.cpp holds it to OpenCV and to the recipe.
#include "kernels/augment.h"

#include <array>

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

constexpr std::int64_t kImages = 6;
using Samples = std::array<AugmentSample, kImages>;

struct Sizes {
  std::int64_t height, width, source_height, source_width;
};

// The first image is left as it is; the others turn, flip, grow, shrink, move and change colour.
Samples drawn(const Sizes& s, std::int64_t channels) {
  const AugmentFrame frame{.height = s.height,
                           .width = s.width,
                           .source_height = s.source_height,
                           .source_width = s.source_width,
                           .policy = AugmentPolicy::standard,
                           .rgb = channels == 3,
                           .random_crop = true};
  Samples samples;
  for (std::uint32_t i = 1; i < kImages; ++i) samples[i] = draw_augmentation({42}, 3, i, frame);
  return samples;
}

double range_of(DType dtype) { return dtype == DType::u8 ? 255 : dtype == DType::u16 ? 65535 : 1; }

void add_image(std::vector<OpCase>& cases, const Sizes& s, std::int64_t channels, DType dtype) {
  const double range = range_of(dtype);
  const auto pixel = [=](std::int64_t i) {
    return uniform(static_cast<std::uint64_t>(channels), i, 0, dtype == DType::f32 ? 1 : range + 1);
  };
  const Shape bands{1, 1, 1, channels};
  const auto scale = [=](std::int64_t i) { return (0.5 + 0.125 * static_cast<double>(i)) / range; };
  cases.push_back(
      {.slot = "augment_image",
       .what = fmt::format("{}x{} from {}x{}, {} channels of {} bytes", s.height, s.width,
                           s.source_height, s.source_width, channels, size_of(dtype)),
       .tensors = {typed(read("x", {kImages, s.source_height, s.source_width, channels}, pixel),
                         dtype),
                   read("scale", bands, scale), read("offset", bands),
                   write("y", {kImages, s.height, s.width, channels})},
       .features = {"y"},
       .run = [=](Operands& t, Stream& stream) {
         augment_image(t.in("x"), t.data("samples", drawn(s, channels)), t.in("scale"),
                       t.in("offset"), t.out("y"), {.range = static_cast<float>(range)}, stream);
       }});
}

void add_label(std::vector<OpCase>& cases, const Sizes& s) {
  const auto label = [](std::int64_t i) { return uniform(3, i, 0, 7); };
  cases.push_back(
      {.slot = "augment_label",
       .what = fmt::format("{}x{} from {}x{}", s.height, s.width, s.source_height, s.source_width),
       .tensors = {typed(read("x", {kImages, s.source_height, s.source_width, 1}, label),
                         DType::u8),
                   typed(write("y", {kImages, s.height, s.width, 1}), DType::u8)},
       .run = [=](Operands& t, Stream& stream) {
         augment_label(t.in("x"), t.data("samples", drawn(s, 1)), t.out("y"), {.outside = 255},
                       stream);
       }});
}

std::vector<OpCase> augment_cases() {
  std::vector<OpCase> cases;
  constexpr Sizes kCrop{32, 48, 61, 77}, kSquare{33, 33, 33, 33}, kDot{1, 1, 1, 1},
      kRow{1, 7, 3, 7};
  for (const Sizes& sizes : {kCrop, kSquare, kDot, kRow}) {
    for (const std::int64_t channels : {1, 3, 4, 12}) add_image(cases, sizes, channels, DType::u8);
    add_label(cases, sizes);
  }
  for (const DType dtype : {DType::u16, DType::f32})
    for (const std::int64_t channels : {3, 5}) add_image(cases, kSquare, channels, dtype);
  add_image(cases, {5, 7, 6, 9}, 300, DType::u8);
  return cases;
}

const AddCases added(augment_cases);

}  // namespace

}  // namespace fjord
