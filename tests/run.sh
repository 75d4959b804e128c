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

# What the emulated kernel tests counted in the run of ctest that has just ended.
emulated_counts() { grep '^kernels [0-9]' "build/$1/Testing/Temporary/LastTest.log" | sed "s/^/CUDA emulated, $1: /"; }

case ${1:-} in
  "") ;;
  --cuda-emulated) cuda_emulated; exit ;;
  *) echo "usage: tests/run.sh [--cuda-emulated]" >&2; exit 2 ;;
esac

# Before a release: every architecture, and with that every product of the step and every plan.
if [ "${FJORD_CUDA_ARCHITECTURES:-}" = all ]; then
  export FJORD_STEPS=${FJORD_STEPS:-all} FJORD_PLANS=${FJORD_PLANS:-all}
fi

say "packages"
third_party/install.sh

say "release build"
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs"

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -n "$nvcc" ]; then
  # sm_80, sm_90 and PTX in everyday runs, which have to end within half an hour on two cores;
  # FJORD_CUDA_ARCHITECTURES=all before a release.
  cards=${FJORD_CUDA_ARCHITECTURES:-80-real;90}
  say "CUDA kernels for sm $cards, and what their compiled code promises, by $nvcc"
  cmake --preset cuda -DFJORD_CUDA_ARCHITECTURES="$cards" >/dev/null
  targets=(cuda_headers fjord_cuda cuda_gates test_gates)
  # With all of them also what tests/gpu.sh runs, and cuDNN's plans: the engine built once more.
  [ "$cards" != all ] || targets+=(test_kernels_cuda cuda_steps cuda_goldens test_cuda_plans)
  cmake --build --preset cuda -j "$jobs" --target "${targets[@]}"
  tests='cuda\.(gates|disassembly|driver)|test_gates'
  [ "$cards" != all ] || tests+='|test_cuda_plans(\.fused)?'
  ctest --test-dir build/cuda -R "^($tests)\$" --output-on-failure
else
  say "SKIPPED: compiled CUDA kernels (no nvcc here)"
fi

say "build with AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset sanitize >/dev/null
cmake --build --preset sanitize -j "$jobs"
say "tests with sanitizers (all but those labelled long)"
ctest --preset sanitize -j "$jobs"
emulated_counts sanitize

say "tests (all but those labelled sanitized, which have run so)"
ctest --preset release -j "$jobs" -LE '^sanitized$'
emulated_counts release
