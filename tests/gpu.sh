#!/usr/bin/env bash
# The first run on a GPU, in one command: builds for the card that is present, tests, times, and writes
# one Markdown file for docs/gpu-results.md. No network; what is optional and absent is said and left out.
#
#   tests/gpu.sh [--headers DIR] [--peers DIR] [--python PYTHON] [--build DIR] [--output FILE] [--quick]
#
# --headers DIR  fmt, nlohmann/json, CLI11 and doctest as headers, where they aren't installed
# --peers DIR    train_step.py of PyTorch, timed beside fjord by --python (python3)
# --quick        one size, and few repeats: minutes instead of an hour
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/gpu output='' headers='' peers='' python=python3 quick=no
no_card=77
. "$root/tests/gpu_times.sh"

usage() { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=yes ;;
    -h | --help) usage; exit 0 ;;
    --headers | --peers | --python | --build | --output)
      [ $# -gt 1 ] || { echo "tests/gpu.sh: $1 needs a value" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"; shift ;;
    *) usage >&2; echo "tests/gpu.sh: there is no $1" >&2; exit 2 ;;
  esac
  shift
done
for folder in "$headers" "$peers"; do
  [ -z "$folder" ] || [ -d "$folder" ] || { echo "tests/gpu.sh: there is no folder $folder" >&2; exit 2; }
done
[ -z "$headers" ] || headers=$(cd "$headers" && pwd)
[ -z "$peers" ] || peers=$(cd "$peers" && pwd)

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null; then
  echo "SKIPPED: tests/gpu.sh needs an NVIDIA GPU and its driver (nvidia-smi -L names none)"
  exit $no_card
fi
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -z "$nvcc" ]; then
  echo "tests/gpu.sh: the CUDA toolkit is needed (no nvcc on the PATH or in /usr/local/cuda/bin)" >&2
  exit 2
fi
export PATH=$PATH:${nvcc%/*}
output=${output:-$build/gpu-results.md}
repeats=20
[ $quick = no ] || repeats=5
mkdir -p "$build/log" "$(dirname "$output")"
faults=0

say() { echo "== $* (${SECONDS} s)"; }
table() { tee -a "$output"; }
# run NAME COMMAND...: its output goes to log/NAME; returns its status.
run() {
  local name=$1 status=0
  shift
  "$@" >"$build/log/$name" 2>&1 || status=$?
  return $status
}
# result NAME STATUS TEXT: a row of the table of checks.
result() {
  local word=passed
  case $2 in
    0) ;;
    77) word="left out" ;;
    *) word="FAILED (log/${1// /-})"; faults=$((faults + 1)) ;;
  esac
  echo "| $1 | $word | $3 |" | table
}
# From a JSON line on stdin: number KEY.
number() { sed -nE "s/.*\"$1\": ?([0-9.eE+-]+).*/\1/p" | tail -n 1; }

describe_machine() {
  echo "# Results on a GPU"
  echo
  echo "Made by \`tests/gpu.sh\` at $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo 'an unpacked archive')."
  echo
  echo "| | |"
  echo "|---|---|"
  echo "| card | $(nvidia-smi --query-gpu=name,memory.total,compute_cap --format=csv,noheader | sed -n 1p) |"
  echo "| driver | $(nvidia-smi --query-gpu=driver_version --format=csv,noheader | sed -n 1p) |"
  echo "| clocks (SM, memory) | $(nvidia-smi --query-gpu=clocks.max.sm,clocks.max.mem --format=csv,noheader | sed -n 1p) |"
  echo "| toolkit | $("$nvcc" --version | sed -nE 's/.*release ([^,]+),.*/\1/p') |"
  echo "| processor | $(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | sed -n 1p), $(nproc) cores |"
  echo
}

# The whole build where every library is there; else what a card's tests need, from headers alone.
configure() {
  local common=(-S "$root" -B "$build" -DFJORD_CUDA=ON -DFJORD_CUDA_ARCHITECTURES=native
                -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CUDA_COMPILER=$nvcc")
  ! command -v ninja >/dev/null || common+=(-G Ninja)
  if [ -z "$headers" ] && run configure cmake "${common[@]}"; then return; fi
  [ -n "$headers" ] || echo "not every library is installed (log/configure): building the bare engine"
  rm -f "$build/CMakeCache.txt"
  run configure cmake "${common[@]}" -DFJORD_BARE=ON "-DFJORD_HEADERS=$headers"
}

build_all() {
  configure || { echo "tests/gpu.sh: cmake refused:" >&2; tail -n 20 "$build/log/configure" >&2; exit 1; }
  if grep 'convolutions on the GPU are left out' "$build/log/configure" >&2; then
    echo "tests/gpu.sh: cuDNN 9.8 or newer is needed: in the toolkit's folders, the system's or where CUDNN_ROOT says" >&2
    exit 2
  fi
  run build cmake --build "$build" -j "$(nproc)" --target fjord_cuda test_kernels_cuda test_cuda_plans cuda_steps cuda_goldens cuda_gates fjord-bench ||
    { echo "tests/gpu.sh: the build failed:" >&2; tail -n 40 "$build/log/build" >&2; exit 1; }
}

bin() { echo "$build/tests/cuda/$1"; }
steps() { "$(bin gpu/cuda_steps)" "$@"; }

check_ops() {
  local status=0
  run op-cases "$(bin gpu/test_kernels_cuda)" || status=$?
  result "op cases" $status "$(sed -nE 's/.*MESSAGE: ([0-9]+ cases of [0-9]+ slots)/\1/p; s/^\[doctest\] (assertions: .*)/\1/p' "$build/log/op-cases" | paste -sd ';' | tr '|' ',')"
}

check_compiled() {
  local status=0
  run compiled-kernels "$(bin gates/cuda_gates)" "$build/tools/libfjord_cuda.so" "$root/tests/cuda/gates/promises.txt" || status=$?
  result "compiled kernels" $status "$(tail -n 1 "$build/log/compiled-kernels")"
}

check_goldens() {
  local status=0
  run goldens "$(bin gpu/cuda_goldens)" || status=$?
  result goldens $status "$(grep -c '^| .* | [bft]' "$build/log/goldens") models and precisions; table below"
}

# hashes_of NAME COUNT ARGUMENT...: so many runs of five steps, in log/NAME; their hashes, counted.
hashes_of() {
  local name=$1 count=$2 i
  shift 2
  for ((i = 0; i < count; ++i)); do steps "$@" 2>&1 || true; done >"$build/log/$name"
  sed -nE 's/.*hash ([0-9a-f]+).*/\1/p' "$build/log/$name" | sort | uniq -c
}

# $repeats runs must end in the same weights; so must one that replays no graph.
check_determinism() {
  local precision hashes plain
  for precision in fp32 tf32 bf16 fp16; do
    hashes=$(hashes_of determinism-$precision $repeats --precision $precision)
    [ "$(wc -l <<<"$hashes")" = 1 ] && [ "$(awk '{print $1}' <<<"$hashes")" = $repeats ]
    result "determinism $precision" $? "$repeats runs: $(awk '{printf "%s x %s ", $1, $2}' <<<"$hashes")"
    plain=$(steps --precision $precision --plain 2>&1 | tee "$build/log/graph-$precision" | sed -nE 's/.*hash ([0-9a-f]+).*/\1/p') || true
    [ -n "$plain" ] && [ "$plain" = "$(awk 'NR == 1 {print $2}' <<<"$hashes")" ]
    result "graph $precision" $? "without replay: ${plain:-no hash}"
  done
}

# The CPU's steps from the same weights are what a card's are held to: the first loss and the norm of
# its gradients, which equal weights give, and the losses of the free steps behind. Under other
# instruction sets the CPU differs from itself by 1e-7, 2e-5 and 8e-4 here; an update less is 2.5e-2.
check_losses() {
  local precision
  run steps-cpu steps --cpu || true
  for precision in fp32 tf32 bf16 fp16; do compare_losses "losses $precision" $precision determinism-$precision; done
}

# compare_losses NAME PRECISION LOG: of the log's first run, as a row of the table.
compare_losses() {
  local first=3e-2 norm=5e-2 free=3e-2 text
  [ "$2" != fp32 ] || first=1e-5 norm=1e-3 free=1e-2
  text=$(sed -n 1p "$build/log/$3" | cat "$build/log/steps-cpu" - | awk -v first=$first -v norm=$norm -v free=$free '
    function off(a, b) { return b == 0 ? 1e30 : (a > b ? a - b : b - a) / (b < 0 ? -b : b) }
    # The values behind a word, as value[line, word, 1..]; returns how many.
    function take(word, i, n, on) {
      for (i = 1; i <= NF; ++i)
        if ($i == word) on = 1
        else if (on && $i ~ /^-?[0-9]/) value[NR, word, ++n] = $i + 0
        else on = 0
      return n + 0
    }
    { losses[NR] = take("losses"); norms[NR] = take("norms") }
    END {
      if (NR != 2 || losses[1] < 2 || losses[1] != losses[2] || norms[1] < 1 || norms[1] != norms[2]) {
        print "no losses to compare"; exit 1
      }
      loss_off = off(value[2, "losses", 1], value[1, "losses", 1])
      norm_off = off(value[2, "norms", 1], value[1, "norms", 1])
      for (i = 2; i <= losses[1]; ++i)
        if ((now = off(value[2, "losses", i], value[1, "losses", i])) > worst) worst = now
      printf "first loss off by %.1e (at most %s), its gradients'"'"' norm by %.1e (%s), the losses of %d free steps by %.1e (%s)\n",
             loss_off, first, norm_off, norm, losses[1] - 1, worst, free
      exit !(loss_off <= first && norm_off <= norm && worst <= free)
    }')
  result "$1" $? "$text"
}

# The default step asks cuDNN for no sums until these runs agree: no fault if they do not.
check_sums() {
  local verdict="the same bits in 20 runs, and right"
  run fused-sums "$(bin plans/test_cuda_plans)" '--test-case=fused sums*20 runs*' || verdict="others, or wrong (log/fused-sums)"
  result "cuDNN's own sums" 0 "$verdict"
}

# Training that does ask for them (FJORD_CUDNN_SUMS=1) is held to the CPU; its bits are told.
check_summing_steps() {
  local precision hashes
  for precision in bf16 fp16; do
    hashes=$(hashes_of "cuDNN's-sums-$precision" $repeats --precision $precision --sums)
    [ "$(awk '{runs += $1} END {print runs + 0}' <<<"$hashes")" = $repeats ]
    result "cuDNN's sums $precision" $? "$repeats runs ended in $(grep -c . <<<"$hashes") sets of weights"
    compare_losses "losses with cuDNN's sums $precision" $precision "cuDNN's-sums-$precision"
  done
}

# What cuBLASLt suggests for products, which are chosen among where plans are timed.
check_products() {
  local status=0
  run "cuBLASLt's-products" "$(bin plans/test_cuda_plans)" '--test-case=products*20 runs*' || status=$?
  # A build without cuBLASLt has no such case.
  if [ $status = 0 ] && ! grep -E 'test cases: +[1-9]' "$build/log/cuBLASLt's-products" >/dev/null; then status=77; fi
  result "cuBLASLt's products" $status "exact where sums are, and the same bits in 20 runs"
}

# Every case of every slot: in bf16, and those that have types of their own.
check_sanitizer() {
  local tool status
  if ! command -v compute-sanitizer >/dev/null; then
    result "compute-sanitizer" 77 "not on this machine"
    return
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    status=0
    run "sanitizer-$tool" timeout 1800 compute-sanitizer --tool $tool --error-exitcode 99 \
      "$(bin gpu/test_kernels_cuda)" "--test-case=*in bf16,*in its own types" || status=$?
    result "sanitizer $tool" $status "$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$build/log/sanitizer-$tool" | tail -n 1 | tr -d '=')"
  done
}

: >"$output"
describe_machine | table
say "build for this card"
build_all
say "checks"
printf '## Checks\n\n| check | | |\n|---|---|---|\n' | table
set +e
check_compiled
check_ops
check_goldens
check_determinism
check_losses
check_sums
check_summing_steps
check_products
check_sanitizer
{ echo; echo "## Goldens"; echo; grep '^|' "$build/log/goldens"; } | table
say "times"
{ time_fjord; time_tuned; time_sums; time_peers; time_tensorrt; } | table
{ echo; echo "## Registers, spills, occupancy, instructions"; echo; grep '^|' "$build/log/compiled-kernels"; } | table >/dev/null
say "written to $output: $faults checks failed"
[ "$faults" -eq 0 ]
