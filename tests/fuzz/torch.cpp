// libFuzzer target: any bytes as a file of torch.save are refused by an Error, or give tensors
// that can be read.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/torch_file.h"
#include "kernels/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const fjord::FileBytes file{"input", size, [=](std::uint64_t offset, std::span<std::byte> into) {
                                if (offset > size || into.size() > size - offset) std::abort();
                                if (!into.empty())
                                  std::memcpy(into.data(), data + offset, into.size());
                              }};
  if (!fjord::is_torch_file(file)) return 0;
  const fjord::TorchFile torch(file);
  for (const fjord::TensorEntry& tensor : torch.tensors())
    if (torch.read(tensor).size() != tensor.bytes()) std::abort();
  return 0;
} catch (const fjord::Error& error) {
  if (error.exit != fjord::ExitCode::model_file) std::abort();
  return 0;
}
