#!/usr/bin/env bash
# Every C++ and CUDA file is as clang-format writes it. Exit 77 (skipped) without clang-format.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! command -v clang-format >/dev/null; then
  echo "SKIPPED: format needs clang-format (third_party/install.sh installs it)"
  exit 77
fi
cd "$root"
faults=$(tracked cpp h cu cuh | xargs -r clang-format --dry-run -Werror 2>&1 | grep -E 'error:' | sed -E 's/^([^:]+:[0-9]+):.*/\1: clang-format -i mends it/' | sort -u || true)
finish format "$faults"
