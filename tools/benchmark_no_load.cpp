// A build without image files has no loader to time.
#include "kernels/error.h"
#include "tools/benchmark.h"

namespace fjord {

nlohmann::ordered_json bench_load(const BenchSettings&, BenchClock::time_point) {
  throw Error(ExitCode::usage, "not-yet", "fjord-bench load", "this build reads no image files",
              "time train, infer, conv or kernels");
}

}  // namespace fjord
