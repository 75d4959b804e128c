#!/usr/bin/env bash
# driver.sh FILE...: no program needs anything of CUDA to start, and the CUDA backend's library, which
# --device cuda opens, no driver: what they say they need (readelf) names neither.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh" "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v readelf >/dev/null || { echo "SKIPPED: what programs need to start (no readelf here)"; exit 77; }
[ $# -gt 0 ] || finish driver "no files were given"

faults=$(for file in "$@"; do
  needs=$(readelf -d "$file" 2>/dev/null | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
  [ -n "$needs" ] || echo "$file: nothing that it needs could be read"
  forbidden='^lib(cuda|cudart|cudnn|cublas|nvrtc|nccl|fjord_cuda)'
  [[ $file != *libfjord_cuda.so ]] || forbidden='^libcuda\.so'
  grep -E "$forbidden" <<<"$needs" | sed "s|^|$file: needs |" || true
done)
finish driver "$faults"
