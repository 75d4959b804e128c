#!/usr/bin/env bash
# Speed and memory on the CPU beside the peers, every row in one command, as a Markdown table on stdout.
#
#   tests/peers/cpu_table.sh V [--peers DIR] [--tools DIR] [--rows ID,ID...] [--runs 5] [--quick] [--output FILE]
#
# V              a Python virtual environment with the peers; a row whose program is absent is said to be skipped
# --peers DIR    the folder of train_step.py and infer.py (else the environment variable FJORD_PEERS)
# --tools DIR    the folder of fjord-bench (build/release/tools)
# --rows IDS     some of: train train-bf16 train-512 infer low mobile bf16 avx2-train avx2-infer threads first
# --quick        one run of each, and fewer steps: shows that every row works, not how fast it is
#
# fjord and its peers run in turns, each time as a new process; a ratio is that of the medians over all turns.
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
known=' all train train-bf16 train-512 infer low mobile bf16 avx2-train avx2-infer threads first '
for row in ${rows//,/ }; do
  [[ $known == *" $row "* ]] || refuse "--rows: there is no $row, some of$known"
done
python=$environment/bin/python
[ -x "$python" ] || { usage >&2; refuse "there is no $python"; }
[ -f "$peers/infer.py" ] || refuse "--peers DIR or FJORD_PEERS has to name the folder of infer.py and train_step.py"
[ -x "$tools/fjord-bench" ] || refuse "there is no $tools/fjord-bench: build it, or give --tools DIR"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cached=$root/build/peers # the peers' converted networks
mkdir -p "$cached"

say() { echo "$*" >&2; }
show() { if [ -n "$output" ]; then tee -a "$output"; else cat; fi; }
wanted() { [ "$rows" = all ] || [[ ",$rows," == *",$1,"* ]]; }
has() { "$python" -c "import $1" >/dev/null 2>&1; }

# run SIDE COMMAND...: one more line of JSON in SIDE's results; its last words where it fails.
run() {
  local side=$work/$1
  shift
  [ ! -f "$side.failed" ] || return 0
  if TMPDIR=$cached "$@" >"$work/out" 2>"$work/err"; then
    grep '^{' "$work/out" | tail -1 >>"$side"
    say "  ${side##*/}: $(tail -1 "$side" | grep -o '"median_ms": *[0-9.]*' | grep -o '[0-9.]*$') ms"
  else
    { tail -1 "$work/err" | cut -c1-100 | tr '|\n' '  '; } >"$side.failed"
    say "  ${side##*/}: $(cat "$side.failed")"
  fi
}
bench() { local side=$1 kind=$2; shift 2; run "$side" "$tools/fjord-bench" "$kind" --encoder resnet34 --steps $steps --warmup $warmup --json - "$@"; }
train() { local side=$1; shift; run "$side" "${cap[@]}" "$python" "$peers/train_step.py" --channels-last --steps $steps --warmup $warmup "$@"; }
infer() { local side=$1; shift; run "$side" "${cap[@]}" "$python" "$peers/infer.py" --steps $steps --warmup $warmup "$@"; }
cap=(env)

# median SIDE KEY
median() {
  [ -s "$work/$1" ] || return 0
  grep -o "\"$2\": *[0-9.e+-]*" "$work/$1" | sed 's/.*: *//' | sort -g | awk '{v[NR]=$1} END {if (NR) print (v[int((NR+1)/2)] + v[int(NR/2)+1]) / 2}'
}
cell() { # SIDE KEY DIGITS UNIT: the median, and the range
  grep -o "\"$2\": *[0-9.e+-]*" "$work/$1" | sed 's/.*: *//' | sort -g |
    awk -v d="$3" -v u="$4" '{v[NR]=$1} END {f="%." d "f"; m=(v[int((NR+1)/2)] + v[int(NR/2)+1]) / 2; printf f " %s (" f " to " f ")", m, u, v[1], v[NR]}'
}
quotient() { awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN {if (b > 0 && a > 0) printf "%.2f", a / b; else printf "-"}'; }
# compare WORK FJORD PEER: a line of the table.
compare() {
  local fjord=$2 peer=$3 side
  for side in "$fjord" "$peer"; do
    if [ ! -s "$work/$side" ]; then
      echo "| $1 | ${peer%%,*} | skipped: $side: $(cat "$work/$side.failed" 2>/dev/null || echo "not there") | | | |" | show
      return
    fi
  done
  echo "| $1 | ${peer%%,*} | $(cell "$fjord" median_ms 0 ms) | $(cell "$peer" median_ms 0 ms) | $(quotient "$(median "$peer" median_ms)" "$(median "$fjord" median_ms)") |" \
    "$(quotient "$(median "$fjord" peak_rss_mib)" "$(median "$peer" peak_rss_mib)") ($(median "$fjord" peak_rss_mib | cut -d. -f1) of $(median "$peer" peak_rss_mib | cut -d. -f1) MiB) |" | show
}
# absent MODULE SIDE: notes that a side cannot run.
absent() { has "$1" || echo "the environment has no $1" >"$work/$2.failed"; }
turns() { local i; for i in $(seq "$runs"); do "$@"; done; }

for side in torch:pytorch-bf16 torch:'pytorch, train-256' torch:'pytorch, train-512' torch:'pytorch, avx2-train' torch:'pytorch, avx2-infer' \
  onnxruntime:onnxruntime onnxruntime:'onnxruntime, first' openvino:openvino openvino:openvino-bf16 ncnn:ncnn MNN:mnn; do
  absent "${side%%:*}" "${side#*:}"
done

start() {
  {
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(grep -q avx512f /proc/cpuinfo && echo AVX-512 || echo no AVX-512)," \
      "load before the first run $(cut -d' ' -f1 /proc/loadavg); Unet-resnet34, fp32 unless said; median of $runs turns of $steps steps (least to most)."
    echo
    echo "| work | beside | fjord | it | times as fast | memory |"
    echo "|---|---|---|---|---|---|"
  } | show
}

turn_train() {
  bench fjord-train train --size 256 --batch 8
  train 'pytorch, train-256' --size 256 --batch 8
  if wanted train-bf16; then train pytorch-bf16 --size 256 --batch 8 --amp bf16; fi
}
turn_512() {
  bench fjord-512 train --size 512 --batch 2
  train 'pytorch, train-512' --size 512 --batch 2
}
turn_infer() {
  if wanted infer || wanted mobile || wanted bf16; then bench fjord-infer infer --size 512 --batch 1; fi
  if wanted low; then bench fjord-low infer --size 512 --batch 1 --memory low; fi
  if wanted infer || wanted low; then infer onnxruntime --engine onnxruntime --size 512; infer openvino --engine openvino --size 512; fi
  if wanted mobile; then infer ncnn --engine ncnn --size 512; infer mnn --engine mnn --size 512; fi
  if wanted bf16; then bench fjord-bf16 infer --size 512 --batch 1 --precision bf16; infer openvino-bf16 --engine openvino --size 512 --bf16; fi
}
turn_avx2() {
  local cap=(env ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2)
  if wanted avx2-train; then bench fjord-avx2-train train --size 256 --batch 8 --isa avx2; train 'pytorch, avx2-train' --size 256 --batch 8; fi
  if wanted avx2-infer; then bench fjord-avx2-infer infer --size 512 --batch 1 --isa avx2; infer 'pytorch, avx2-infer' --engine torch --size 512; fi
}
# A network that is saved, and an image for it: a new process reads both and writes a mask. The engines' time is from importing
# them to the result in memory, with the image there already.
prepare_first() {
  "$python" - "$work/data" <<'END'
import os, sys
from PIL import Image
for i, (part, size) in enumerate([("train", 64), ("train", 64), ("val", 64), ("one", 512)]):
    for kind, mode in (("images", "RGB"), ("labels", "L")):
        folder = os.path.join(sys.argv[1], part, kind)
        os.makedirs(folder, exist_ok=True)
        Image.effect_mandelbrot((size, size), (-2, -1.5, 1, 1.5), 40 + i).point(lambda v: 255 * (v > 99)).convert(mode).save(f"{folder}/{i}.png")
END
  "$tools/fjord-train" "$work/data" --encoder resnet34 --size 64 --batch 2 --steps 2 --out "$work/run" --quiet
}
predict() {
  local begin=$EPOCHREALTIME
  "$tools/fjord-predict" "$work/run" "$work/data/one/images" --size 512 --output "$work/masks" --quiet
  awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN {printf "{\"first_result_s\": %.3f}\n", b - a}'
}
turn_first() {
  run fjord-first predict
  infer 'onnxruntime, first' --engine onnxruntime --size 512
}
turn_threads() {
  bench fjord-two train --size 256 --batch 8 --threads 2
  bench fjord-one train --size 256 --batch 8 --threads 1
}

start
if wanted train || wanted train-bf16; then
  turns turn_train
  if wanted train; then compare "train step, 8 of 256x256" fjord-train 'pytorch, train-256'; fi
  if wanted train-bf16; then compare "the same beside bf16" fjord-train pytorch-bf16; fi
fi
if wanted train-512; then
  turns turn_512
  compare "train step, 2 of 512x512" fjord-512 'pytorch, train-512'
fi
if wanted infer || wanted low || wanted mobile || wanted bf16; then
  turns turn_infer
  for peer in onnxruntime openvino; do
    if wanted infer; then compare "inference, 512x512" fjord-infer $peer; fi
    if wanted low; then compare "the same with \`--memory low\`" fjord-low $peer; fi
  done
  if wanted mobile; then for peer in ncnn mnn; do compare "inference, 512x512" fjord-infer $peer; done; fi
  if wanted bf16; then
    compare "inference, 512x512, fp32 beside bf16" fjord-infer openvino-bf16
    compare "inference, 512x512, bf16" fjord-bf16 openvino-bf16
  fi
fi
if wanted avx2-train || wanted avx2-infer; then
  turns turn_avx2
  if wanted avx2-train; then compare "train step, AVX2 alone" fjord-avx2-train 'pytorch, avx2-train'; fi
  if wanted avx2-infer; then compare "inference, AVX2 alone" fjord-avx2-infer 'pytorch, avx2-infer'; fi
fi
if wanted threads; then
  turns turn_threads
  compare "train step, 2 threads beside 1" fjord-two fjord-one
fi
if wanted first; then
  prepare_first >"$work/out" 2>"$work/err" || tail -1 "$work/err" >"$work/fjord-first.failed"
  turns turn_first
  if [ -s "$work/fjord-first" ] && [ -s "$work/onnxruntime, first" ]; then
    echo "| start of a process to its mask on the disk, 512x512; beside import to result | onnxruntime |" \
      "$(cell fjord-first first_result_s 2 s) | $(cell 'onnxruntime, first' first_result_s 2 s) |" \
      "$(quotient "$(median 'onnxruntime, first' first_result_s)" "$(median fjord-first first_result_s)") | |" | show
  else
    echo "| first result | onnxruntime | skipped: $(cat "$work/fjord-first.failed" "$work/onnxruntime, first.failed" 2>/dev/null) | | | |" | show
  fi
fi
