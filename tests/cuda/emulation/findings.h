// What is wrong with a kernel or with a use of the runtime, as the emulation found it.
#pragma once

#include <string>
#include <vector>

namespace emulation {

/// Notes a fault: printed at once, and told by the next synchronisation, which fails with
/// cudaErrorLaunchFailure. At most a few of the same text are kept.
void find(const std::string& what);

/// The faults since the last call, which forgets them.
std::vector<std::string> take_findings();
/// Those that no synchronisation has told yet; the second forgets that they are untold.
bool has_untold_findings();
std::string untold_findings();

/// The name of the function at an address, demangled and short: "bn_apply<float, 8>". Reads the
/// program's own symbol table, so that static functions have names too.
std::string function_name(const void* address);
/// "norm.cu:88" by addr2line where that is installed, else the function and offset.
std::string source_line(const void* address);

}  // namespace emulation
