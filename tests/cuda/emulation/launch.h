// Which kernels were launched.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace emulation {

/// Times that each kernel was launched since the program began, by name with template arguments.
const std::map<std::string, std::int64_t>& launched_kernels();

}  // namespace emulation
