// Finding data sets: the accepted layouts, and every bad one with its exact message (the row
// numbers are those of docs/bad-input.md).
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "data/dataset.h"
#include "data/files.h"
#include "tests/datasets/folder.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;

// Discovery reads names alone, so the content may be anything.
void touch(const fs::path& file) { write_file(file, file.filename().native()); }

void add_pairs(const fs::path& split, int first, int count) {
  for (int i = first; i < first + count; ++i) {
    touch(split / "images" / fmt::format("p{:03}.png", i));
    touch(split / "labels" / fmt::format("p{:03}.png", i));
  }
}

std::string said(const Folder& folder, SplitOptions options = {}) {
  return folder.short_names(
      message_of([&] { open_dataset(folder / "d", options); }, ExitCode::dataset));
}

struct Row {
  int number;
  const char* what;
  std::function<void(const fs::path& data)> build;
  std::string message;
};

const std::string kPairedByStem = "an image and its label are paired by stem";

std::vector<Row> rows() {
  return {
      {64, "missing path", [](const fs::path&) {},
       "error[E-dataset-missing] DIR/d: no such folder - a data set is a folder with train/ and "
       "val/, or images/ and labels/ - check the path"},
      {64, "a file", [](const fs::path& d) { touch(d); },
       "error[E-dataset-not-folder] DIR/d: not a folder - a data set is a folder with train/ and "
       "val/, or images/ and labels/ - give the folder that holds them"},
      {64, "empty", [](const fs::path& d) { fs::create_directories(d); },
       "error[E-dataset-layout] DIR/d: no data set - looked for train/images and val/images, or "
       "images/ with labels/ (or masks/); it is empty - arrange the files so; fjord-data synth DIR "
       "draws an example"},
      {64, "other folders",
       [](const fs::path& d) {
         fs::create_directories(d / "imgs");
         touch(d / "note.txt");
       },
       "error[E-dataset-layout] DIR/d: no data set - looked for train/images and val/images, or "
       "images/ with labels/ (or masks/); it has imgs/, note.txt - arrange the files so; "
       "fjord-data "
       "synth DIR draws an example"},
      {64, "no images",
       [](const fs::path& d) {
         fs::create_directories(d / "images");
         fs::create_directories(d / "labels");
       },
       "error[E-no-images] DIR/d/images: no image files - looked for png, jpg, jpeg, tif, tiff, "
       "bmp, gif, psd, pnm, pgm, ppm and tga - put images there and their labels in labels/ beside "
       "it"},
      {64, "labels and masks",
       [](const fs::path& d) {
         add_pairs(d, 0, 2);
         fs::create_directories(d / "masks");
       },
       "error[E-dataset-layout] DIR/d: has labels/ and masks/ - only one of them can be paired "
       "with "
       "images/ - move one of the two elsewhere"},
      {65, "images without labels",
       [](const fs::path& d) {
         add_pairs(d / "train", 0, 2);
         add_pairs(d / "val", 5, 2);
         for (int i = 10; i < 33; ++i) touch(d / "train/images" / fmt::format("x{}.png", i));
       },
       "error[E-unpaired] DIR/d/train/images: 23 images without a label: x10.png, x11.png, "
       "x12.png, "
       "x13.png, x14.png, x15.png, x16.png, x17.png, x18.png, x19.png, x20.png, x21.png, x22.png, "
       "x23.png, x24.png, x25.png, x26.png, x27.png, x28.png, x29.png, and 3 more - " +
           kPairedByStem + " - add the missing files to labels/ or move these away"},
      {65, "label without image",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         touch(d / "labels/only.png");
       },
       "error[E-unpaired] DIR/d/labels: 1 label without an image: only.png - " + kPairedByStem +
           " - add the missing files to images/ or move these away"},
      {66, "two extensions",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         touch(d / "images/p001.jpg");
       },
       "error[E-duplicate-stem] DIR/d/images/p001.jpg and DIR/d/images/p001.png: one stem - " +
           kPairedByStem + " - rename or remove one of them"},
      {66, "case alone",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         touch(d / "images/P001.png");
       },
       "error[E-duplicate-stem] DIR/d/images/P001.png and DIR/d/images/p001.png: one stem - they "
       "differ in case alone, which not every disk keeps apart - rename or remove one of them"},
      {68, "no val", [](const fs::path& d) { add_pairs(d / "train", 0, 3); },
       "error[E-dataset-layout] DIR/d/val: no such folder - every epoch is validated on pairs kept "
       "out of training - move some pairs to val/images and val/labels, or give DIR/d/train with "
       "--val-fraction 0.1"},
      {68, "val empty",
       [](const fs::path& d) {
         add_pairs(d / "train", 0, 3);
         fs::create_directories(d / "val/images");
         fs::create_directories(d / "val/labels");
       },
       "error[E-no-images] DIR/d/val/images: no image files - looked for png, jpg, jpeg, tif, "
       "tiff, "
       "bmp, gif, psd, pnm, pgm, ppm and tga - put images there and their labels in labels/ beside "
       "it"},
      {68, "val without folders",
       [](const fs::path& d) {
         add_pairs(d / "train", 0, 3);
         touch(d / "val/a.png");
       },
       "error[E-dataset-layout] DIR/d/val: no split - a split has images/ and labels/ (or masks/); "
       "it has a.png - arrange the files so"},
      {68, "a single pair", [](const fs::path& d) { add_pairs(d, 0, 1); },
       "error[E-too-few] DIR/d: a single pair - training and validation need one each at least - "
       "add pairs, or arrange train/ and val/"},
      {69, "dangling link",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         fs::create_symlink("nowhere.png", d / "images/q.png");
       },
       "error[E-dangling-link] DIR/d/images/q.png: a link to nothing - its target does not exist - "
       "restore the target or remove it"},
      {69, "loop",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         fs::create_symlink("q.png", d / "images/q.png");
       },
       "error[E-link-loop] DIR/d/images/q.png: a link that leads back to itself - it names no file "
       "- remove the link"},
      {69, "pipe",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         REQUIRE(::mkfifo((d / "labels/q.png").c_str(), 0600) == 0);
       },
       "error[E-not-a-file] DIR/d/labels/q.png: a pipe, not a file - reading it could wait for "
       "ever "
       "- move it out of the data set"},
      {69, "device",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         fs::create_symlink("/dev/zero", d / "images/q.png");
       },
       "error[E-not-a-file] DIR/d/images/q.png: a device, not a file - reading it could wait for "
       "ever - move it out of the data set"},
      {70, "names that are no text",
       [](const fs::path& d) {
         add_pairs(d, 0, 3);
         touch(d / "images/bad\xff\nname\x1b[31m.png");
       },
       "error[E-unpaired] DIR/d/images: 1 image without a label: bad\\xff\\x0aname\\x1b[31m.png "
       "- " +
           kPairedByStem + " - add the missing files to labels/ or move these away"},
  };
}

}  // namespace

TEST_CASE("bad data sets: exact messages") {
  int tried = 0;
  for (const Row& row : rows()) {
    const Folder folder;
    row.build(folder / "d");
    CAPTURE(row.number);
    CAPTURE(row.what);
    CHECK(said(folder) == row.message);
    ++tried;
  }
  MESSAGE("rows 64-66, 68-70: " << tried << " data sets");
}

TEST_CASE("row 72: permission denied is not a damaged image") {
  if (::geteuid() == 0) {
    // Root may read everything, so the check runs as another user.
    const Folder folder;
    add_pairs(folder / "d", 0, 3);
    ::chmod(folder.path().c_str(), 0755);
    ::chmod((folder / "d/images/p001.png").c_str(), 0);
    if (::seteuid(65534) != 0) {
      MESSAGE("SKIPPED: can't become another user");
      return;
    }
    const std::string message = said(folder);
    REQUIRE(::seteuid(0) == 0);
    CHECK(message ==
          "error[E-permission] DIR/d/images/p001.png: permission denied - this user may "
          "not read it - chmod u+r it, or ask its owner");
    return;
  }
  const Folder folder;
  add_pairs(folder / "d", 0, 3);
  ::chmod((folder / "d/images/p001.png").c_str(), 0);
  CHECK(said(folder) ==
        "error[E-permission] DIR/d/images/p001.png: permission denied - this user "
        "may not read it - chmod u+r it, or ask its owner");
}

TEST_CASE("row 67: the same bytes in two splits") {
  const Folder folder;
  add_pairs(folder / "d/train", 0, 4);
  add_pairs(folder / "d/val", 4, 3);
  write_file(folder / "d/train/images/p002.png", std::string(100000, 'a') + "b");
  write_file(folder / "d/train/images/p003.png", std::string(100000, 'a') + "b");
  write_file(folder / "d/val/images/p005.png", std::string(100000, 'a') + "c");  // late difference
  CHECK(find_leaks(open_dataset(folder / "d")).empty());
  write_file(folder / "d/val/images/p006.png", std::string(100000, 'a') + "b");
  const auto leaks = find_leaks(open_dataset(folder / "d"));
  REQUIRE(leaks.size() == 1);
  CHECK(folder.short_names(leaks[0].line()) ==
        "DIR/d/train/images/p002.png and DIR/d/val/images/p006.png: the same bytes - an image of "
        "train is also in val, so its score says nothing about new images - remove one of the two "
        "pairs");
}

TEST_CASE("splits: train, val and test, masks as labels, sorted by bytes") {
  const Folder folder;
  for (const char* split : {"train", "val", "test"})
    for (const char* stem : {"b", "a", "Z", "a.b", "\xf0\x9f\x8f\xa0", "x\xff"}) {
      touch(folder / "d" / split / "images" / (std::string(stem) + ".JPG"));
      touch(folder / "d" / split / "masks" / (std::string(stem) + ".png"));
    }
  touch(folder / "d/train/images/.hidden");
  touch(folder / "d/train/images/b.tfw");
  const Dataset data = open_dataset(folder / "d");
  REQUIRE(data.splits.size() == 3);
  CHECK(data.splits[2].name == "test");
  std::string stems;
  for (const Sample& sample : data.at("train").samples) {
    stems += sample.stem + " ";
    CHECK(fs::exists(sample.image));
    CHECK(fs::exists(sample.label));
  }
  CHECK(stems == "Z a a.b b x\xff \xf0\x9f\x8f\xa0 ");
  REQUIRE(data.notes.size() == 1);
  CHECK(folder.short_names(data.notes[0]) ==
        "DIR/d/train/images: left out what is no image: b.tfw");
  CHECK(data.find("other") == nullptr);
  CHECK(folder.short_names(message_of([&] { data.at("other"); }, ExitCode::dataset)) ==
        "error[E-no-split] DIR/d: no other/ - this needs that part of the data set - add it with "
        "images/ and labels/");
}

TEST_CASE("one split on its own, for scoring") {
  const Folder folder;
  add_pairs(folder / "d/test", 0, 3);
  add_pairs(folder / "d/train", 0, 3);
  std::vector<std::string> notes;
  CHECK(open_split(folder / "d/test", notes).samples.size() == 3);
  CHECK(open_split(folder / "d/test/", notes).name == "test");
  CHECK(
      folder.short_names(message_of([&] { open_split(folder / "d", notes); }, ExitCode::dataset)) ==
      "error[E-dataset-layout] DIR/d: a whole data set - one split is scored at a time - give "
      "DIR/d/test");
}

TEST_CASE("without train/ and val/: split by a seeded hash of the stem") {
  const Folder folder;
  add_pairs(folder / "d", 0, 300);
  const auto val_stems = [&](SplitOptions options) {
    std::vector<std::string> stems;
    const Dataset data = open_dataset(folder / "d", options);
    for (const Sample& sample : data.at("val").samples) stems.push_back(sample.stem);
    return stems;
  };
  const auto stems = val_stems({.val_fraction = 0.2});
  CHECK(stems.size() > 35);  // 60 +- 3.6 standard deviations of 6.9
  CHECK(stems.size() < 85);
  CHECK(stems == val_stems({.val_fraction = 0.2}));
  CHECK(stems != val_stems({.val_fraction = 0.2, .seed = 1}));
  const Dataset data = open_dataset(folder / "d", {.val_fraction = 0.2});
  CHECK(data.at("train").samples.size() + stems.size() == 300);
  REQUIRE(data.notes.size() == 1);
  CHECK(data.notes[0] ==
        fmt::format("no train/ and val/: split by a hash of the stem, --val-fraction 0.2 --seed 0: "
                    "{} train, {} val",
                    300 - stems.size(), stems.size()));
  // More files leave the others where they were.
  add_pairs(folder / "d", 300, 50);
  const auto more = val_stems({.val_fraction = 0.2});
  for (const auto& stem : stems) CHECK(std::find(more.begin(), more.end(), stem) != more.end());

  const Folder small;
  add_pairs(small / "d", 0, 3);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Dataset three = open_dataset(small / "d", {.val_fraction = 0.1, .seed = seed});
    CHECK(three.at("val").samples.size() >= 1);
    CHECK(three.at("train").samples.size() >= 1);
  }
  CHECK(
      message_of([&] { open_dataset(small / "d", {.val_fraction = 1.5}); }, ExitCode::usage) ==
      "error[E-val-fraction] --val-fraction 1.5 - it is the part of the pairs used for validation, "
      "above 0 and below 1 - use --val-fraction 0.1");
}

TEST_CASE("a survey collects every fault") {
  const Folder folder;
  add_pairs(folder / "d/train", 0, 2);
  add_pairs(folder / "d/val", 5, 2);
  touch(folder / "d/train/images/lonely.png");
  touch(folder / "d/val/labels/orphan.png");
  fs::create_symlink("nowhere.png", folder / "d/val/images/gone.png");
  std::vector<Fault> faults;
  const Dataset data = survey_dataset(folder / "d", {}, faults);
  CHECK(faults.size() == 3);
  CHECK(data.at("train").samples.size() == 2);
  CHECK(data.at("val").samples.size() == 2);
}

}  // namespace fjord
