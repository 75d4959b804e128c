// Builds from header-only libraries have no zlib, so they read no files of torch.save.
#include "engine/torch_file.h"
#include "kernels/error.h"

namespace fjord {

bool is_torch_file(const FileBytes&) { return false; }

std::unique_ptr<TensorFile> open_torch_file(FileBytes file) {
  throw Error(ExitCode::model_file, "torch-file", file.name, "this build reads no such files",
              "give a .safetensors");
}

}  // namespace fjord
