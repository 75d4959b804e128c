// Label maps: what --labels accepts, the default rule, every bad label with its exact message.
#include <doctest/doctest.h>

#include "data/label_map.h"
#include "tests/datasets/folder.h"

namespace fjord {

namespace {

std::string parse_error(const char* text, int classes = 6) {
  return message_of([&] { LabelMap::parse(text, classes); }, ExitCode::usage);
}

const std::string kLabelsHelp =
    " - write value:class pairs as in --labels \"0:0,1:1,255:ignore\", or colours as in --labels "
    "\"0,0,0:0,10,200,30:1\"";

Image grey(std::vector<int> values, int width) {
  return image_of(static_cast<int>(values.size()) / width, width, 1,
                  [&](int i) { return values[static_cast<std::size_t>(i)]; });
}

Image colors(std::vector<std::uint32_t> values, int width) {
  return image_of(static_cast<int>(values.size()) / width, width, 3, [&](int i) {
    return values[static_cast<std::size_t>(i / 3)] >> (16 - 8 * (i % 3)) & 255;
  });
}

std::vector<std::uint8_t> classes_of(const LabelMap& map, const Image& label) {
  std::vector<std::string> notes;
  return to_classes(map, label, "labels/a.png", notes);
}

std::string label_error(const LabelMap& map, const Image& label) {
  return message_of([&] { classes_of(map, label); }, ExitCode::dataset);
}

using Bytes = std::vector<std::uint8_t>;

}  // namespace

TEST_CASE("--labels: values, colours, text and back") {
  const LabelMap values = LabelMap::parse("1:0,2:1, 255:ignore", 2);
  CHECK(values.text() == "1:0,2:1,255:ignore");
  CHECK(LabelMap::parse(values.text(), 2) == values);
  CHECK(values.values_of_classes() == std::vector<std::int64_t>{1, 2});
  CHECK(values.outside() == kIgnore);
  const LabelMap colored = LabelMap::parse("10,200,30:2,0,0,0:0,255,255,255:ignore", 3);
  CHECK(colored.text() == "0,0,0:0,10,200,30:2,255,255,255:ignore");
  CHECK(LabelMap::parse(colored.text(), 3) == colored);
  CHECK(colored.colors_of_classes() == std::vector<std::uint32_t>{0, 0, 0x0AC81E});
  CHECK(LabelMap::parse("-1:ignore,1000:1,0:0,7:1", 2).values_of_classes() ==
        std::vector<std::int64_t>{0, 7});
  CHECK(LabelMap::binary(255).text() == "0:0,255:1");
  CHECK(LabelMap::binary(255).values_of_classes() == std::vector<std::int64_t>{0, 255});
  CHECK(LabelMap::binary(255).outside() == 0);
  CHECK(LabelMap::above(128).text() == "threshold:128");
  CHECK(LabelMap::parse("threshold:0.5", 2) == LabelMap::above(0.5));
}

TEST_CASE("--labels: errors say what is allowed") {
  CHECK(parse_error("") ==
        "error[E-labels] --labels \"\" - a whole number is expected at \"\"" + kLabelsHelp);
  CHECK(parse_error("a:0") ==
        "error[E-labels] --labels \"a:0\" - a whole number is expected at \"a:0\"" + kLabelsHelp);
  CHECK(parse_error("1") ==
        "error[E-labels] --labels \"1\" - a value is followed by a colon and its class" +
            kLabelsHelp);
  CHECK(parse_error("1:6") ==
        "error[E-labels] --labels \"1:6\" - class 6 is not one of 0..5 or ignore" + kLabelsHelp);
  CHECK(parse_error("1:0;2:1") ==
        "error[E-labels] --labels \"1:0;2:1\" - a comma is expected at \";2:1\"" + kLabelsHelp);
  CHECK(parse_error("1:0,1:1") ==
        "error[E-labels] --labels \"1:0,1:1\" - value 1 is there twice" + kLabelsHelp);
  CHECK(parse_error("1,2:0") ==
        "error[E-labels] --labels \"1,2:0\" - a key is one value or three of a colour, not 2" +
            kLabelsHelp);
  CHECK(parse_error("1,2,300:0") ==
        "error[E-labels] --labels \"1,2,300:0\" - 300 is not a part of a colour, 0..255" +
            kLabelsHelp);
  CHECK(parse_error("1:0,1,2,3:1") ==
        "error[E-labels] --labels \"1:0,1,2,3:1\" - values and colours don't mix" + kLabelsHelp);
  CHECK(parse_error("99999999999999999999:0") ==
        "error[E-labels] --labels \"99999999999999999999:0\" - a whole number is expected at "
        "\"99999999999999999999:0\"" +
            kLabelsHelp);
}

TEST_CASE("options that contradict each other") {
  const auto said = [](LabelOptions options) {
    return message_of([&] { label_map_of(options, {}); }, ExitCode::usage);
  };
  CHECK(said({.classes = 0}) ==
        "error[E-classes] --classes 0 - 1 is binary, 2..254 are classes of a softmax - use "
        "--classes 1");
  CHECK(said({.classes = 3, .threshold = 128}) ==
        "error[E-labels] --label-threshold 128 and --classes 3 - a threshold makes a binary label "
        "and needs no map - drop one of the two");
  CHECK(said({.labels = "0:0", .threshold = 128}) ==
        "error[E-labels] --label-threshold 128 and --labels - a threshold makes a binary label and "
        "needs no map - drop one of the two");
  CHECK(
      said({.classes = 3, .ignore_index = 2}) ==
      "error[E-labels] --ignore-index 2 and a map of 2 to class 2 - a label value is ignored or a "
      "class, not both - drop one of the two");
  CHECK(label_map_of({.classes = 3, .ignore_index = 255}, {}).text() == "0:0,1:1,2:2,255:ignore");
}

TEST_CASE("binary labels are 0/255 if any label of the set is above 1, else 0/1") {
  const Folder folder;
  Split split{"train", folder.path(), {}};
  const auto add = [&](const char* name, std::vector<int> values) {
    write_image(folder / name, grey(values, 2));
    split.samples.push_back({name, folder / name, folder / name});
  };
  add("a.png", {0, 0, 0, 0});
  add("b.png", {0, 1, 1, 0});
  const auto text = [&](LabelOptions options) { return label_map_of(options, {&split, 1}).text(); };
  CHECK(text({}) == "0:0,1:1");
  add("c.png", {0, 255, 0, 0});
  CHECK(text({}) == "0:0,255:1");
  CHECK(text({.ignore_index = 255}) == "0:0,1:1,255:ignore");
  CHECK(text({.labels = "0:1,1:0,255:ignore"}) == "0:1,1:0,255:ignore");
}

TEST_CASE("labels become classes") {
  CHECK(classes_of(LabelMap::binary(255), grey({0, 255, 255, 0}, 2)) == Bytes{0, 1, 1, 0});
  CHECK(classes_of(LabelMap::parse("3:1,7:ignore", 2), grey({3, 7}, 2)) == Bytes{1, kIgnore});
  CHECK(classes_of(LabelMap::above(128), grey({127, 128, 255, 0}, 4)) == Bytes{0, 1, 1, 0});
  CHECK(classes_of(LabelMap::parse("0,0,0:0,10,200,30:1", 2), colors({0x0AC81E, 0}, 2)) ==
        Bytes{1, 0});
  Image wide = make_image(1, 3, 1, DType::u16);
  wide.as<std::uint16_t>()[0] = 1000, wide.as<std::uint16_t>()[2] = 7;
  CHECK(classes_of(LabelMap::parse("0:0,7:1,1000:2", 3), wide) == Bytes{2, 0, 1});
  Image ids = make_image(1, 2, 1, DType::i32);
  ids.as<std::int32_t>()[0] = -1, ids.as<std::int32_t>()[1] = 70000;
  CHECK(classes_of(LabelMap::parse("-1:ignore,70000:1", 2), ids) == Bytes{kIgnore, 1});
  Image palette = grey({0, 1}, 2);
  palette.palette = {5, 6, 7, 1, 2, 3};
  CHECK(classes_of(LabelMap::parse("1,2,3:0,5,6,7:1", 2), palette) == Bytes{1, 0});
  CHECK(classes_of(LabelMap::identity(2), palette) == Bytes{0, 1});

  std::vector<std::string> notes;
  CHECK(to_classes(LabelMap::binary(255), colors({0xFFFFFF, 0}, 2), "a.png", notes) == Bytes{1, 0});
  CHECK(notes == std::vector<std::string>{"labels stored as RGB with R = G = B: read as one band"});
}

TEST_CASE("row 51: values that no class has") {
  CHECK(label_error(LabelMap::identity(3), grey({0, 1, 2, 0, 255, 255}, 3)) ==
        "error[E-label-value] labels/a.png: found 255 at x 1, y 1 and in 2 of 6 pixels - with 3 "
        "classes label values are 0..2 - use --labels \"0:0,1:1,2:2,255:ignore\"");
  CHECK(label_error(LabelMap::binary(255), grey({0, 255, 38, 0}, 2)) ==
        "error[E-label-value] labels/a.png: found 38 at x 0, y 1 and in 1 of 4 pixels - labels of "
        "this set are 0 and 255 - use --labels \"0:0,38:1,255:1\" if it is foreground, --labels "
        "\"0:0,38:ignore,255:1\" if it is unlabelled");
  CHECK(label_error(LabelMap::parse("1:0,2:1,9:ignore", 2), grey({1, 2, 3, 9}, 4)) ==
        "error[E-label-value] labels/a.png: found 3 at x 2, y 0 and in 1 of 4 pixels - the label "
        "map knows 1, 2, 9 - use --labels \"1:0,2:1,3:1,9:ignore\" if it is foreground, --labels "
        "\"1:0,2:1,3:ignore,9:ignore\" if it is unlabelled");
  for (const char* accepting : {"0:0,1:1,2:2,255:ignore"})
    CHECK(classes_of(LabelMap::parse(accepting, 3), grey({0, 1, 2, 0, 255, 255}, 3)).size() == 6);
}

TEST_CASE("row 52: coloured labels") {
  const Image label = colors({0, 0, 0x0AC81E, 0, 0, 0, 0xFF0000, 0x0AC81E}, 4);
  CHECK(label_error(LabelMap::identity(3), label) ==
        "error[E-label-color] labels/a.png: an RGB label with colours 0,0,0 (62.5 %), 10,200,30 "
        "(25.0 %), 255,0,0 (12.5 %) - a label holds class numbers, or colours that --labels names "
        "- use --labels \"0,0,0:0,10,200,30:1,255,0,0:2\"");
  CHECK(classes_of(LabelMap::parse("0,0,0:0,10,200,30:1,255,0,0:2", 3), label) ==
        Bytes{0, 0, 1, 0, 0, 0, 2, 1});
  CHECK(label_error(LabelMap::parse("0,0,0:0,10,200,30:1", 2), label) ==
        "error[E-label-color] labels/a.png: an RGB label with colours 0,0,0 (62.5 %), 10,200,30 "
        "(25.0 %), 255,0,0 (12.5 %) - 1 pixels have colours that --labels does not name - use "
        "--labels \"0,0,0:0,10,200,30:1,255,0,0:ignore\"");
}

TEST_CASE("row 53: labels with interpolated edges, or as JPEG") {
  const Image soft = image_of(1, 40, 1, [](int i) { return i * 6; });
  CHECK(label_error(LabelMap::binary(255), soft) ==
        "error[E-label-value] labels/a.png: found 6 at x 1, y 0 and in 1 of 40 pixels - labels of "
        "this set are 0 and 255 - use --label-threshold 128, or save labels as PNG without "
        "interpolation");
  CHECK(label_error(LabelMap::identity(5), soft) ==
        "error[E-label-value] labels/a.png: found 6 at x 1, y 0 and in 1 of 40 pixels - with 5 "
        "classes label values are 0..4 - save labels as PNG, resized without interpolation");
  const Image photo = image_of(4, 10, 3, [](int i) { return i * 2; });
  CHECK(label_error(LabelMap::identity(5), photo)
            .ends_with(" and 24 more - a label holds class numbers, or colours that --labels names "
                       "- save labels as "
                       "PNG, resized without interpolation"));
  CHECK(classes_of(LabelMap::above(128), soft)[22] == 1);
  CHECK(label_error(LabelMap::identity(5), make_image(2, 2, 4)) ==
        "error[E-label-bands] labels/a.png: a label of 4 bands - a label has one band, or three of "
        "8-bit colours - save it with one band");
}

}  // namespace fjord
