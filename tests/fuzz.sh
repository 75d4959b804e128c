#!/usr/bin/env bash
# Searches for inputs that break a parser: each fuzzer of the release build in turn for SECONDS
# (default 300), from a new seed. What breaks one is named and kept for tests/fuzz/corpus.
#   tests/fuzz.sh [SECONDS] [FUZZER...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-300}
shift || true
[ $# -gt 0 ] || set -- png jpeg tiff metadata other safetensors pickle torch
found=$(mktemp -d "${TMPDIR:-/tmp}/fjord-fuzz.XXXXXX")
failed=0
for name in "$@"; do
  mkdir "$found/$name"
  if "build/release/tests/fuzz/bin/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
      -close_fd_mask=1 -artifact_prefix="$found/$name/broken-" "$found/$name" "tests/fuzz/corpus/$name" \
      2> "$found/$name.log"; then
    echo "$name: $(grep -c . < <(ls "$found/$name")) inputs learned, none breaks it"
  else
    failed=1
    echo "$name: BROKEN by $(ls "$found/$name/"broken-*), see $found/$name.log"
  fi
done
exit "$failed"
