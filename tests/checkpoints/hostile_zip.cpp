// Hostile zip archives under torch.save's files: each is refused with this reason and exit code 4.
#include "tests/checkpoints/hostile_torch.h"

namespace fjord::test {

namespace {

using namespace pickle;

constexpr const char* kNoSuchNames = "do not use this file; torch.save writes no such names";

Zip good() { return torch_zip(whole(dict({{"w", tensor({})}}))); }

// Adds the good archive after a change.
template <class F>
void add_changed(std::vector<Hostile>& table, int row, F change, const std::string& why,
                 const std::string& remedy = Hostile{}.remedy) {
  Zip zip = good();
  change(zip);
  table.push_back({row, zip.bytes(), why, remedy});
}

std::vector<Hostile> archives() {
  std::vector<Hostile> table;
  const auto add = [&table](int row, auto change, auto... said) {
    add_changed(table, row, change, said...);
  };
  add(
      20, [](Zip& z) { z.entries[2].method = 8; },
      "entry 'a/data/0' is compressed (method 8); torch.save stores entries as they are",
      "save it again with torch.save");
  add(
      20, [](Zip& z) { z.entries[2].flags = 1; },
      "entry 'a/data/0' is encrypted or of a rare kind");
  add(
      20, [](Zip& z) { z.entries[0].crc = 7; },
      "entry 'a/data.pkl' is damaged: its checksum is 24778478, the archive says 00000007");
  add(
      20, [](Zip& z) { z.entries[2].stored = 7; },
      "entry 'a/data/0' is said to hold 24 bytes in 7");
  add(
      20, [](Zip& z) { z.entries[1].size = 60; },
      "entry 'a/byteorder' (60 bytes at 271) overlaps the next, at 277");
  add(
      20, [](Zip& z) { z.entries[2].header = 0; },
      "entry 'a/data.pkl' begins at byte 0, beyond its place");
  add(
      20, [](Zip& z) { z.entries[1].local_name = "a/byteordex"; },
      "entry 'a/byteorder' has another name before its data");
  add(
      20, [](Zip& z) { z.comment = "hello"; },
      "something follows its directory, which torch.save never writes");
  add(
      20, [](Zip& z) { z.comment = Zip{}.bytes(); },
      "its directory is said to be 0 bytes at 0, which ends elsewhere than at 528");
  add(
      20, [](Zip& z) { z.volume = 1; }, "it is one of several volumes");
  add(
      20, [](Zip& z) { z.count = 2; }, "its directory has more entries than it says");
  add(
      20, [](Zip& z) { z.count = 4; }, "its directory is damaged");
  add(
      20, [](Zip& z) { z.begin = 3; },
      "its directory is said to be 167 bytes at 3, which ends elsewhere than at 506");
  add(
      20, [](Zip& z) { z.gap = std::string(99, 'x'); }, "bytes lie between entries and directory");
  add(
      20, [](Zip& z) { z.entries.push_back(z.entries[1]); }, "two entries are named 'a/byteorder'");
  return table;
}

std::vector<Hostile> strange_archives() {
  std::vector<Hostile> table;
  const auto add = [&table](int row, auto change, auto... said) {
    add_changed(table, row, change, said...);
  };
  for (const char* name : {"../../etc/x", "/etc/passwd", "a\\b", "a/../../x", "a/"})
    add(
        21, [name](Zip& z) { z.entries[1].name = name; },
        fmt::format("an entry is named '{}'", name), kNoSuchNames);
  add(
      21, [](Zip& z) { z.entries[1].name = std::string("a/\0b", 4); },
      "an entry is named 'a/\\x00b'", kNoSuchNames);
  add(
      22, [](Zip& z) { z.entries[0].name = "a/other"; },
      "a zip archive without data.pkl: torch.save did not write it");
  add(
      22, [](Zip& z) { z.entries[1].name = "a/constants.pkl"; },
      "a TorchScript archive: a program, not weights alone",
      "in Python: torch.save(torch.jit.load(file).state_dict(), 'weights.pth'), and give that "
      "file");
  add(
      25, [](Zip& z) { z.entries[1].data = "big"; },
      "its numbers are in big-endian order, little is read", kLittle);
  table.push_back({23, good().bytes().substr(0, 400),
                   "file is incomplete (400 bytes of an unknown number): the directory of entries "
                   "that ends a zip archive is missing"});
  table.push_back({23, "PK\3\4", "file is incomplete (4 of at least 22 bytes)"});
  return table;
}

// Numbers of 64 bits stand in records and extra fields of their own, which may contradict.
std::vector<Hostile> wide_archives() {
  std::vector<Hostile> table;
  const auto lie = [&table](auto change, const std::string& why) {
    add_changed(
        table, 20,
        [&](Zip& z) {
          z.wide = Zip::Wide{};
          change(z);
        },
        why);
  };
  lie([](Zip& z) { z.wide->place = 100; }, "its 64-bit end record is elsewhere");
  lie([](Zip& z) { z.wide->record_bytes = 45; }, "its 64-bit end record is damaged");
  for (const auto field : {&Zip::Wide::count, &Zip::Wide::size, &Zip::Wide::begin})
    lie([field](Zip& z) { (*z.wide).*field = 7; }, "its two end records disagree");
  lie([](Zip& z) { z.count = 0xffff, z.wide->count = 100'001; },
      "it has 100001 entries; 100000 are read");
  lie([](Zip& z) { z.count = 0xffff, z.wide->count = 4; }, "its directory is damaged");
  lie([](Zip& z) { z.begin = 0xffffffff, z.wide->begin = INT64_MAX; },
      "its directory is said to be 167 bytes at 9223372036854775807, which ends elsewhere than at "
      "506");
  lie([](Zip& z) { z.size = 0xffffffff, z.wide->size = INT64_MAX; },
      "its directory is said to be 9223372036854775807 bytes at 339, which ends elsewhere than at "
      "506");
  return table;
}

std::vector<Hostile> wide_entries() {
  constexpr std::int64_t kEscape = 0xffffffff;
  std::vector<Hostile> table;
  // The last entry's two sizes are left to its extra field.
  const auto lie = [&table](const std::string& extra, const std::string& why) {
    add_changed(
        table, 20,
        [&](Zip& z) {
          z.entries[2].size = z.entries[2].stored = kEscape;
          z.entries[2].extra = extra;
        },
        why);
  };
  const auto field = [](int kind, const std::string& data) {
    return little(static_cast<std::uint64_t>(kind), 2) + little(data.size(), 2) + data;
  };
  lie("", "a size of 64 bits is missing");
  lie(field(1, little(24, 8)), "a size of 64 bits is missing");
  lie(field(2, little(24, 8) + little(24, 8)), "a size of 64 bits is missing");
  lie(little(1, 2) + little(17, 2) + little(24, 8) + little(24, 8),
      "an extra field runs beyond its entry");
  lie(field(1, little(24, 8) + little(25, 8)), "entry 'a/data/0' is said to hold 24 bytes in 25");
  lie(field(1, std::string(16, '\xff')),
      "entry 'a/data/0' (18446744073709551615 bytes at 315) overlaps the next, at 339");
  add_changed(
      table, 20,
      [&](Zip& z) {
        z.entries[2].header = kEscape;
        z.entries[2].extra = field(1, std::string(8, '\xff'));
      },
      "entry 'a/data/0' does not follow the one before");
  return table;
}

}  // namespace

TEST_CASE("hostile torch files: archives") { demand_refusal(archives()); }
TEST_CASE("hostile torch files: archives of other things") { demand_refusal(strange_archives()); }
TEST_CASE("hostile torch files: archives beyond 32 bits") { demand_refusal(wide_archives()); }
TEST_CASE("hostile torch files: entries beyond 32 bits") { demand_refusal(wide_entries()); }

TEST_CASE("an archive with numbers of 64 bits that say the truth is read") {
  Folder folder;
  Zip zip = good();
  zip.wide = Zip::Wide{};
  zip.count = 0xffff,
  zip.size = zip.begin = zip.entries[2].size = zip.entries[2].stored = 0xffffffff;
  zip.entries[2].extra = little(1, 2) + little(16, 2) + little(24, 8) + little(24, 8);
  write_bytes(folder / "wide.pth", zip.bytes());
  CHECK(open_tensors(folder / "wide.pth")->tensors().size() == 1);
}

TEST_CASE("row 20: damaged bytes of a tensor are found when it is read") {
  Folder folder;
  Zip zip = good();
  zip.entries[2].crc = 7;
  write_bytes(folder / "damaged.pth", zip.bytes());
  const auto file = open_tensors(folder / "damaged.pth");
  const Caught error = caught([&] { file->read(file->tensors()[0]); });
  CHECK(error.exit == 4);
  CHECK(error.line.find("entry 'w' is damaged: its checksum is 1939e524, the archive says "
                        "00000007") != std::string::npos);
}

TEST_CASE("row 23: a file of torch.save that is cut anywhere is refused") {
  Folder folder;
  const std::string bytes = good().bytes();
  for (std::size_t cut = 2; cut < bytes.size(); ++cut) {
    write_bytes(folder / "cut.pth", bytes.substr(0, cut));
    CAPTURE(cut);
    CHECK(caught([&] { open_tensors(folder / "cut.pth"); }).exit == 4);
  }
}

}  // namespace fjord::test
