// libFuzzer target: any bytes as a file of torch.save are refused by an Error, or give tensors
// that can be read. A pickle is also tried inside an archive, behind a checksum that no mutation
// would get right.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/torch_file.h"
#include "kernels/error.h"
#include "tests/checkpoints/torch_bytes.h"

namespace {

void read_tensors(std::string_view bytes) try {
  const fjord::FileBytes file{"input", bytes.size(),
                              [bytes](std::uint64_t offset, std::span<std::byte> into) {
                                if (offset > bytes.size() || into.size() > bytes.size() - offset)
                                  std::abort();
                                if (!into.empty())
                                  std::memcpy(into.data(), bytes.data() + offset, into.size());
                              }};
  if (!fjord::is_torch_file(file)) return;
  const fjord::TorchFile torch(file);
  for (const fjord::TensorEntry& tensor : torch.tensors())
    if (torch.read(tensor).size() != tensor.bytes()) std::abort();
} catch (const fjord::Error& error) {
  if (error.exit != fjord::ExitCode::model_file) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  read_tensors(input);
  if (input.starts_with("\x80")) read_tensors(fjord::test::torch_zip(input).bytes());
  return 0;
}
