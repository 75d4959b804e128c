// Hostile files of torch.save: each is refused with this reason and exit code 4, and nothing of it
// is run. Rows are those of docs/bad-input.md.
#include <array>

#include "engine/tensor_file.h"
#include "tests/checkpoints/files.h"
#include "tests/checkpoints/torch_bytes.h"

namespace fjord::test {

namespace {

using namespace pickle;

struct Hostile {
  int row;
  std::string bytes, why;
};

std::string zipped(const std::string& value) { return torch_zip(whole(value)).bytes(); }
std::string state(const std::string& value) { return zipped(dict({{"w", value}})); }
std::string with(const Tensor& t) { return state(tensor(t)); }
std::string run(std::string_view module, std::string_view name) {
  return state(call(global(module, name), {text("touch /tmp/owned")}));
}

std::vector<Hostile> forbidden_names() {
  std::vector<Hostile> table;
  constexpr std::array<std::array<const char*, 2>, 16> names{{{"os", "system"},
                                                              {"posix", "system"},
                                                              {"nt", "system"},
                                                              {"builtins", "eval"},
                                                              {"builtins", "exec"},
                                                              {"builtins", "getattr"},
                                                              {"__builtin__", "apply"},
                                                              {"__builtin__", "file"},
                                                              {"subprocess", "Popen"},
                                                              {"runpy", "run_path"},
                                                              {"torch.hub", "load"},
                                                              {"pip", "main"},
                                                              {"socket", "create_connection"},
                                                              {"shutil", "rmtree"},
                                                              {"importlib", "import_module"},
                                                              {"functools", "partial"}}};
  for (const auto& [module, name] : names)
    table.push_back({15, run(module, name),
                     fmt::format("forbidden global {}.{} at byte 50: the file tries to run code; "
                                 "nothing was run",
                                 module, name)});
  table.push_back({22, run("segmentation_models_pytorch.decoders.unet.model", "Unet"),
                   "global segmentation_models_pytorch.decoders.unet.model.Unet at byte 50 is no "
                   "tensor and no plain value: the file holds Python objects, perhaps a whole "
                   "model; nothing was run"});
  table.push_back({25, run("torch._utils", "_rebuild_sparse_tensor"),
                   "torch._utils._rebuild_sparse_tensor at byte 50 makes a sparse tensor, which is "
                   "not read"});
  table.push_back({25, run("torch._utils", "_rebuild_qtensor"),
                   "torch._utils._rebuild_qtensor at byte 50 makes a quantised tensor, which is "
                   "not read"});
  table.push_back({25, with({.type = "ComplexFloatStorage"}),
                   "torch.ComplexFloatStorage at byte 97 makes complex numbers, which is not "
                   "read"});
  return table;
}

std::vector<Hostile> opcodes() {
  const std::string odict = global("collections", "OrderedDict");
  std::vector<Hostile> table;
  for (const auto& [opcode, shown] : {std::pair{std::string("\x93"), "0x93"},
                                      {"ios\nsystem\n", "0x69"},
                                      {"o", "0x6f"},
                                      {"\x92", "0x92"},
                                      {"\x82\1", "0x82"},
                                      {"\x83\1\1", "0x83"},
                                      {"\x84\1\1\1\1", "0x84"},
                                      {"\xff", "0xff"},
                                      {"P1\n", "0x50"},
                                      {"0", "0x30"}})
    table.push_back(
        {16, zipped(opcode),
         fmt::format("byte 42: opcode {} is not one that files of weights need; nothing "
                     "was run",
                     shown)});
  const auto at = [&](int row, const std::string& value, int byte, const std::string& why) {
    table.push_back({row, zipped(value), fmt::format("byte {}: {}", byte, why)});
  };
  at(17, text("f") + ")R", 49, "it calls a value that is no name");
  at(17, global("torch", "FloatStorage") + ")R", 63,
     "it calls torch FloatStorage, which is no "
     "function");
  at(17, tensor({}) + "}b", 221, "it sets the state of a value that has none");
  at(17, "]" + text("k") + "Ns", 50, "it adds items to a value that takes none");
  at(17, "}(" + text("k") + "u", 50, "a key without a value");
  at(17, "Nq\1", 43, "it remembers value 1 where 0 is next");
  at(17, "h\7", 42, "it recalls value 7 of 0");
  at(17, "R", 42, "it takes a value from an empty stack");
  at(17, "N(R", 44, "it takes a value from an empty stack");
  at(17, "\x87", 42, "it takes 3 values from a stack of 0");
  at(17, "t", 42, "it looks for a mark that nobody set");
  at(17, "NN", 44, "values are left over at its end");
  at(17, "NQ", 43, "a storage that is not described by a tuple");
  at(17, call(global("torch._utils", "_rebuild_parameter"), {"N"}), 78, "a parameter of no tensor");
  at(19, "\x8b" + little(0xffffffff, 4), 42, "an integer of 4294967295 bytes");
  at(19, "X" + little(0xfffffff0, 4), 42, "a text of 4294967280 bytes, 65536 are allowed");
  at(19, "N" + std::string(70, '\x85'), 107, "containers nested more than 64 deep");
  at(19, std::string(70, '('), 106, "marks nested more than 64 deep");
  std::string copies = "(" + std::string(100'000, 'N') + "tq";
  copies += '\0';
  for (int i = 0; i < 100; ++i) copies += std::string("h\0Q", 3);
  at(19, copies, 100'165, "containers of more than 4000000 items");
  at(16, "\x80\7", 42, "pickle protocol 7; 2, which torch.save writes, and 3 are read");
  at(16, "\x80\4", 42, "pickle protocol 4; 2, which torch.save writes, and 3 are read");
  return table;
}

std::vector<Hostile> tensors() {
  const auto beyond = [](const Tensor& t, const std::string& what) {
    return Hostile{
        18, with(t),
        fmt::format("tensor 'w' ({}) reaches beyond its storage of {} elements", what, t.elements)};
  };
  return {
      beyond({.offset = 1}, "offset 1, shape [2, 3], strides [3, 1]"),
      beyond({.offset = -1}, "offset -1, shape [2, 3], strides [3, 1]"),
      beyond({.strides = {4, 1}}, "offset 0, shape [2, 3], strides [4, 1]"),
      beyond({.strides = {-3, 1}}, "offset 0, shape [2, 3], strides [-3, 1]"),
      {18, with({.strides = {1}}), "tensor 'w' has 2 sizes and 1 strides, at most 8 are read"},
      {18, with({.sizes = std::vector<std::int64_t>(1000, 1)}),
       "tensor 'w' has 1000 sizes and 2 strides, at most 8 are read"},
      beyond({.sizes = {-2, 3}}, "offset 0, shape [-2, 3], strides [3, 1]"),
      beyond({.sizes = {std::int64_t{1} << 62, 4}, .strides = {0, 0}},
             "offset 0, shape [4611686018427387904, 4], strides [0, 0]"),
      beyond({.sizes = {1000, 1000}, .strides = {0, 0}},
             "offset 0, shape [1000, 1000], strides [0, 0]"),
      {18, with({.elements = 7}), "tensor 'w': its storage '0' of 7 elements is not in the file"},
      {18, with({.key = "9"}), "tensor 'w': its storage '9' of 6 elements is not in the file"},
      {18, with({.type = "DoubleStorage"}),
       "tensor 'w': its storage '0' of 6 elements is not in the file"},
      {18, with({.elements = -6}), "a storage is described in an unknown way"},
      {18, state(call(global("torch._utils", "_rebuild_tensor_v2"), {"N"})),
       "tensor 'w' is described in an unknown way"},
      {10, zipped(dict({{"epoch", integer(3)}})),
       "it holds no state_dict (looked at the top, and under state_dict, model_state_dict, "
       "network_weights, model, net, weights)"},
      {18, zipped(dict({{"w", tensor({})}, {"w", tensor({})}})),
       "tensor 'w' stands twice, or its name is too long"},
  };
}

Zip good() { return torch_zip(whole(dict({{"w", tensor({})}}))); }

// The good archive after a change.
template <class F>
Hostile changed(int row, F change, const std::string& why) {
  Zip zip = good();
  change(zip);
  return {row, zip.bytes(), why};
}

std::vector<Hostile> archives() {
  std::vector<Hostile> table;
  const auto add = [&table](int row, auto change, const std::string& why) {
    table.push_back(changed(row, change, why));
  };
  add(
      20, [](Zip& z) { z.entries[2].method = 8; },
      "entry 'a/data/0' is compressed (method 8); torch.save stores entries as they are");
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
  const auto add = [&table](int row, auto change, const std::string& why) {
    table.push_back(changed(row, change, why));
  };
  for (const char* name : {"../../etc/x", "/etc/passwd", "a\\b", "a/../../x", "a/"})
    add(
        21, [name](Zip& z) { z.entries[1].name = name; },
        fmt::format("an entry is named '{}'", name));
  add(
      21, [](Zip& z) { z.entries[1].name = std::string("a/\0b", 4); },
      "an entry is named 'a/\\x00b'");
  add(
      22, [](Zip& z) { z.entries[0].name = "a/other"; },
      "a zip archive without data.pkl: torch.save did not write it");
  add(
      22, [](Zip& z) { z.entries[1].name = "a/constants.pkl"; },
      "a TorchScript archive: a program, not weights alone");
  add(
      25, [](Zip& z) { z.entries[1].data = "big"; },
      "its numbers are in big-endian order, little is read");
  table.push_back({23, good().bytes().substr(0, 400),
                   "the file is incomplete: 400 bytes, the directory of entries that ends a zip "
                   "archive is missing"});
  table.push_back({23, "PK\3\4", "the file is incomplete: 4 bytes are no zip archive"});
  return table;
}

void demand_refusal(const std::vector<Hostile>& table) {
  Folder folder;
  const auto path = folder / "hostile.pth";
  for (const Hostile& hostile : table) {
    write_bytes(path, hostile.bytes);
    keep_hostile(hostile.bytes, "pth");
    const Caught error = caught([&] { open_tensors(path); });
    CAPTURE(hostile.row);
    CHECK(error.exit == 4);
    const std::string reason = error.line.substr(error.line.find(" - ") + 3);
    CHECK(reason.substr(0, hostile.why.size()) == hostile.why);
  }
  MESSAGE(table.size(), " hostile files of torch.save tried");
}

}  // namespace

TEST_CASE("hostile torch files: names that could run code") { demand_refusal(forbidden_names()); }
TEST_CASE("hostile torch files: opcodes") { demand_refusal(opcodes()); }
TEST_CASE("hostile torch files: tensors") { demand_refusal(tensors()); }
TEST_CASE("hostile torch files: archives") { demand_refusal(archives()); }
TEST_CASE("hostile torch files: archives of other things") { demand_refusal(strange_archives()); }

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
