// Faults found, kept until somebody asks.
#include "tests/cuda/emulation/findings.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace emulation {

namespace {

constexpr std::size_t kMost = 20;
std::vector<std::string> findings;
std::size_t told = 0;

}  // namespace

void find(const std::string& what) {
  if (findings.size() >= kMost || std::ranges::find(findings, what) != findings.end()) return;
  findings.push_back(what);
  std::fprintf(stderr, "CUDA emulation: %s\n", what.c_str());
}

std::vector<std::string> take_findings() {
  told = 0;
  return std::exchange(findings, {});
}

bool has_untold_findings() { return told < findings.size(); }

std::string untold_findings() {
  std::string text;
  for (; told < findings.size(); ++told) text += (text.empty() ? "" : "; ") + findings[told];
  return text.empty() ? "unspecified launch failure" : text;
}

}  // namespace emulation
