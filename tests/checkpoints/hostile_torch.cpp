// Hostile files of torch.save: each is refused with this reason and exit code 4, and nothing of it
// is run.
#include <array>

#include "tests/checkpoints/hostile_torch.h"

namespace fjord::test {

namespace {

using namespace pickle;

constexpr const char* kDense = "in Python: torch.save a state_dict of dense float tensors";
constexpr const char* kProtocol =
    "in Python: torch.save(torch.load(file), 'weights.pth') without pickle_protocol";

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
    table.push_back(
        {15, run(module, name),
         fmt::format("forbidden global {}.{} at byte 50: file tries to run code; nothing was run",
                     module, name),
         "do not use this file; ask its maker for a .safetensors"});
  table.push_back({22, run("segmentation_models_pytorch.decoders.unet.model", "Unet"),
                   "global segmentation_models_pytorch.decoders.unet.model.Unet at byte 50 is no "
                   "tensor and no plain value: the file holds Python objects, perhaps a whole "
                   "model; nothing was run",
                   "where you trust the file, in Python: m = torch.load(file, weights_only=False); "
                   "torch.save(m['state_dict'] if isinstance(m, dict) else m.state_dict(), "
                   "'weights.pth')"});
  table.push_back({25, run("torch._utils", "_rebuild_sparse_tensor"),
                   "torch._utils._rebuild_sparse_tensor at byte 50 makes a sparse tensor, which is "
                   "not read",
                   kDense});
  table.push_back({25, run("torch._utils", "_rebuild_qtensor"),
                   "torch._utils._rebuild_qtensor at byte 50 makes a quantised tensor, which is "
                   "not read",
                   kDense});
  table.push_back({25, with({.type = "ComplexFloatStorage"}),
                   "torch.ComplexFloatStorage at byte 97 makes complex numbers, which is not "
                   "read",
                   kDense});
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
  at(19, std::string(2'000'000, 'N'), 2'000'040, "more than 2000000 operations");
  std::string memo = "N";
  for (std::uint64_t i = 0; i <= 1'000'000; ++i) memo += "r" + little(i, 4);
  at(19, memo, 5'000'043, "more than 1000000 values to remember");
  for (const int protocol : {0, 1, 4, 5, 7})
    table.push_back({16, zipped("\x80" + little(protocol, 1)),
                     fmt::format("byte 42: pickle protocol {}; 2, which torch.save writes, and 3 "
                                 "are read",
                                 protocol),
                     kProtocol});
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
       "network_weights, model, net, weights)",
       "in Python: torch.save(model.state_dict(), 'weights.pth'), and give that file"},
      {18, zipped(dict({{"w", tensor({})}, {"w", tensor({})}})),
       "tensor 'w' stands twice, or its name is too long"},
  };
}

std::vector<Hostile> legacy_files() {
  const std::string value = dict({{"w", tensor({})}});
  std::string tar(600, '\0');
  tar.replace(0, 8, "storages");
  tar.replace(257, 5, "ustar");
  return {
      {22, tar, "a tar archive of PyTorch before 0.1.10, which is not read",
       "where you trust the file, in Python: m = torch.load(file, weights_only=False); "
       "torch.save(m, 'weights.pth'), and give that file"},
      {25, legacy(value, 6, false), "its numbers are in big-endian order, little is read", kLittle},
      {23, legacy(value).substr(0, legacy(value).size() - 9),
       fmt::format("file is incomplete ({} of {} bytes)", legacy(value).size() - 9,
                   legacy(value).size())}};
}

}  // namespace

TEST_CASE("hostile torch files: names that could run code") { demand_refusal(forbidden_names()); }
TEST_CASE("hostile torch files: opcodes") { demand_refusal(opcodes()); }
TEST_CASE("hostile torch files: tensors") { demand_refusal(tensors()); }
TEST_CASE("hostile torch files: older formats") { demand_refusal(legacy_files()); }

}  // namespace fjord::test
