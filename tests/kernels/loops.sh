#!/usr/bin/env bash
# The loops of an instruction set must not define functions that the linker merges with those of
# other files: a CPU without AVX-512 would then run AVX-512 code. Arguments: object files.
set -euo pipefail
merged=$(nm -C "$@" | grep -E ' [WVu] ' || true)
if [ -n "$merged" ]; then
  echo "$merged"
  echo "functions that the linker may merge into code for every CPU"
  exit 1
fi
echo "loops: ok ($# objects)"
