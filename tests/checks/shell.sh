#!/usr/bin/env bash
# Every shell script parses and is executable unless it is only sourced.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

faults=$({ tracked sh; [ ! -f .ci/run ] || echo .ci/run; } | while IFS= read -r file; do
  bash -n "$file" 2>&1 || true
  [[ $(head -c 2 "$file") != '#!' ]] || [ -x "$file" ] || echo "$file: not executable"
done)
finish shell "$faults"
