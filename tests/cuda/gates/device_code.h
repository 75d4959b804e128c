// Device code as nvcc left it in a library: the resources of each kernel and the instructions that
// decide its speed, read from the ELF images themselves, so that no tool but nvcc is needed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace fjord {

/// What is counted in a kernel's code. The same instructions have the same numbers from sm_75 on.
struct InstructionCounts {
  int total = 0;
  int loads = 0, loads128 = 0;    // from global memory
  int stores = 0, stores128 = 0;  // to global memory
  int local = 0;   // loads and stores of local memory: spills, arrays not in registers
  int tensor = 0;  // mma.sync
  int async = 0;   // cp.async
  int atomic = 0;  // on global memory
};

/// Counts 16-byte instructions.
InstructionCounts count_instructions(const unsigned char* code, std::size_t bytes);

struct KernelCode {
  std::string name;      // demangled and short: "fill_kernel<float, 4>"
  int architecture = 0;  // 80, 90
  int registers = 0, stack = 0;
  int threads = 0;         // of a block, at most (__launch_bounds__); 0: not said
  std::size_t shared = 0;  // static
  InstructionCounts counts;
};

/// A kernel's name without namespaces, arguments and the compiler's marks.
std::string short_name(const std::string& mangled);

/// Every kernel of every image in the file (an object, a library), ordered by name and
/// architecture. Compressed images are not seen: compile with -no-compress. Throws
/// std::runtime_error for a file that cannot be read or an image that contradicts itself.
std::vector<KernelCode> read_device_code(const std::string& file);

}  // namespace fjord
