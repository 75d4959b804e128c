// libFuzzer target: any bytes as a safetensors file are either refused by an Error or describe
// tensors that lie inside of them.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "engine/safetensors.h"
#include "kernels/error.h"

namespace {

void demand(bool ok) {
  if (!ok) std::abort();
}

void read_values(const fjord::SafetensorsHeader& header, std::span<const std::byte> file) {
  std::uint64_t covered = 0;
  for (const fjord::TensorEntry& tensor : header.tensors) {
    demand(tensor.begin <= tensor.end && tensor.end <= file.size() - header.data_begin);
    const auto bytes = file.subspan(header.data_begin + tensor.begin, tensor.bytes());
    demand(static_cast<std::uint64_t>(tensor.count()) * fjord::size_of(tensor.type) ==
           bytes.size());
    if (fjord::is_float(tensor.type))
      demand(fjord::to_floats(tensor.type, bytes).size() ==
             static_cast<std::size_t>(tensor.count()));
    fjord::digest_of(tensor, bytes);
    covered += bytes.size();
    demand(header.find(tensor.name) == &tensor);
  }
  demand(covered == file.size() - header.data_begin);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const std::uint64_t length = fjord::safetensors_header_bytes("input", file.substr(0, 8), size);
  const fjord::SafetensorsHeader header =
      fjord::parse_safetensors_header("input", file.substr(8, length), size);
  read_values(header, std::as_bytes(std::span(data, size)));
  fjord::metadata_hash(header.metadata);
  return 0;
} catch (const fjord::Error& error) {
  demand(error.exit == fjord::ExitCode::model_file);
  return 0;
}
