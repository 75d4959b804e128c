// What depends on a model's architecture, as a user meets it.
#include <doctest/doctest.h>

#include <cstring>

#include "data/image.h"
#include "data/image_write.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

ModelOptions small(const std::string& arch) {
  ModelOptions options{.arch = arch, .encoder = "resnet18", .encoder_depth = 3};
  options.decoder_channels = default_channels(3);
  if (arch != "linknet") options.decoder_channels = {32, 16, 16};
  return options;
}

int mirrored(int i, int size) {
  int at = 0, step = 1;
  for (; i > 0; --i) {
    if (at + step < 0 || at + step >= size) step = -step;
    if (size > 1) at += step;
  }
  return at;
}

// Drawn pixels of height x width, mirrored out to rows x columns.
void write_image(const fs::path& path, int height, int width, int rows, int columns) {
  Image image = make_image(rows, columns, 3);
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x)
      for (int c = 0; c < 3; ++c)
        image.pixels[static_cast<std::size_t>((y * columns + x) * 3 + c)] = static_cast<std::byte>(
            (mirrored(y, height) * 37 + mirrored(x, width) * 11 + c * 90) % 251);
  write_png(path, image);
}

// The values of a .npy of one plane.
std::vector<float> plane(const fs::path& path, int height, int width) {
  const std::string bytes = read_text(path);
  std::vector<float> values(static_cast<std::size_t>(height * width));
  REQUIRE(bytes.size() > values.size() * 4);
  std::memcpy(values.data(), bytes.data() + bytes.size() - values.size() * 4, values.size() * 4);
  return values;
}

}  // namespace

TEST_CASE("predict, evaluate: sizes that an architecture does not take are mirrored and cropped") {
  const TempFolder folder;
  constexpr int sizes[][4] = {{75, 101, 80, 104}, {3, 1, 8, 8}};
  for (const char* arch : {"unetplusplus", "linknet", "manet"})
    for (const auto& [h, w, rows, columns] : sizes) {
      CAPTURE(arch);
      const std::string model = untrained(folder.path, small(arch));
      const fs::path data = folder / "data";
      fs::create_directories(data / "images");
      fs::create_directories(data / "labels");
      write_image(data / "images/a.png", h, w, h, w);
      write_png(data / "labels/a.png", make_image(h, w, 1));
      write_image(folder / "padded.png", h, w, rows, columns);
      const Outcome predicted =
          run({"fjord-predict", model, (data / "images/a.png").string(),
               (folder / "padded.png").string(), "--output", (folder / "out").string(), "--raw"});
      REQUIRE_MESSAGE(predicted.code == 0, predicted.err);
      const auto own = plane(folder / "out/a.npy", h, w);
      const auto padded = plane(folder / "out/padded.npy", rows, columns);
      bool same = true;
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
          same = same && own[static_cast<std::size_t>(y * w + x)] ==
                             padded[static_cast<std::size_t>(y * columns + x)];
      CHECK(same);
      const std::string size = std::to_string(h) + "x" + std::to_string(w);
      for (const std::vector<std::string>& how :
           {std::vector<std::string>{}, {"--size", size}, {"--details"}}) {
        const Outcome scored = run(
            std::vector<std::string>{"fjord-evaluate", model, data.string(), "--json", "-"} + how);
        REQUIRE_MESSAGE(scored.code == 0, scored.err);
        CHECK(scored.json()["images"] == 1);
      }
    }
}

TEST_CASE(
    "options that an architecture does not have are refused, and those that a model has not") {
  const TempFolder folder;
  for (const char* arch : {"linknet", "manet"}) {
    const Outcome refused =
        run({"fjord-inspect", "--arch", arch, "--decoder-attention", "scse", "--size", "64"});
    CHECK(refused.code == 2);
    CHECK(refused.error().starts_with("error[E-model-options] --decoder-attention scse"));
  }
  const Outcome channels = run({"fjord-inspect", "--arch", "linknet", "--decoder-channels",
                                "256,128,64,32,16", "--size", "64"});
  CHECK(channels.code == 2);
  CHECK(channels.error().find("from the encoder") != std::string::npos);
  const std::string model = untrained(folder.path, small("unet"));
  write_image(folder / "a.png", 32, 32, 32, 32);
  const Outcome conflict = run({"fjord-predict", model, (folder / "a.png").string(), "--output",
                                (folder / "out").string(), "--decoder-attention", "scse"});
  CHECK(conflict.code == 2);
  CHECK(conflict.error().starts_with("error[E-model-conflict] --decoder-attention scse"));
}

TEST_CASE("inspect: an image too large for manet's attention is an error, not a signal") {
  for (const char* size : {"8192", "65536"}) {
    const Outcome refused = run({"fjord-inspect", "--arch", "manet", "--encoder", "resnet34",
                                 "--size", size, "--batch", "1", "--infer"});
    CHECK(refused.code == 2);
    CHECK(refused.error().starts_with("error[E-image-size] images of "));
  }
}
