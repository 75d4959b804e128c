// Reads the table of promises and holds compiled kernels to it.
#include "tests/cuda/gates/promises.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <set>
#include <sstream>
#include <stdexcept>

#include "tests/cuda/gates/occupancy.h"

namespace fjord {

namespace {

std::optional<int> number(const std::string& word) {
  if (word == "-") return {};
  if (word == "all") return kAll;
  std::size_t end = 0;
  const int value = std::stoi(word, &end);
  if (end != word.size()) throw std::invalid_argument(word);
  return value;
}

// The values are the line's last words; patterns may hold spaces.
Promise parse(const std::string& line) {
  static const std::regex form(R"((.*\S)\s+(foreign|(?:\S+\s+){7}\S+)\s*)");
  std::smatch parts;
  if (!std::regex_match(line, parts, form)) throw std::invalid_argument(line);
  Promise promise;
  promise.text = parts[1];
  promise.pattern = std::regex(promise.text);
  promise.foreign = parts[2] == "foreign";
  if (promise.foreign) return promise;
  std::istringstream words(parts[2]);
  const auto next = [&] {
    std::string word;
    words >> word;
    return number(word);
  };
  promise.threads = next();
  promise.shared = static_cast<std::size_t>(next().value());
  promise.registers = next();
  promise.occupancy_percent = next();
  promise.loads128 = next();
  promise.stores128 = next();
  promise.tensor = next();
  promise.atomic = next();
  return promise;
}

std::vector<std::string> faults_of(const KernelCode& kernel, const Promise& promise) {
  std::vector<std::string> faults;
  const auto most = [&](const char* what, int value, std::optional<int> bound) {
    if (bound && value > *bound)
      faults.push_back(fmt::format("{} on sm_{}: {} {}, promised at most {}", kernel.name,
                                   kernel.architecture, value, what, *bound));
  };
  const auto least = [&](const char* what, int value, std::optional<int> bound) {
    if (bound && value < *bound)
      faults.push_back(fmt::format("{} on sm_{}: {} {}, promised at least {}", kernel.name,
                                   kernel.architecture, value, what, *bound));
  };
  const InstructionCounts& counts = kernel.counts;
  least("threads by promise or launch bounds", threads_of(kernel, promise), 1);
  if (kernel.threads != 0) most("threads", threads_of(kernel, promise), kernel.threads);
  most("bytes of stack (spills or local arrays)", kernel.stack, 0);
  most("instructions on local memory", counts.local, 0);
  // Nothing launches these on older cards: their mma.sync came with sm_80.
  if (promise.tensor && kernel.architecture < 80) return faults;
  most("registers", kernel.registers, promise.registers);
  most("atomic operations on global memory", counts.atomic, promise.atomic);
  least("% occupancy", static_cast<int>(100 * occupancy_of(kernel, promise)),
        promise.occupancy_percent);
  const auto wide = [&](const char* what, int value, int all, std::optional<int> bound) {
    least(what, value, bound == kAll ? std::max(all, 1) : bound);
  };
  wide("128-bit loads", counts.loads128, counts.loads, promise.loads128);
  wide("128-bit stores", counts.stores128, counts.stores, promise.stores128);
  least("tensor-core instructions", counts.tensor, promise.tensor);
  return faults;
}

std::string row(const KernelCode& kernel, const Promise& promise) {
  const InstructionCounts& c = kernel.counts;
  return fmt::format(
      "| {} | sm_{} | {} | {} | {} | {} + {} | {:.0f} % | {}/{} | {}/{} | {} | {} |\n", kernel.name,
      kernel.architecture, threads_of(kernel, promise), kernel.registers, kernel.stack + c.local,
      kernel.shared, promise.shared, 100 * occupancy_of(kernel, promise), c.loads128, c.loads,
      c.stores128, c.stores, c.tensor, c.atomic);
}

}  // namespace

const Promise* promise_of(const KernelCode& kernel, const std::vector<Promise>& promises) {
  for (const Promise& promise : promises)
    if (std::regex_match(kernel.name, promise.pattern)) return &promise;
  return nullptr;
}

int threads_of(const KernelCode& kernel, const Promise& promise) {
  return promise.threads.value_or(kernel.threads);
}

double occupancy_of(const KernelCode& kernel, const Promise& promise) {
  return occupancy(limits_of(kernel.architecture), {.threads = threads_of(kernel, promise),
                                                    .registers = kernel.registers,
                                                    .shared = kernel.shared + promise.shared});
}

std::vector<Promise> read_promises(std::istream& text) {
  std::vector<Promise> promises;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    try {
      promises.push_back(parse(line));
    } catch (const std::exception&) {
      throw std::runtime_error(
          fmt::format("line {} of the promises cannot be read: {}", number, line));
    }
  }
  return promises;
}

Verdict judge(const std::vector<KernelCode>& kernels, const std::vector<Promise>& promises) {
  Verdict verdict;
  verdict.table =
      "| kernel | card | threads | registers | spills | shared bytes | occupancy | 128-bit loads | "
      "128-bit stores | mma | atomics |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
  std::set<const Promise*> used;
  for (const KernelCode& kernel : kernels) {
    const Promise* own = promise_of(kernel, promises);
    if (!own) {
      verdict.faults.push_back(fmt::format("{} on sm_{}: no line of the promises fits it",
                                           kernel.name, kernel.architecture));
      continue;
    }
    used.insert(own);
    if (own->foreign) continue;
    verdict.table += row(kernel, *own);
    for (std::string& fault : faults_of(kernel, *own)) verdict.faults.push_back(std::move(fault));
  }
  for (const Promise& promise : promises)
    if (!used.contains(&promise))
      verdict.faults.push_back(fmt::format("{}: a promise that no kernel fits", promise.text));
  return verdict;
}

}  // namespace fjord
