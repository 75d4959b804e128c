// The fixed list of names in pickles.
#include "engine/pickle_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/error.h"

namespace fjord {

namespace {

using Row = std::pair<std::string_view, PickleName>;

constexpr Row kNames[] = {
    {"collections OrderedDict", PickleName::dict},
    {"collections defaultdict", PickleName::dict},
    {"collections Counter", PickleName::dict},
    {"lightning.fabric.utilities.data AttributeDict", PickleName::dict},
    {"lightning_fabric.utilities.data AttributeDict", PickleName::dict},
    {"pytorch_lightning.utilities.parsing AttributeDict", PickleName::dict},
    {"__builtin__ set", PickleName::set},
    {"builtins set", PickleName::set},
    {"__builtin__ frozenset", PickleName::set},
    {"builtins frozenset", PickleName::set},
    {"torch Size", PickleName::tuple},
    {"torch._utils _rebuild_tensor", PickleName::tensor},
    {"torch._utils _rebuild_tensor_v2", PickleName::tensor},
    {"torch._utils _rebuild_parameter", PickleName::parameter},
    {"torch device", PickleName::other},
    {"numpy dtype", PickleName::other},
    {"numpy.core.multiarray scalar", PickleName::other},
    {"numpy._core.multiarray scalar", PickleName::other},
    {"numpy.core.multiarray _reconstruct", PickleName::other},
    {"numpy._core.multiarray _reconstruct", PickleName::other},
    {"_codecs encode", PickleName::other},
    {"argparse Namespace", PickleName::other},
    {"pathlib PosixPath", PickleName::other},
    {"pathlib PurePosixPath", PickleName::other},
    {"pathlib WindowsPath", PickleName::other},
    {"pathlib PureWindowsPath", PickleName::other},
    {"datetime datetime", PickleName::other},
    {"datetime timedelta", PickleName::other},
};

constexpr std::string_view kTypes[] = {
    "torch FloatStorage", "torch DoubleStorage", "torch HalfStorage",  "torch BFloat16Storage",
    "torch LongStorage",  "torch IntStorage",    "torch ShortStorage", "torch CharStorage",
    "torch ByteStorage",  "torch BoolStorage",   "torch float32",      "torch float64",
    "torch float16",      "torch bfloat16",      "torch int64",        "torch int32",
    "torch int16",        "torch int8",          "torch uint8",        "torch bool",
    "numpy ndarray",      "__builtin__ dict",    "__builtin__ list",   "__builtin__ tuple",
    "__builtin__ int",    "__builtin__ float",   "__builtin__ str",    "__builtin__ bool",
    "builtins dict",      "builtins list",       "builtins tuple",     "builtins int",
    "builtins float",     "builtins str",        "builtins bool",      "__builtin__ object",
};

// Modules that a file of weights has no use for and an attack has.
constexpr std::string_view kHostileModules[] = {
    "os",          "posix",   "nt",       "sys",     "subprocess", "builtins",   "__builtin__",
    "runpy",       "pip",     "socket",   "shutil",  "importlib",  "webbrowser", "ctypes",
    "pty",         "code",    "pickle",   "types",   "marshal",    "operator",   "functools",
    "commands",    "asyncio", "bdb",      "timeit",  "pdb",        "cProfile",   "multiprocessing",
    "tempfile",    "urllib",  "requests", "httplib", "http",       "ssl",        "_pickle",
    "cloudpickle", "dill",    "joblib",   "signal",  "platform",   "torch.hub"};

bool is_hostile(std::string_view module) {
  return std::ranges::any_of(kHostileModules, [&](std::string_view hostile) {
    return module == hostile || (module.starts_with(hostile) && module[hostile.size()] == '.');
  });
}

// Tensors of kinds that a network's weights do not have.
std::string_view foreign_kind(std::string_view name) {
  const auto has = [name](std::string_view part) { return name.find(part) != name.npos; };
  if (has("sparse") || has("_get_layout")) return "a sparse tensor";
  if (has("qtensor") || has("QInt") || has("QUInt")) return "a quantised tensor";
  if (has("Complex")) return "complex numbers";
  return "";
}

constexpr std::string_view kKeepState =
    "where you trust the file, in Python: m = torch.load(file, weights_only=False); "
    "torch.save(m['state_dict'] if isinstance(m, dict) else m.state_dict(), 'weights.pth')";
constexpr std::string_view kDense = "in Python: torch.save a state_dict of dense float tensors";

}  // namespace

std::optional<PickleName> pickle_name(std::string_view name) {
  for (const auto& [known, meaning] : kNames)
    if (known == name) return meaning;
  if (std::ranges::find(kTypes, name) != std::end(kTypes)) return PickleName::type;
  return {};
}

void refuse_name(std::string_view file, std::string_view name, std::uint64_t byte) {
  std::string shown = printable(name);
  std::ranges::replace(shown, ' ', '.');
  const std::string_view kind = foreign_kind(name);
  if (!kind.empty())
    throw Error(ExitCode::model_file, "pickle", file,
                fmt::format("{} at byte {} makes {}, which is not read", shown, byte, kind),
                kDense);
  if (is_hostile(name.substr(0, name.find(' '))))
    throw Error(
        ExitCode::model_file, "pickle", file,
        fmt::format("forbidden global {} at byte {}: file tries to run code; nothing was run",
                    shown, byte),
        "do not use this file; ask its maker for a .safetensors");
  throw Error(ExitCode::model_file, "pickle", file,
              fmt::format("global {} at byte {} is no tensor and no plain value: the file holds "
                          "Python objects, perhaps a whole model; nothing was run",
                          shown, byte),
              kKeepState);
}

}  // namespace fjord
