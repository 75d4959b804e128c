// Hostile safetensors files: each is refused with exactly this line and exit code 4.
#include <chrono>
#include <vector>

#include "engine/safetensors.h"
#include "tests/checkpoints/files.h"

namespace fjord::test {

namespace {

struct Hostile {
  int row;  // of the table of bad inputs in docs/bad-input.md
  std::string bytes, where, why;
};

constexpr const char* kTensor = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";

std::string entry(std::string_view name, std::string_view fields) {
  return fmt::format(R"("{}":{{{}}})", name, fields);
}
std::string one(std::string_view fields, std::size_t data_bytes = 8) {
  return safetensors_bytes("{" + entry("a", fields) + "}", data_bytes);
}
std::string shaped(std::string_view shape) {
  return one(fmt::format(R"("dtype":"F32","shape":{},"data_offsets":[0,8])", shape));
}
std::string offset(std::string_view offsets) {
  return one(fmt::format(R"("dtype":"F32","shape":[2],"data_offsets":{})", offsets));
}
// Tensors of one byte each dimension: name, begin, end.
struct Span {
  const char* name;
  int begin, end;
};
std::string spans(const std::vector<Span>& rows, std::size_t data_bytes) {
  std::string json;
  for (const Span& row : rows)
    json += (json.empty() ? "{" : ",") +
            entry(row.name, fmt::format(R"("dtype":"U8","shape":[{}],"data_offsets":[{},{}])",
                                        row.end - row.begin, row.begin, row.end));
  return safetensors_bytes(json + "}", data_bytes);
}

std::vector<Hostile> sizes() {
  const std::string tiny = safetensors_bytes("{}", 0);
  return {
      {1, "", "", "not a safetensors file (0 bytes)"},
      {1, "PK\x03\x04", "", "not a safetensors file (4 bytes)"},
      {1, std::string(7, '\0'), "", "not a safetensors file (7 bytes)"},
      {2, std::string(8, '\0'), "", "a header of 0 bytes in a file of 8"},
      {2, std::string(8, '\xff') + "{}", "",
       "a header of 18446744073709551615 bytes in a file of 10: truncated, or not a safetensors "
       "file"},
      {2, length_prefix(3) + "{}", "",
       "a header of 3 bytes in a file of 10: truncated, or not a safetensors file"},
      {2, "<!DOCTYPE html><html></html>", "",
       "a header of 5789751444030890300 bytes in a file of 28: truncated, or not a safetensors "
       "file"},
      {2, length_prefix(100'000'001) + "{" + std::string(100'000'000, ' '), "",
       "a header of 100000001 bytes, the limit is 100000000"},
      {13, one(kTensor, 7), "", "its tensors end at byte 8 of the data, the file at 7 (truncated)"},
      {13, one(kTensor, 9), "",
       "its tensors end at byte 8 of the data, the file at 9 (trailing bytes)"},
  };
}

std::vector<Hostile> texts() {
  const std::string deep(1'000'000, '['), ok = "{" + entry("a", kTensor) + "}";
  const auto with = [](std::string_view header) { return safetensors_bytes(header, 8); };
  return {
      {3, with("\xef\xbb\xbf" + ok), "", "its header starts with byte 0xef, expected '{'"},
      {3, with(" " + ok), "", "its header starts with byte 0x20, expected '{'"},
      {3, with("[]"), "", "its header starts with byte 0x5b, expected '{'"},
      {3, with(ok + std::string(1, '\0')), "",
       "its header ends with byte 0x00, expected '}' and spaces"},
      {3, with(ok + "\n"), "", "its header ends with byte 0x0a, expected '}' and spaces"},
      {3, with("{" + std::string(1, '\0') + "}"), "",
       "its header is not valid JSON (byte 2 of the header)"},
      {3, with(ok + ok), "", "its header is not valid JSON (byte 55 of the header)"},
      {3, with("{" + entry("a\xff", kTensor) + "}"), "",
       "its header is not valid UTF-8 (byte 4 of the header)"},
      {3, with("{" + entry("\xc0\xaf", kTensor) + "}"), "",
       "its header is not valid UTF-8 (byte 3 of the header)"},
      {3, with("{\"a\":" + deep + "}"), ", tensor 'a'", "its entry is a list, expected an object"},
      {3, shaped(deep), "", "its header nests lists deeper than a tensor's shape"},
      {3, shaped("[{}]"), "", "its header nests objects deeper than a tensor's entry"},
      {3, with("{\"a\":1}"), ", tensor 'a'", "its entry is the number 1, expected an object"},
      {3, with("{\"a\":null}"), ", tensor 'a'", "its entry is null, expected an object"},
      {4, with("{" + entry("a", kTensor) + "," + entry("a", kTensor) + "}"), ", tensor 'a'",
       "the name is given twice"},
      {4, with(R"({"__metadata__":{},"__metadata__":{}})"), ", tensor '__metadata__'",
       "the name is given twice"},
      {4, one(std::string(kTensor) + R"(,"dtype":"F32")"), ", tensor 'a'",
       "'dtype' is given twice"},
      {4, one(std::string(kTensor) + R"(,"shape":[2])"), ", tensor 'a'", "'shape' is given twice"},
      {4, one(std::string(kTensor) + R"(,"strides":[1])"), ", tensor 'a'",
       "unknown field 'strides'"},
      {4, one(R"("dtype":"F32","shape":[2])"), ", tensor 'a'", "'data_offsets' is missing"},
      {4, one(""), ", tensor 'a'", "'dtype' is missing"},
  };
}

std::vector<Hostile> offsets() {
  const std::string at = ", tensor 'a'", b = ", tensor 'b'";
  const auto has = [](std::string_view what) {
    return fmt::format("'data_offsets' has {}, expected unsigned 64-bit integers", what);
  };
  return {
      {5, spans({{"a", 0, 4}, {"b", 2, 6}}, 6), b,
       "begins at byte 2, but tensor 'a' ends at byte 4 (overlap)"},
      {5, spans({{"a", 0, 4}, {"b", 5, 6}}, 6), b,
       "begins at byte 5, but tensor 'a' ends at byte 4 (gap)"},
      {5, spans({{"a", 1, 4}}, 4), at, "begins at byte 1, but the data starts at byte 0 (gap)"},
      {5, spans({{"a", 0, 4}, {"b", 2, 2}}, 4), b,
       "begins at byte 2, but tensor 'a' ends at byte 4 (overlap)"},
      {5, spans({{"a", 0, 4}, {"b", 0, 4}}, 4), b,
       "begins at byte 0, but tensor 'a' ends at byte 4 (overlap)"},
      {5, offset("[8,0]"), at, "ends at byte 0, before its begin 8"},
      {5,
       one(R"("dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[4],)"
           R"("data_offsets":[0,4]},"c":{"dtype":"U8","shape":[1],"data_offsets":[4,3])",
           4),
       ", tensor 'c'", "ends at byte 3, before its begin 4"},
      {6, offset("[-1,8]"), at, has("the negative number -1")},
      {6, offset("[0,8.0]"), at, has("the number 8.0")},
      {6, offset("[0,1e300]"), at, has("the number 1e300")},
      {6, offset(R"([0,"8"])"), at, has("a string")},
      {6, offset("[0,true]"), at, has("a boolean")},
      {6, offset("[0,null]"), at, has("null")},
      {6, offset("[0,18446744073709551616]"), at, has("the number 18446744073709551616")},
      {6, offset("[8]"), at, "'data_offsets' has 1 numbers, expected 2"},
      {6, offset("[0,4,8]"), at, "'data_offsets' has 3 numbers, expected 2"},
      {6, offset("8"), at,
       "'data_offsets' has the number 8, expected a list of unsigned 64-bit integers"},
      {6, offset("[0,18446744073709551615]"), at,
       "F32 [2] needs 8 bytes, its offsets give 18446744073709551615"},
  };
}

std::vector<Hostile> shapes() {
  const std::string at = ", tensor 'a'";
  const std::string long_name(600, 'n');
  return {
      {7, shaped("[65536,65536,65536,65536]"), at,
       "shape [65536, 65536, 65536, 65536] is too large"},
      {7, shaped("[4194305,4194305,211106198978564]"), at,
       "shape [4194305, 4194305, 211106198978564] is too large"},
      {7, shaped("[9223372036854775808]"), at, "dimension 9223372036854775808 is too large"},
      {7, shaped("[4611686018427387904]"), at, "shape [4611686018427387904] is too large"},
      {7, shaped("[1,1,1,1,1,1,1,1,2]"), at, "9 dimensions, the limit is 8"},
      {7, shaped("[-2]"), at,
       "'shape' has the negative number -2, expected unsigned 64-bit integers"},
      {7, shaped("2"), at, "'shape' has the number 2, expected a list of unsigned 64-bit integers"},
      {8, one(R"("dtype":"F4","shape":[2],"data_offsets":[0,8])"), at, "unknown dtype 'F4'"},
      {8, one(R"("dtype":"\u001b[2J","shape":[2],"data_offsets":[0,8])"), at,
       R"(unknown dtype '\x1b[2J')"},
      {8, one(R"("dtype":4,"shape":[2],"data_offsets":[0,8])"), at,
       "'dtype' has the number 4, expected a string"},
      {8, one(R"("dtype":["F32"],"shape":[2],"data_offsets":[0,8])"), at,
       "'dtype' has a list, expected a string"},
      {9, shaped("[3]"), at, "F32 [3] needs 12 bytes, its offsets give 8"},
      {9, shaped("[]"), at, "F32 [] needs 4 bytes, its offsets give 8"},
      {9, shaped("[0]"), at, "F32 [0] needs 0 bytes, its offsets give 8"},
      {14,
       safetensors_bytes(R"({"__metadata__":{"k":")" + std::string(50'000'000, 'x') + "\"}}", 0),
       "", "its metadata is longer than 1000000 bytes"},
      {14, safetensors_bytes(R"({"__metadata__":{"k\u001b[31m":1}})", 0), "",
       R"(metadata 'k\x1b[31m' is the number 1, expected a string)"},
      {14, safetensors_bytes(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "",
       "metadata 'k' is given twice"},
      {14, safetensors_bytes(R"({"__metadata__":{"k":{}}})", 0), "",
       "its header nests objects deeper than a tensor's entry"},
      {14, safetensors_bytes("{" + entry(long_name, kTensor) + "}", 8), "",
       "a tensor's name has 600 bytes, the limit is 512"},
      {14, safetensors_bytes(R"({"a\n\u009b":{}})", 0), R"(, tensor 'a\x0a\xc2\x9b')",
       "'dtype' is missing"},
  };
}

void demand_refusal(const std::vector<Hostile>& table) {
  Folder folder;
  const auto path = folder / "hostile.safetensors";
  for (const Hostile& hostile : table) {
    write_bytes(path, hostile.bytes);
    keep_hostile(hostile.bytes, "safetensors");
    const Caught error = caught([&] { SafetensorsFile file(path); });
    CAPTURE(hostile.row);
    CHECK(error.exit == 4);
    CHECK(error.line == fmt::format("error[E-safetensors] {}{} - {} - download or save the file "
                                    "again",
                                    path.string(), hostile.where, hostile.why));
  }
}

}  // namespace

TEST_CASE("hostile safetensors: sizes") { demand_refusal(sizes()); }
TEST_CASE("hostile safetensors: texts") { demand_refusal(texts()); }
TEST_CASE("hostile safetensors: offsets") { demand_refusal(offsets()); }
TEST_CASE("hostile safetensors: shapes, types, metadata") { demand_refusal(shapes()); }

TEST_CASE("hostile safetensors: too many tensors") {
  std::string json = "{";
  for (int i = 0; i < 100'002; ++i)
    json +=
        fmt::format(R"({}"{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i ? "," : "", i);
  demand_refusal({{14, safetensors_bytes(json + "}", 0), "", "more than 100000 tensors"}});
}

TEST_CASE("a safetensors path that cannot be read is an I/O error") {
  Folder folder;
  const auto refused = [&](const std::filesystem::path& path, std::string_view why) {
    const Caught error = caught([&] { SafetensorsFile file(path); });
    CHECK(error.exit == 5);
    CHECK(error.line == fmt::format("error[E-open] {} - {} - check the path and its permissions",
                                    path.string(), why));
  };
  refused(folder / "absent", "No such file or directory");
  refused(folder.path, "it is a folder, expected a file");
  refused("/dev/null", "it is not a regular file");
}

TEST_CASE("a safetensors file that shrinks while it is read is an I/O error") {
  Folder folder;
  const auto path = folder / "shrinks.safetensors";
  write_bytes(path, one(kTensor));
  const SafetensorsFile file(path);
  std::filesystem::resize_file(path, 66);
  const Caught error = caught([&] { file.read(file.header().tensors[0]); });
  CHECK(error.exit == 5);
  CHECK(error.line == fmt::format("error[E-open] {} - the file became shorter while it was read - "
                                  "check the path and its permissions",
                                  path.string()));
}

TEST_CASE("what the format allows is accepted") {
  Folder folder;
  const auto path = folder / "fine.safetensors";
  for (const std::string& bytes :
       {safetensors_bytes("{}      ", 0), safetensors_bytes(R"({"__metadata__":{"k":"v"}})", 0),
        spans({{"z", 0, 0}, {"b", 0, 4}, {"c", 4, 4}, {"a", 4, 6}}, 6),
        one(R"("data_offsets":[0,8],"shape":[],"dtype":"I64")")}) {
    write_bytes(path, bytes);
    CHECK_NOTHROW(SafetensorsFile{path});
  }
}

}  // namespace fjord::test
