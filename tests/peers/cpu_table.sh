#!/usr/bin/env bash
# Speed and memory on the CPU beside the peers, every row in one command, as a Markdown table on stdout.
#
#   tests/peers/cpu_table.sh V [--peers DIR] [--tools DIR] [--rows ID,ID...] [--runs 5] [--quick] [--output FILE]
#
# V              a Python virtual environment with the peers; a row whose program is absent is said to be skipped
# --peers DIR    the folder of train_step.py and infer.py (else the environment variable FJORD_PEERS)
# --tools DIR    the folder of fjord-bench (build/release/tools)
# --rows IDS     some of: train train-bf16 train-512 train-low infer low mobile bf16 int8 avx2-train avx2-infer threads first
# --quick        one run of each, and fewer steps: shows that every row works, not how fast it is
#
# fjord and its peers run in turns, each time as a new process; a ratio is that of the medians over all turns
# (`fjord-bench --peers`).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
peers=${FJORD_PEERS:-} tools=$root/build/release/tools rows=all runs=5 steps=5 warmup=2 output='' environment=''

usage() { sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
refuse() { echo "tests/peers/cpu_table.sh: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) runs=1 steps=2 warmup=1 ;;
    -h | --help) usage; exit 0 ;;
    --peers | --tools | --rows | --runs | --output)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      printf -v "${1#--}" %s "$2"; shift ;;
    -*) usage >&2; refuse "there is no $1" ;;
    *) [ -z "$environment" ] || refuse "one environment, please"; environment=$1 ;;
  esac
  shift
done
known=' all train train-bf16 train-512 train-low infer low mobile bf16 int8 avx2-train avx2-infer threads first '
for row in ${rows//,/ }; do
  [[ $known == *" $row "* ]] || refuse "--rows: there is no $row, some of$known"
done
python=$environment/bin/python
[ -x "$python" ] || { usage >&2; refuse "there is no $python"; }
[ -f "$peers/infer.py" ] || refuse "--peers DIR or FJORD_PEERS has to name the folder of infer.py and train_step.py"
[ -x "$tools/fjord-bench" ] || refuse "there is no $tools/fjord-bench: build it, or give --tools DIR"
scratch=$(mktemp -d)
company='' # a process that runs beside the one that is measured
trap '[ -z "$company" ] || kill "$company" 2>/dev/null || true; rm -rf "$scratch"' EXIT
cached=$root/build/peers # the peers' converted networks
mkdir -p "$cached"

show() { if [ -n "$output" ]; then tee -a "$output"; else cat; fi; }
wanted() { [ "$rows" = all ] || [[ ",$rows," == *",$1,"* ]]; }

# beside WORK PEER,PEER... [FLAG...]: the rows of fjord-bench, or the reason why there are none.
beside() {
  local work=$1 list=() peer
  for peer in ${2//,/ }; do list+=(--peer "$peer"); done
  shift 2
  if TMPDIR=$cached "$tools/fjord-bench" "$work" --encoder resnet34 --steps $steps --warmup $warmup --turns "$runs" \
    --peers "$environment" --peers-dir "$peers" "${list[@]}" "$@" >"$scratch/out" 2>"$scratch/err"; then
    grep '^|' "$scratch/out" | tail -n +3 | show
  else
    echo "| $work $* | | skipped: $(tail -1 "$scratch/err" | tr '|' ' ') | | | |" | show
  fi
}
# run SIDE COMMAND...: one more line of JSON in SIDE's results; its last words where it fails.
run() {
  local side=$scratch/$1
  shift
  [ ! -f "$side.failed" ] || return 0
  if TMPDIR=$cached "$@" >"$scratch/out" 2>"$scratch/err"; then
    grep '^{' "$scratch/out" | tail -1 >>"$side"
  else
    { tail -1 "$scratch/err" | cut -c1-100 | tr '|\n' '  '; } >"$side.failed"
  fi
}
values() { grep -o "\"$2\": *[0-9.e+-]*" "$scratch/$1" | sed 's/.*: *//' | sort -g; } # SIDE KEY
median() { values "$@" | awk '{v[NR]=$1} END {if (NR) print (v[int((NR+1)/2)] + v[int(NR/2)+1]) / 2}'; }
cell() { # SIDE KEY DIGITS UNIT: the median, and the range
  values "$1" "$2" | awk -v d="$3" -v u="$4" '{v[NR]=$1} END {f="%." d "f"; m=(v[int((NR+1)/2)] + v[int(NR/2)+1]) / 2; printf f " %s (" f " to " f ")", m, u, v[1], v[NR]}'
}
# compare WORK FJORD PEER KEY DIGITS UNIT: a row of two sides that fjord-bench does not pair.
compare() {
  if [ -s "$scratch/$2" ] && [ -s "$scratch/$3" ]; then
    echo "| $1 | $3 | $(cell "$2" "$4" "$5" "$6") | $(cell "$3" "$4" "$5" "$6") | $(awk -v a="$(median "$3" "$4")" -v b="$(median "$2" "$4")" 'BEGIN {printf "%.2f", a / b}') | |" | show
  else
    echo "| $1 | $3 | skipped: $(cat "$scratch/$2.failed" "$scratch/$3.failed" 2>/dev/null) | | | |" | show
  fi
}
# The same step with less memory.
turn_low() {
  local work=(train --encoder resnet34 --size 256 --batch 8 --steps $steps --warmup $warmup --json -)
  run "low memory" "$tools/fjord-bench" "${work[@]}" --memory low
  run "normal memory" "$tools/fjord-bench" "${work[@]}"
}
turns() { for _ in $(seq "$runs"); do "$@"; done; }

# Beside the two counts of threads: what PyTorch makes of two, and how much longer one takes while another process does the
# same, which shares nothing with it.
turn_threads() {
  local count work=(train --encoder resnet34 --size 256 --batch 8)
  for count in 2 1; do
    run "$count threads" "$tools/fjord-bench" "${work[@]}" --steps $steps --warmup $warmup --threads $count --json -
    run "pytorch $count" "$python" "$peers/train_step.py" --channels-last --size 256 --batch 8 --steps $steps --warmup $warmup --threads $count
  done
  "$tools/fjord-bench" "${work[@]}" --steps 100000 --threads 1 >"$scratch/company" 2>&1 &
  company=$!
  run "in company" "$tools/fjord-bench" "${work[@]}" --steps $steps --warmup $warmup --threads 1 --json -
  if ! kill "$company" 2>/dev/null; then # it ended early: there was no company
    rm -f "$scratch/in company"
    tail -1 "$scratch/company" >"$scratch/in company.failed"
  fi
  wait "$company" 2>/dev/null || true
  company=''
}
# A network that is saved, and an image for it: a new process reads both and writes a mask. The engines' time is from importing
# them to the result in memory, with the image there already.
prepare_first() {
  "$python" - "$scratch/data" <<'END'
import os, sys
from PIL import Image
for i, (part, size) in enumerate([("train", 64), ("train", 64), ("val", 64), ("one", 512)]):
    for kind, mode in (("images", "RGB"), ("labels", "L")):
        folder = os.path.join(sys.argv[1], part, kind)
        os.makedirs(folder, exist_ok=True)
        Image.effect_mandelbrot((size, size), (-2, -1.5, 1, 1.5), 40 + i).point(lambda v: 255 * (v > 99)).convert(mode).save(f"{folder}/{i}.png")
END
  "$tools/fjord-train" "$scratch/data" --encoder resnet34 --size 64 --batch 2 --steps 2 --out "$scratch/run" --quiet
}
predict() {
  local begin=$EPOCHREALTIME
  "$tools/fjord-predict" "$scratch/run" "$scratch/data/one/images" --size 512 --output "$scratch/masks" --quiet
  awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN {printf "{\"first_result_s\": %.3f}\n", b - a}'
}
turn_first() {
  run process predict
  run onnxruntime "$python" "$peers/infer.py" --engine onnxruntime --size 512 --steps $steps --warmup $warmup
}

{
  echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(grep -q avx512f /proc/cpuinfo && echo AVX-512 || echo no AVX-512)," \
    "load before the first run $(cut -d' ' -f1 /proc/loadavg); fp32 unless said; median of $runs turns of $steps steps (least to most)."
  echo
  echo "| work | beside | fjord | it | times as fast | memory |"
  echo "|---|---|---|---|---|---|"
} | show
if wanted train; then beside train pytorch --size 256 --batch 8; fi
if wanted train-bf16; then
  beside train pytorch-bf16 --size 256 --batch 8
  beside train pytorch-bf16 --size 256 --batch 8 --precision bf16
fi
if wanted train-512; then beside train pytorch --size 512 --batch 2; fi
if wanted train-low; then
  turns turn_low
  compare "train step, memory low (left) beside normal" "low memory" "normal memory" median_ms 0 ms
  compare "its peak memory" "low memory" "normal memory" peak_rss_mib 0 MiB
fi
if wanted infer; then beside infer onnxruntime,openvino --size 512 --batch 1; fi
if wanted low; then beside infer onnxruntime,openvino --size 512 --batch 1 --memory low; fi
if wanted mobile; then beside infer ncnn,mnn --size 512 --batch 1; fi
if wanted bf16; then
  beside infer openvino-bf16 --size 512 --batch 1
  beside infer openvino-bf16 --size 512 --batch 1 --precision bf16
fi
if wanted int8; then
  peers=$root/tests/peers beside infer openvino-int8 --size 512 --batch 1
fi
if wanted avx2-train; then beside train pytorch --size 256 --batch 8 --isa avx2; fi
if wanted avx2-infer; then beside infer pytorch --size 512 --batch 1 --isa avx2; fi
if wanted threads; then
  turns turn_threads
  compare "train step, 2 threads beside 1" "2 threads" "1 threads" median_ms 0 ms
  compare "train step of PyTorch, 2 threads (left) beside 1" "pytorch 2" "pytorch 1" median_ms 0 ms
  compare "train step of 1 thread, by itself (left) and while another process does the same: two processes do 2 / this as much" "1 threads" "in company" median_ms 0 ms
fi
if wanted first; then
  prepare_first >"$scratch/out" 2>"$scratch/err" || tail -1 "$scratch/err" >"$scratch/process.failed"
  turns turn_first
  compare "start of a process to its mask on the disk, 512x512; beside import to result" process onnxruntime first_result_s 2 s
fi
