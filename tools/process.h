// Other programs, run to their end.
#pragma once

#include <string>
#include <vector>

namespace fjord {

struct ProcessResult {
  int code = 0;  // exit status, or 128 + the signal that ended it
  std::string out, err;
};

/// args[0] is the program's path; `environment` is added to this program's own, as NAME=VALUE.
/// Throws Error{io} where it cannot be started.
ProcessResult run_process(const std::vector<std::string>& args,
                          const std::vector<std::string>& environment = {});

}  // namespace fjord
