#!/usr/bin/env bash
# disassembly.sh GATES LIBRARY: our reading of the device code against that of NVIDIA's cuobjdump:
# $FJORD_CUOBJDUMP, or the one on the PATH, or the toolkit's. Exit 77 (skipped) without one.
set -euo pipefail
gates=$1 library=$2
cuobjdump=${FJORD_CUOBJDUMP:-$(command -v cuobjdump || ls /usr/local/cuda/bin/cuobjdump 2>/dev/null || true)}
if [ -z "$cuobjdump" ]; then
  echo "SKIPPED: compiled kernels are not compared with cuobjdump's view (there is none here; FJORD_CUOBJDUMP names one)"
  exit 77
fi

# SM LOADS LOADS128 STORES STORES128 LOCAL MMA of every kernel, sorted.
theirs() {
  "$cuobjdump" -sass "$library" | awk '
    function flush() { if (inside) print arch, loads, wide_loads, stores, wide_stores, local, mma }
    /code for sm_/ { flush(); inside = 0; arch = $NF }
    /Function : / { flush(); inside = 1; loads = wide_loads = stores = wide_stores = local = mma = 0 }
    inside && /\/\*[0-9a-f]+\*\/ / {
      if (/[ \t]LDG\./) { ++loads; if (/LDG[.A-Z0-9]*\.128/) ++wide_loads }
      if (/[ \t]STG\./) { ++stores; if (/STG[.A-Z0-9]*\.128/) ++wide_stores }
      if (/[ \t](LDL|STL)[. ]/) ++local
      if (/[ \t]HMMA\./) ++mma
    }
    END { flush() }' | sort
}
ours() {
  "$gates" --list "$library" | sed -E 's/^(sm_[0-9]+) .* loads ([0-9]+) loads128 ([0-9]+) stores ([0-9]+) stores128 ([0-9]+) local ([0-9]+) mma ([0-9]+)$/\1 \2 \3 \4 \5 \6 \7/' | sort
}
resources() { sort -n | tr '\n' ' '; }

failed=0
diff <(ours) <(theirs) || { echo "instructions are counted differently (ours <, theirs >)"; failed=1; }
diff <("$gates" --list "$library" | sed -E 's/.* registers ([0-9]+) stack ([0-9]+) .*/\1 \2/' | resources) \
  <("$cuobjdump" -res-usage "$library" | sed -nE 's/^ *REG:([0-9]+) STACK:([0-9]+) .*/\1 \2/p' | resources) ||
  { echo "registers or stack are read differently"; failed=1; }
[ $failed -eq 0 ] && echo "disassembly: $(ours | wc -l) kernels read as $cuobjdump reads them"
exit $failed
