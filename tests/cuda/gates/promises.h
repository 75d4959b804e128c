// What each kernel's code promises, and whether the compiler kept it.
#pragma once

#include <iosfwd>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "tests/cuda/gates/device_code.h"

namespace fjord {

/// "all" in promises.txt.
inline constexpr int kAll = -1;

/// One line of promises.txt. Numbers that are absent there ("-") are absent here.
struct Promise {
  std::string text;                        // of the pattern
  std::regex pattern;                      // of short names, whole
  bool foreign = false;                    // a library's kernel: reported, held to nothing
  std::optional<int> threads;              // of a block; absent: what the launch bounds say
  std::size_t shared = 0;                  // bytes of dynamic shared memory, at most
  std::optional<int> registers;            // at most
  std::optional<int> occupancy_percent;    // at least, on every architecture
  std::optional<int> loads128, stores128;  // at least; kAll: every one
  std::optional<int> tensor;               // at least
  std::optional<int> atomic;               // at most
};

/// Throws std::runtime_error naming the line that cannot be read.
std::vector<Promise> read_promises(std::istream& text);

struct Verdict {
  std::string table;                // Markdown, one row a kernel and architecture
  std::vector<std::string> faults;  // one line each
};

/// The first promise whose pattern fits the kernel's name; nullptr where none does.
const Promise* promise_of(const KernelCode& kernel, const std::vector<Promise>& promises);

/// Threads of a block, by promise or launch bounds.
int threads_of(const KernelCode& kernel, const Promise& promise);
/// Of the warps that a multiprocessor of the kernel's architecture can hold, from 0 to 1.
double occupancy_of(const KernelCode& kernel, const Promise& promise);

/// The first promise whose pattern fits a kernel is its own. A kernel without a promise and a
/// promise without a kernel are faults; so is any spill, and local memory.
Verdict judge(const std::vector<KernelCode>& kernels, const std::vector<Promise>& promises);

/// Markdown for people: one row for each kernel, whatever its types, and one column for each
/// architecture, with the least and the most registers and the lowest occupancy.
std::string overview(const std::vector<KernelCode>& kernels, const std::vector<Promise>& promises);

}  // namespace fjord
