// Traffic of kernels that look at neighbouring pixels: pooling, resampling, augmentation.
#include <array>

#include "kernels/augment.h"
#include "kernels/spatial.h"
#include "tests/cuda/gates/traffic_cases.h"

namespace fjord {

namespace {

const Shape image{2, 32, 32, 64}, half{2, 16, 16, 64};
const Shape channels{1, 1, 1, 64};

void add_stem(std::vector<Measured>& all) {
  const Shape few{2, 32, 32, 32}, both{2, 32, 32, 96};
  // A 3x3 window of stride 2 asks for each pixel 2.25 times.
  all.push_back(
      {traffic_case("max_pool_forward", "",
                    {read("x", image), write("y", half), typed(write("tap", half), DType::u8)},
                    {"x", "y"},
                    [](Operands& t, Stream& s) {
                      max_pool_forward(t.in("x"), t.out("y"), t.out("tap"), {}, s);
                    }),
       {.asked = 2.3}});
  // Each pixel of dx looks at the up to 4 windows that it is in.
  all.push_back({traffic_case("max_pool_backward", "",
                              {read("dy", half),
                               typed(read("tap", half, [](std::int64_t) { return 4; }), DType::u8),
                               write("dx", image)},
                              {"dy", "dx"},
                              [](Operands& t, Stream& s) {
                                max_pool_backward(t.in("dy"), t.in("tap"), t.out("dx"), {}, s);
                              }),
                 {.asked = 3}});
  all.push_back({traffic_case("batch_norm_apply_max_pool", "relu",
                              {read("x", image), read("scale", channels), read("shift", channels),
                               write("y", image), write("pooled", half),
                               typed(write("tap", half), DType::u8)},
                              {"x", "y", "pooled"},
                              [](Operands& t, Stream& s) {
                                batch_norm_apply_max_pool(t.in("x"), t.in("scale"), t.in("shift"),
                                                          t.out("y"), t.out("pooled"), t.out("tap"),
                                                          Act::relu, {}, s);
                              }),
                 {.asked = 2.3}});
  all.push_back(
      {traffic_case("upsample_concat_forward", "",
                    {read("low", half), read("skip", few), write("y", both)}, {"low", "skip", "y"},
                    [](Operands& t, Stream& s) {
                      upsample_concat_forward(t.in("low"), t.in("skip"), t.out("y"), s);
                    }),
       {.asked = 1.1}});
  all.push_back({traffic_case(
      "upsample_concat_backward", "", {read("dy", both), write("dlow", half), write("dskip", few)},
      {"dy", "dlow", "dskip"}, [](Operands& t, Stream& s) {
        upsample_concat_backward(t.in("dy"), t.out("dlow"), t.out("dskip"), s);
      })});
}

void add_average(std::vector<Measured>& all, const char* what, AvgPool2d pool, double asked) {
  all.push_back(
      {traffic_case(
           "avg_pool_forward", what, {read("x", image), write("y", half)}, {"x", "y"},
           [pool](Operands& t, Stream& s) { avg_pool_forward(t.in("x"), t.out("y"), pool, s); }),
       {.asked = asked}});
  all.push_back(
      {traffic_case(
           "avg_pool_backward", what, {read("dy", half), write("dx", image)}, {"dy", "dx"},
           [pool](Operands& t, Stream& s) { avg_pool_backward(t.in("dy"), t.out("dx"), pool, s); }),
       {.asked = asked}});
}

void add_resample(std::vector<Measured>& all) {
  all.push_back(
      {traffic_case("window_copy", "padding", {read("x", image), write("y", {2, 34, 34, 64})},
                    {"x", "y"}, [](Operands& t, Stream& s) {
                      window_copy(t.in("x"), t.out("y"), {1, 1}, s);
                    })});
  // Forward a pixel is asked for by each window that it is in, backward a window by each pixel.
  add_average(all, "2x2", {{.kernel = 2, .stride = 2, .padding = 0}}, 1.7);
  add_average(all, "3x3", {{.kernel = 3, .stride = 2, .padding = 1}}, 2.2);
  // Each result is made of the four around it; a gradient of those that it has a share in, 16.
  all.push_back(
      {traffic_case("resize_forward", "bilinear", {read("x", half), write("y", image)}, {"x", "y"},
                    [](Operands& t, Stream& s) {
                      resize_forward(t.in("x"), t.out("y"), Interpolation::bilinear, s);
                    }),
       {.asked = 4.1}});
  all.push_back({traffic_case("resize_backward", "bilinear", {read("dy", image), write("dx", half)},
                              {"dy", "dx"},
                              [](Operands& t, Stream& s) {
                                resize_backward(t.in("dy"), t.out("dx"), Interpolation::bilinear,
                                                s);
                              }),
                 {.asked = 3.5}});
}

// Two images of 128x128, each through this map.
using Samples = std::array<AugmentSample, 2>;
Samples through(PixelMap map, bool colors = false) {
  AugmentSample sample;
  sample.map = map;
  if (colors) sample.shift_color = 1, sample.color = {20, 0.01f, 0.02f};
  return {sample, sample};
}

void add_augmented(std::vector<Measured>& all, const char* what, const Samples& samples,
                   Bounds image_bounds, Bounds label_bounds) {
  const Shape source{2, 128, 128, 3}, labels{2, 128, 128, 1}, bands{1, 1, 1, 3};
  const auto byte = [](std::int64_t i) { return uniform(4, i, 0, 256); };
  all.push_back({traffic_case("augment_image", what,
                              {typed(read("x", source, byte), DType::u8), read("scale", bands),
                               read("offset", bands), write("y", source)},
                              {"y"},
                              [samples](Operands& t, Stream& s) {
                                augment_image(t.in("x"), t.data("samples", samples), t.in("scale"),
                                              t.in("offset"), t.out("y"), {}, s);
                              }),
                 image_bounds});
  all.push_back(
      {traffic_case(
           "augment_label", what,
           {typed(read("x", labels, byte), DType::u8), typed(write("y", labels), DType::u8)}, {},
           [samples](Operands& t, Stream& s) {
             augment_label(t.in("x"), t.data("samples", samples), t.out("y"), {}, s);
           }),
       label_bounds});
}

// A thread reads its pixel byte by byte, between pixels four of them. Turned, the pixels of a warp
// lie in as many rows, each in a sector of its own.
void add_augmentation(std::vector<Measured>& all) {
  using augment::kOne;
  add_augmented(all, "as it is", through({kOne, 0, 0, 0, kOne, 0}), {.asked = 2.4}, {.asked = 1.3});
  add_augmented(all, "turned", through({0, -kOne, 127 * kOne, kOne, 0, 0}), {.asked = 12.1},
                {.asked = 16.8});
  const std::int64_t step = augment::fixed(1.05), before = augment::fixed(-3.2);
  add_augmented(all, "smaller, colours shifted", through({step, 0, before, 0, step, before}, true),
                {.asked = 5.9}, {.asked = 1.5});
}

}  // namespace

void add_spatial_traffic(std::vector<Measured>& all) {
  add_stem(all);
  add_resample(all);
  add_augmentation(all);
}

}  // namespace fjord
