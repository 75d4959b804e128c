#!/usr/bin/env bash
# The whole suite from a fresh clone: installs what is missing, builds, runs the tests with the
# sanitizers and then without them. Ends with the summary of the last.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "== $* (${SECONDS} s)"; }
jobs=$(nproc)

say "packages"
third_party/install.sh

say "release build"
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs"

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -n "$nvcc" ]; then
  say "headers shared with CUDA, by $nvcc"
  cmake --preset cuda >/dev/null
  cmake --build --preset cuda -j "$jobs" --target cuda_headers
else
  say "SKIPPED: headers shared with CUDA (no nvcc here)"
fi

say "build with AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset sanitize >/dev/null
cmake --build --preset sanitize -j "$jobs"
say "tests with sanitizers (all but those labelled long)"
ctest --preset sanitize -j "$jobs"

say "tests"
ctest --preset release -j "$jobs"
