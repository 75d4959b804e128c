// CSV tables, event files, and the progress line.
#include <doctest/doctest.h>

#include <cstring>

#include "events.pb.h"
#include "tools/csv.h"
#include "tools/events.h"
#include "tools/progress.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

TEST_CASE("metrics.csv and steps.csv have the contract's columns") {
  CHECK(metrics_header({"background", "foreground"}) ==
        "epoch,step,lr,train_loss,val_loss,val_iou_background,val_iou_foreground,val_miou,"
        "val_accuracy,seconds,images_per_s,peak_memory_mib");
  CHECK(metrics_header({"a,b", "c d"}).find("val_iou_a_b,val_iou_c_d") != std::string::npos);
  CHECK(steps_header() == "step,epoch,lr,loss,grad_norm,images_per_s");
  CHECK(steps_row({.step = 3,
                   .epoch = 1,
                   .lr = 1e-3,
                   .loss = 1.0 / 3,
                   .grad_norm = 2,
                   .images_per_s = 9.876}) == "3,1,0.001,0.333333333,2,9.88");
}

TEST_CASE("a row is read back as it was written, absent classes too") {
  const TempFolder folder;
  const EpochRow row{.epoch = 2,
                     .step = 40,
                     .lr = 5e-4,
                     .train_loss = 0.25,
                     .val_loss = 0.5,
                     .val_iou = {0.75, std::nullopt},
                     .val_miou = 0.75,
                     .val_accuracy = 0.875,
                     .seconds = 12.5,
                     .images_per_s = 3.25,
                     .peak_memory_mib = 900};
  write_text(folder / "m.csv", metrics_header({"a", "b"}) + "\n" + metrics_row(row) + "\n");
  const auto rows = read_metrics(folder / "m.csv");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].epoch == 2);
  CHECK(rows[0].val_iou == row.val_iou);
  CHECK(rows[0].val_loss == 0.5);
  CHECK(rows[0].peak_memory_mib == 900);
}

TEST_CASE("resuming drops the rows after the checkpoint and a row cut short") {
  const TempFolder folder;
  std::string text = steps_header() + "\n";
  for (int step = 1; step <= 5; ++step)
    text += steps_row(
                {.step = step, .epoch = 1, .lr = 1, .loss = 1, .grad_norm = 1, .images_per_s = 1}) +
            "\n";
  write_text(folder / "s.csv", text + "6,1,0.0");
  {
    CsvFile file(folder / "s.csv", steps_header(), 3);
    file.append(
        steps_row({.step = 4, .epoch = 1, .lr = 2, .loss = 2, .grad_norm = 2, .images_per_s = 2}));
  }
  const auto rows = read_steps(folder / "s.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[2].loss == 1);
  CHECK(rows[3].loss == 2);
  CsvFile fresh(folder / "s.csv", steps_header(), std::nullopt);
  CHECK(read_text(folder / "s.csv") == steps_header() + "\n");
}

TEST_CASE("CRC-32C of the check string") { CHECK(crc32c("123456789") == 0xE3069283u); }

namespace {

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

std::vector<events::Event> events_of(const std::filesystem::path& folder) {
  std::vector<events::Event> list;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string bytes = read_text(entry.path());
    for (std::size_t at = 0; at < bytes.size();) {
      std::uint64_t length = 0;
      std::uint32_t length_crc = 0, crc = 0;
      std::memcpy(&length, &bytes[at], 8);
      std::memcpy(&length_crc, &bytes[at + 8], 4);
      REQUIRE(length_crc == masked(bytes.substr(at, 8)));
      const std::string message = bytes.substr(at + 12, length);
      std::memcpy(&crc, &bytes[at + 12 + length], 4);
      REQUIRE(crc == masked(message));
      list.emplace_back();
      REQUIRE(list.back().ParseFromString(message));
      at += 16 + length;
    }
  }
  return list;
}

}  // namespace

TEST_CASE("event files hold checked records that TensorBoard reads") {
  const TempFolder folder;
  {
    EventFile file(folder.path, 7);
    file.scalar("val/miou", 8, 0.5);
    file.flush();
  }
  const auto events = events_of(folder.path);
  REQUIRE(events.size() == 3);
  CHECK(events[0].file_version() == "brain.Event:2");
  CHECK(events[1].session_log().status() == 1);
  CHECK(events[1].step() == 8);
  CHECK(events[2].step() == 8);
  CHECK(events[2].summary().value(0).tag() == "val/miou");
  CHECK(events[2].summary().value(0).simple_value() == 0.5f);
}

TEST_CASE("the progress line fits its terminal") {
  const ProgressState state{.epoch = 3,
                            .epochs = 14,
                            .step = 17,
                            .steps = 39,
                            .loss = 0.4321,
                            .images_per_s = 12.34,
                            .remaining_seconds = 3725,
                            .memory_mib = 812};
  CHECK(progress_text(state, 100) ==
        "epoch 3/14  step 17/39  loss 0.4321  12.3 img/s  ETA 1h02m  812 MiB  "
        "[========            ]");
  CHECK(progress_text(state, 40) == "epoch 3/14  step 17/39  loss 0.4321");
  for (int columns = 20; columns < 120; ++columns)
    CHECK(progress_text(state, columns).size() <= static_cast<std::size_t>(columns));
  CHECK(duration_text(59.9) == "59s");
  CHECK(duration_text(61) == "1m01s");
}
