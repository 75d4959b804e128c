// The doctor finds every planted fault in one pass, changes nothing, and training refuses the same.
#include "data/doctor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "tests/datasets/folder.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;

void add_pair(const Folder& folder, const std::string& split, const std::string& stem, int seed,
              int value = 255, int bands = 3) {
  write_image(folder / ("d/" + split + "/images/" + stem + ".png"),
              image_of(6, 8, bands, [&](int i) { return (i * 31 + seed * 7) % 256; }));
  write_image(folder / ("d/" + split + "/labels/" + stem + ".png"),
              image_of(6, 8, 1, [&](int i) { return i < 12 ? value : 0; }));
}

void healthy(const Folder& folder) {
  for (int i = 0; i < 4; ++i) add_pair(folder, "train", fmt::format("t{}", i), i);
  for (int i = 0; i < 2; ++i) add_pair(folder, "val", fmt::format("v{}", i), 10 + i);
}

std::vector<std::string> lines_of(const Folder& folder, const DoctorReport& report) {
  std::vector<std::string> lines;
  for (const Fault& fault : report.faults)
    lines.push_back((fault.severity == Fault::Severity::error ? "error " : "warning ") +
                    fault.slug + ": " + folder.short_names(fault.line()));
  return lines;
}

// Every file's bytes and time of change.
std::map<std::string, std::string> state_of(const fs::path& root) {
  std::map<std::string, std::string> state;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file())
      state[entry.path().native()] =
          bytes_of(entry.path()) +
          std::to_string(entry.last_write_time().time_since_epoch().count());
  return state;
}

}  // namespace

TEST_CASE("a healthy set: summary and no fault") {
  const Folder folder;
  healthy(folder);
  const DoctorReport report = examine_dataset(folder / "d", {});
  CHECK(lines_of(folder, report).empty());
  CHECK(to_text(report) ==
        "train: 4 pairs, PNG (4), 8-bit (4), bands 3 (4), size 8x6 (4)\n"
        "  class 0: 75.00 % of pixels\n  class 1: 25.00 % of pixels\n"
        "val: 2 pairs, PNG (2), 8-bit (2), bands 3 (2), size 8x6 (2)\n"
        "  class 0: 75.00 % of pixels\n  class 1: 25.00 % of pixels\n"
        "labels: 0:0,255:1\n0 errors, 0 warnings\n");
  const TrainingFacts facts = check_for_training(open_dataset(folder / "d"));
  CHECK(facts.bands == 3);
  CHECK(facts.sizes == std::map<std::string, std::int64_t>{{"8x6", 6}});
}

TEST_CASE("every planted fault is found, for any number of threads, and no file changes") {
  const Folder folder;
  healthy(folder);
  add_pair(folder, "train", "odd", 20, 77);  // row 51
  add_pair(folder, "train", "turned", 21);   // row 50
  write_image(folder / "d/train/labels/turned.png", image_of(8, 6, 1, [](int) { return 0; }));
  add_pair(folder, "train", "small", 22);
  write_image(folder / "d/train/labels/small.png", image_of(3, 3, 1, [](int) { return 0; }));
  add_pair(folder, "train", "cut", 23);  // row 30
  const std::string whole = bytes_of(folder / "d/train/images/cut.png");
  write_file(folder / "d/train/images/cut.png", whole.substr(0, whole.size() - 20));
  write_file(folder / "d/train/images/lonely.png", "x");                          // row 65
  add_pair(folder, "val", "leak", 0);                                             // row 67: as t0
  add_pair(folder, "val", "grey", 24, 255, 1);                                    // row 40
  add_pair(folder, "val", "empty", 25, 0);                                        // row 55
  write_file(folder / "d/val/images/page.png", "<html><body>404</body></html>");  // row 29
  write_image(folder / "d/val/labels/page.png", image_of(6, 8, 1, [](int) { return 0; }));
  const auto before = state_of(folder.path());
  const std::vector<std::string> lines = lines_of(folder, examine_dataset(folder / "d", {}));
  CHECK(state_of(folder.path()) == before);
  const auto has = [&](const std::string& start) {
    const bool found = std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.starts_with(start);
    });
    CHECK_MESSAGE(found, start);
  };
  has("error unpaired: DIR/d/train/images: 1 image without a label: lonely.png - ");
  has("error label-value: DIR/d/train/labels/odd.png: found 77 at x 0, y 0 and in 12 of 48 pixels "
      "- "
      "labels of this set are 0 and 255 - use --labels \"0:0,77:1,255:1\" if it is foreground, "
      "--labels \"0:0,77:ignore,255:1\" if it is unlabelled");
  has("error label-size: DIR/d/train/labels/turned.png: 6x8, but DIR/d/train/images/turned.png is "
      "8x6 - they are transposed: one of them was turned, perhaps by its EXIF orientation - turn "
      "the label as the image is shown");
  has("error label-size: DIR/d/train/labels/small.png: 3x3, but DIR/d/train/images/small.png is "
      "8x6 "
      "- an image and its label have one size, pixel on pixel - make the label again at that size");
  has("error leak: DIR/d/train/images/t0.png and DIR/d/val/images/leak.png: the same bytes - an "
      "image of train is also in val, so its score says nothing about new images - remove one of "
      "the two pairs");
  has("error mixed-bands: images differ in bands: 1 (1), 3 (");
  has("warning empty-label: val: 2 of 5 labels are background alone - ");
  const auto about = [&](const std::string& file) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.starts_with("error ") && line.find(file) != std::string::npos;
    });
  };
  CHECK(about("images/cut.png") == 1);
  CHECK(about("images/page.png") == 1);
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  INFO(all);
  CHECK(lines.size() == 10);
  for (const int threads : {1, 4}) {
    DoctorOptions options;
    options.threads = threads;
    CHECK(lines_of(folder, examine_dataset(folder / "d", options)) == lines);
  }
}

TEST_CASE("row 55: a class that training never shows is an error, one that val lacks a warning") {
  const Folder folder;
  for (int i = 0; i < 3; ++i) add_pair(folder, "train", fmt::format("t{}", i), i, 1);
  add_pair(folder, "val", "v", 9, 0);
  DoctorOptions options;
  options.labels.classes = 3;
  CHECK(lines_of(folder, examine_dataset(folder / "d", options)) ==
        std::vector<std::string>{
            "error absent-class: train: no pixel of class 2 - a class that training never shows "
            "can't be learned - add such labels, or leave the class out by --labels",
            "warning absent-class: val: no pixel of class 1 - its scores there say nothing about "
            "it - move some pairs that have it here",
            "warning absent-class: val: no pixel of class 2 - its scores there say nothing about "
            "it - move some pairs that have it here",
            "warning empty-label: val: 1 of 1 labels are background alone - that is fine where "
            "nothing is there to see - look at some of them"});
}

TEST_CASE("training refuses what the headers show") {
  const auto said = [](const Folder& folder, TrainingChecks checks = {}) {
    return folder.short_names(message_of(
        [&] { check_for_training(open_dataset(folder / "d"), checks); }, ExitCode::dataset));
  };
  {
    const Folder folder;  // rows 33 and 40
    healthy(folder);
    add_pair(folder, "val", "grey", 9, 255, 1);
    CHECK(said(folder) ==
          "error[E-mixed-bands] DIR/d/val/images/grey.png: 1 band of 8-bit, but "
          "DIR/d/train/images/t0.png: 3 bands of 8-bit - a model reads one number of bands and one "
          "range of values - convert the images to one kind; fjord-data check lists them all");
    CHECK(said(folder, {.in_channels = 3}) == "");
    Image wide = make_image(6, 8, 3, DType::u16);
    write_tiff(folder / "d/val/images/grey.tif", wide, nullptr);
    fs::remove(folder / "d/val/images/grey.png");
    CHECK(said(folder) ==
          "error[E-mixed-types] DIR/d/val/images/grey.tif: 3 bands of 16-bit, but "
          "DIR/d/train/images/t0.png: 3 bands of 8-bit - a model reads one number of bands and one "
          "range of values - convert the images to one kind; fjord-data check lists them all");
  }
  {
    const Folder folder;  // row 50
    healthy(folder);
    write_image(folder / "d/val/labels/v0.png", image_of(8, 6, 1, [](int) { return 0; }));
    CHECK(said(folder) ==
          "error[E-label-size] DIR/d/val/labels/v0.png: 6x8, but DIR/d/val/images/v0.png is 8x6 - "
          "they are transposed: one of them was turned, perhaps by its EXIF orientation - turn the "
          "label as the image is shown");
  }
  {
    const Folder folder;  // row 67
    healthy(folder);
    add_pair(folder, "val", "leak", 0);
    CHECK(said(folder) ==
          "error[E-leak] DIR/d/train/images/t0.png and DIR/d/val/images/leak.png: the same bytes - "
          "an image of train is also in val, so its score says nothing about new images - remove "
          "one of the two pairs");
  }
}

}  // namespace fjord
