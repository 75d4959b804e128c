// Files of torch.save that are as they should be: both formats, views, what surrounds a state_dict.
#include "engine/torch_file.h"

#include <algorithm>
#include <cstring>

#include "engine/state_dict.h"
#include "tests/checkpoints/files.h"
#include "tests/checkpoints/torch_bytes.h"

namespace fjord::test {

namespace {

using namespace pickle;

FileBytes in_memory(std::string bytes) {
  const std::uint64_t size = bytes.size();
  return {"memory", size,
          [bytes = std::move(bytes)](std::uint64_t offset, std::span<std::byte> into) {
            std::memcpy(into.data(), bytes.data() + offset, into.size());
          }};
}

// The bytes, then zeros that nobody stores.
FileBytes sparse(std::string bytes, std::uint64_t zeros) {
  const std::uint64_t size = bytes.size() + zeros;
  return {"memory", size,
          [bytes = std::move(bytes)](std::uint64_t offset, std::span<std::byte> into) {
            std::ranges::fill(into, std::byte{});
            const std::string kept = bytes.substr(std::min<std::size_t>(offset, bytes.size()));
            std::memcpy(into.data(), kept.data(), std::min(kept.size(), into.size()));
          }};
}

std::vector<float> floats_of(const TorchFile& file, std::size_t tensor) {
  return to_floats(FileType::f32, file.read(file.tensors().at(tensor)));
}

}  // namespace

TEST_CASE("a state_dict in both formats, with views in any order of strides") {
  const std::string value = dict({{"whole", tensor({})},
                                  {"turned", tensor({.sizes = {3, 2}, .strides = {1, 3}})},
                                  {"part", tensor({.offset = 2, .sizes = {2}, .strides = {1}})},
                                  {"column", tensor({.offset = 1, .sizes = {2}, .strides = {3}})},
                                  {"number", tensor({.offset = 5, .sizes = {}, .strides = {}})}});
  for (const std::string& bytes : {torch_zip(whole(value)).bytes(), legacy(value)}) {
    const TorchFile file(in_memory(bytes));
    REQUIRE(file.tensors().size() == 5);
    CHECK(file.tensors()[0].name == "column");
    CHECK(floats_of(file, 0) == std::vector{2.f, 5.f});
    CHECK(file.tensors()[1].shape.empty());
    CHECK(floats_of(file, 1) == std::vector{6.f});
    CHECK(floats_of(file, 2) == std::vector{3.f, 4.f});
    CHECK(file.tensors()[3].shape == std::vector<std::int64_t>{3, 2});
    CHECK(floats_of(file, 3) == std::vector{1.f, 4.f, 2.f, 5.f, 3.f, 6.f});
    CHECK(floats_of(file, 4) == std::vector{1.f, 2.f, 3.f, 4.f, 5.f, 6.f});
  }
}

TEST_CASE("legacy files of any pickle protocol are told from safetensors, 3 is read as 2 is") {
  std::string third = legacy(dict({{"w", tensor({})}}));
  for (std::size_t at = 0; (at = third.find(start(), at)) != third.npos; at += 2)
    third[at + 1] = '\x03';
  REQUIRE(is_torch_file(in_memory(third)));
  CHECK(floats_of(TorchFile(in_memory(third)), 0) == std::vector{1.f, 2.f, 3.f, 4.f, 5.f, 6.f});

  // As torch.save(..., pickle_protocol=4) begins: the magic number in a frame.
  for (const int protocol : {0, 1, 4, 5}) {
    const std::string other = "\x80" + little(protocol, 1) + "\x95" + little(13, 8) +
                              "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    REQUIRE(is_torch_file(in_memory(other)));
    const Caught error = caught([&] { TorchFile torch(in_memory(other)); });
    CHECK(error.exit == 4);
    CHECK(error.line ==
          fmt::format("error[E-pickle] memory - byte 0: pickle protocol {}; 2, which torch.save "
                      "writes, and 3 are read - in Python: torch.save(torch.load(file), "
                      "'weights.pth') without pickle_protocol",
                      protocol));
  }
  CHECK_FALSE(is_torch_file(in_memory("\x80\x06")));
  CHECK_FALSE(is_torch_file(in_memory("\x80")));
}

TEST_CASE("a safetensors header as long as a pickle's first bytes is one of safetensors") {
  Folder folder;
  for (const int protocol : {0, 2, 5}) {
    std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    header.resize(static_cast<std::size_t>(protocol << 8 | 0x80), ' ');
    write_bytes(folder / "w.safetensors", safetensors_bytes(header, 8));
    CAPTURE(header.size());
    CHECK(open_tensors(folder / "w.safetensors")->tensors().size() == 1);
  }
}

TEST_CASE("row 24: what trainers save around a state_dict is left out by its type") {
  const std::string odict = call(global("collections", "OrderedDict"), {});
  const std::string weights =
      odict + "(" + text("w") +
      call(global("torch._utils", "_rebuild_parameter"), {tensor({}), "\x88", odict}) +
      text("n_averaged") + tensor({}) + text("lr") + "G" + std::string("\x3f\xe0\0\0\0\0\0\0", 8) +
      "u" + dict({{"_metadata", odict}}) + "b";
  const std::string scalar = call(global("numpy.core.multiarray", "scalar"),
                                  {call(global("numpy", "dtype"), {text("f8")}) + "(K\x03Nt" + "b",
                                   "C\x08" + std::string(8, '\0')});
  const TorchFile file(
      in_memory(torch_zip(whole(dict({{"epoch", integer(-3)},
                                      {"best", scalar},
                                      {"seen", call(global("__builtin__", "set"), {"]"})},
                                      {"path", call(global("pathlib", "PosixPath"), {text("/x")})},
                                      {"optimizer", dict({{"state", tensor({})}})},
                                      {"state_dict", weights}})))
                    .bytes()));
  REQUIRE(file.tensors().size() == 1);
  CHECK(file.tensors()[0].name == "w");
  CHECK(file.notes() == std::vector<std::string>{"weights taken from 'state_dict' of the file",
                                                 "an averaged model: n_averaged left out",
                                                 "1 values that are no tensors left out"});
}

TEST_CASE("a legacy file with storages missing, left over or cut is refused") {
  const std::string value = dict({{"w", tensor({})}});
  const std::string file = legacy(value);
  const auto refused = [](const std::string& bytes, std::string_view why) {
    const Caught error = caught([&] { TorchFile torch(in_memory(bytes)); });
    CHECK(error.exit == 4);
    CHECK(error.line.find(why) != std::string::npos);
  };
  const std::string whole_file = fmt::format(" of {} bytes)", file.size());
  for (const std::size_t missing : {1, 24, 25, 32})
    refused(file.substr(0, file.size() - missing),
            fmt::format(" - file is incomplete ({}{} - get", file.size() - missing, whole_file));
  refused(file.substr(0, file.size() - 33), "the pickle is incomplete (11 of at least 12 bytes)");
  refused(file + "x", "1 bytes are left over at its end");
  refused(legacy(dict({{"w", tensor({.elements = 5, .sizes = {5}, .strides = {1}})}})),
          "a storage has 6 elements, its tensors say 5");
  refused(legacy(dict({{"w", tensor({.key = "1"})}})), "a storage that no tensor uses");
  refused(whole("N"), "a pickle that torch.save did not write");
}

constexpr std::int64_t kTera = std::int64_t{1} << 38;  // floats of a terabyte
constexpr std::uint64_t kTeraZeros = 4 * (kTera - 6);

TEST_CASE("a tensor with wide gaps between its elements is refused, not gathered") {
  const std::string wide =
      dict({{"w", tensor({.elements = kTera, .sizes = {2, 3}, .strides = {kTera / 2, 1}})}});
  const Caught error = caught([&] { TorchFile torch(sparse(legacy(wide, kTera), kTeraZeros)); });
  CHECK(error.exit == 4);
  CHECK(error.line.find("its tensors are small views of large storages") != std::string::npos);
}

TEST_CASE("a part of a storage of any size is read, and what nobody takes is not") {
  const std::string value =
      dict({{"w", tensor({.elements = kTera})},
            {"unused", tensor({.elements = kTera, .sizes = {kTera}, .strides = {1}})}});
  const TorchFile file(sparse(legacy(value, kTera), kTeraZeros));
  Parameters parameters;
  Parameter& w = parameters.get("w", {2, 1, 1, 3}, true, Role::weight, Init::zeros);
  parameters.allocate();
  REQUIRE(file.tensors().at(1).name == "w");
  assign(file, {{&file.tensors()[1], &w, {}}}, parameters);
  CHECK(parameters.file_values(w) == std::vector{1.f, 2.f, 3.f, 4.f, 5.f, 6.f});
}

}  // namespace fjord::test
