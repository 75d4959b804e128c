#!/usr/bin/env bash
# The whole suite from a fresh clone: installs what is missing, builds, runs the tests with the
# sanitizers and then without them. Ends with the summary of the last.
#   tests/run.sh --cuda-emulated   only the CUDA kernels on the emulated card: watched, then with the
#                                  sanitizers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "== $* (${SECONDS} s)"; }
jobs=$(nproc)

cuda_emulated() {
  local preset
  for preset in release sanitize; do
    say "CUDA kernels on the emulated card, preset $preset"
    cmake --preset "$preset" >/dev/null
    cmake --build --preset "$preset" -j "$jobs" --target test_cuda_emulation test_cuda_emulated
    "build/$preset/tests/cuda/test_cuda_emulation" 2>/dev/null
    "build/$preset/tests/cuda/test_cuda_emulated"
  done
}

case ${1:-} in
  "") ;;
  --cuda-emulated) cuda_emulated; exit ;;
  *) echo "usage: tests/run.sh [--cuda-emulated]" >&2; exit 2 ;;
esac

say "packages"
third_party/install.sh

say "release build"
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs"

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -n "$nvcc" ]; then
  # One card in everyday runs: each more takes two minutes. FJORD_CUDA_ARCHITECTURES=all before a release.
  cards=${FJORD_CUDA_ARCHITECTURES:-90}
  say "CUDA kernels for sm $cards, and what their compiled code promises, by $nvcc"
  cmake --preset cuda -DFJORD_CUDA_ARCHITECTURES="$cards" >/dev/null
  cmake --build --preset cuda -j "$jobs" --target cuda_headers fjord_cuda cuda_gates test_gates
  ctest --test-dir build/cuda -R '^(cuda\.(gates|disassembly)|test_gates)$' --output-on-failure
else
  say "SKIPPED: compiled CUDA kernels (no nvcc here)"
fi

say "SKIPPED: emulated CUDA kernels under AddressSanitizer (tests/run.sh --cuda-emulated runs them)"
say "build with AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset sanitize >/dev/null
cmake --build --preset sanitize -j "$jobs"
say "tests with sanitizers (all but those labelled long)"
ctest --preset sanitize -j "$jobs"

say "tests"
ctest --preset release -j "$jobs"
