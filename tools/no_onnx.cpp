// Where libonnx-dev was missing when fjord was built.
#include "kernels/error.h"
#include "tools/onnx.h"

namespace fjord {

void write_onnx(const std::filesystem::path& path, const ModelOptions&, Parameters&,
                const Metadata&) {
  throw Error(ExitCode::usage, "onnx", printable(path.native()),
              "this fjord was built without ONNX",
              "install libonnx-dev and build again, or export to a .safetensors or to a folder");
}

}  // namespace fjord
