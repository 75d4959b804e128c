// Finds kernels by reading the sources as text.
#include "tests/cuda/kernel_names.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/cuda/emulation/launch.h"

namespace fjord {

namespace {

// The name after __global__: what stands before the first parenthesis that is not that of
// __launch_bounds__.
std::string kernel_name(std::string text) {
  static const std::regex bounds(R"(__launch_bounds__\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))");
  text = std::regex_replace(text, bounds, " ");
  static const std::regex name(R"((\w+)\s*\()");
  std::smatch match;
  return std::regex_search(text, match, name) ? match[1].str() : "";
}

}  // namespace

std::string base_name(const std::string& launched) {
  const std::string name = launched.substr(0, launched.find('<'));
  const auto colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

std::set<std::string> kernels_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto extension = entry.path().extension();
    if (extension != ".cu" && extension != ".h") continue;
    std::ifstream file(entry.path());
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const std::string word = "__global__";
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
      names.insert(kernel_name(text.substr(at + word.size(), 400)));
  }
  names.erase("");
  return names;
}

std::set<std::string> never_launched(const std::set<std::string>& names) {
  std::set<std::string> left = names;
  for (const auto& [name, count] : emulation::launched_kernels()) left.erase(base_name(name));
  return left;
}

}  // namespace fjord
