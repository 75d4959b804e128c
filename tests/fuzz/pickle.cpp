// libFuzzer target: any bytes as a pickle are refused by an Error or become values that refer to
// values.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/pickle.h"
#include "kernels/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) try {
  const fjord::Pickle pickle =
      fjord::read_pickle("input", {reinterpret_cast<const char*>(data), size});
  if (pickle.root() >= pickle.count() || pickle.size() > size) std::abort();
  for (fjord::PickleRef value = 0; value < pickle.count(); ++value) {
    if (pickle.text(value).size() > size) std::abort();
    for (const fjord::PickleRef item : pickle.items(value))
      if (item >= pickle.count()) std::abort();
    pickle.find(value, "state_dict");
  }
  return 0;
} catch (const fjord::Error& error) {
  if (error.exit != fjord::ExitCode::model_file) std::abort();
  return 0;
}
