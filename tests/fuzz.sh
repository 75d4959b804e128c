#!/usr/bin/env bash
# Searches for inputs that break a parser: each fuzzer of the release build in turn for SECONDS
# (default 300) or RUNS executions, from a new seed. What breaks one is named and kept for
# tests/fuzz/corpus.
#   tests/fuzz.sh [SECONDS | --runs RUNS] [FUZZER...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "${1:-}" = --runs ]; then
  limit=-runs=${2:?"--runs takes a number of executions"}
  shift 2
else
  limit=-max_total_time=${1:-300}
  shift || true
fi
[ $# -gt 0 ] || set -- png jpeg tiff metadata other safetensors pickle torch
found=$(mktemp -d "${TMPDIR:-/tmp}/fjord-fuzz.XXXXXX")
failed=0
for name in "$@"; do
  fuzzer=build/release/tests/fuzz/bin/fuzz_$name
  [ -x "$fuzzer" ] || { echo "no $fuzzer: the target fuzzers builds it where clang is" >&2; exit 1; }
  mkdir "$found/$name"
  if "$fuzzer" "$limit" -timeout=10 -rss_limit_mb=2048 -close_fd_mask=1 -artifact_prefix="$found/$name/broken-" \
      "$found/$name" "tests/fuzz/corpus/$name" 2> "$found/$name.log"; then
    echo "$name: $(sed -n 's/^Done //p' "$found/$name.log"), $(find "$found/$name" -type f | wc -l) inputs learned, none breaks it"
  else
    failed=1
    echo "$name: BROKEN by $(ls "$found/$name/"broken-*), see $found/$name.log"
  fi
done
exit "$failed"
