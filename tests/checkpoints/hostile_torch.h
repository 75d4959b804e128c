// A table of hostile files of torch.save, and the test that each is refused as it says.
#pragma once

#include "engine/tensor_file.h"
#include "tests/checkpoints/files.h"
#include "tests/checkpoints/torch_bytes.h"

namespace fjord::test {

/// Rows are those of docs/bad-input.md.
struct Hostile {
  int row;
  std::string bytes, why;
  std::string remedy = "get the file again, or save the weights as .safetensors";
};

inline constexpr const char* kLittle = "save it again on a little-endian machine";

/// Nothing of them is run: exit code 4, with this reason and remedy.
inline void demand_refusal(const std::vector<Hostile>& table) {
  Folder folder;
  const auto path = folder / "hostile.pth";
  for (const Hostile& hostile : table) {
    write_bytes(path, hostile.bytes);
    keep_hostile(hostile.bytes, "pth");
    const Caught error = caught([&] { open_tensors(path); });
    CAPTURE(hostile.row);
    CHECK(error.exit == 4);
    CHECK(error.line.substr(error.line.find(" - ") + 3) == hostile.why + " - " + hostile.remedy);
  }
  MESSAGE(table.size(), " hostile files of torch.save tried");
}

}  // namespace fjord::test
