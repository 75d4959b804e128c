#!/usr/bin/env bash
# tests/gpu.sh without a card ends early and says so; with stand-ins for card, build and programs it
# writes its tables, and finds results that differ from run to run.
. "$(dirname "${BASH_SOURCE[0]}")/stand_ins.sh"
gpu() { PATH=$folder/bin:$PATH bash "$root/tests/gpu.sh" --quick --build "$folder/build" "$@" 2>&1 || echo "status $?"; }

stand_in bin/nvidia-smi 'exit 9'
output=$(gpu)
expect "$output" '^SKIPPED: tests/gpu.sh needs an NVIDIA GPU'
expect "$output" '^status 77$'
expect "$(gpu --peer x)" '^status 2$'
expect "$(gpu --peers /nowhere)" 'there is no folder /nowhere'

stand_in bin/nvidia-smi 'case $* in -L) echo "GPU 0: A card" ;; *) echo "A card, 1 MiB, 9.0" ;; esac'
stand_in bin/nvcc 'echo "release 13.0, V13"'
stand_in bin/cmake 'echo "-- No cuDNN found: convolutions on the GPU are left out"'
output=$(gpu)
expect "$output" '^tests/gpu.sh: cuDNN 9.8 or newer is needed'
expect "$output" '^status 2$'
stand_in bin/cmake 'exit 0'
stand_in build/tests/cuda/gpu/test_kernels_cuda 'echo "a.cpp:1: MESSAGE: 12 cases of 3 slots"'
# Losses near the CPU's in each precision, and then in one of them as $folder/wrong says.
stand_in build/tests/cuda/gpu/cuda_steps 'case "$*" in *--cpu*) losses="0.8 0.7 0.6" norms="2.5 2 2" ;; *) losses="0.800004 0.7001 0.601" norms="2.501 3 1" ;; esac
case "$*" in *"--precision fp32"*) . "'"$folder"'/wrong" ;; esac
echo "loss 0.5 hash 0123456789abcdef ms 3 losses $losses norms $norms"'
: >"$folder/wrong"
stand_in bin/compute-sanitizer 'echo "$* slots ${FJORD_SLOTS:-all}" >>"'"$folder"'/sanitized"; echo "========= ERROR SUMMARY: 0 errors"'
stand_in build/tests/cuda/gpu/cuda_goldens 'echo "| Unet | fp32 | 1e-7 | 1e-4 |"'
stand_in build/tests/cuda/plans/test_cuda_plans 'echo "[doctest] test cases: 1 | 1 passed"'
stand_in build/tests/cuda/gates/cuda_gates 'echo "| copy | sm_90 |"; echo "gates: 1 kernels"'
stand_in build/tools/fjord-bench '[ -z "${FJORD_CUDNN_TUNE:-}" ] || { mkdir -p "$XDG_CACHE_HOME/fjord"; echo "\"engine\" \"apart\"" >>"$XDG_CACHE_HOME/fjord/conv-plans-1.json"; }
[ -z "${FJORD_CUDNN_SUMS:-}" ] && ms=4.4 || ms=3.9
echo "{\"median_ms\":$ms,\"images_per_s\":1800.5,\"planned_mib\":1329}"'
output=$(gpu)
expect "$output" '^\| op cases \| passed \| 12 cases of 3 slots'
expect "$output" '^\| determinism bf16 \| passed \| 5 runs: 5 x 0123456789abcdef'
expect "$output" '^\| graph bf16 \| passed'
expect "$output" '^\| losses fp32 \| passed \| first loss off by 5\.0e-06 \(at most 1e-5\), .* norm by 4\.0e-04 \(1e-3\), the losses of 2 free steps by 1\.7e-03 '
for precision in tf32 bf16 fp16; do expect "$output" "^\\| losses $precision \\| passed"; done
expect "$output" '^\| sanitizer racecheck \| passed'
expect "$output" "^\\| cuBLASLt's products \\| passed"
expect "$output" '^\| train \| 512 \| 8 \| bf16 \| 4.4 \| 1800.5 \| 1329 \|'
expect "$output" '^\| infer \| resnet50 \| 4.4 \| 4.4 \|'
expect "$output" '^\| resnet50 \| 4.4 \| 3.9 \| 3.9 \|$'
expect "$output" "^\\| cuDNN's sums fp16 \\| passed \\| 5 runs ended in 1 sets of weights"
expect "$output" "^\\| losses with cuDNN's sums bf16 \\| passed \\| first loss off by 5\\.0e-06 "
expect "$output" '^Chosen: 4 "apart",4 "engine"\.'
expect "$output" 'Left out: no --peers'
expect "$output" '^## TensorRT'
expect "$output" '0 checks failed'
expect "$(cat "$folder/build/gpu-results.md")" '^\| copy \| sm_90 \|'

stand_in bin/python 'case $1 in */train_step.py) echo "{\"median_ms\": 10.5, \"images_per_s\": 762, \"peak_gpu_mib\": 2500}" ;; esac'
stand_in bin/trtexec 'echo "[I] GPU Compute Time: min = 1 ms, max = 3 ms, mean = 2 ms, median = 1.75 ms, percentile(90%) = 2 ms"'
output=$(gpu --peers "$folder" --python "$folder/bin/python")
expect "$output" '^\| 3 \| PyTorch --amp bf16 --compile max-autotune \| 10.5 \| 762 \| 2500 \|'
expect "$output" '^fp16: median 1.75 ms'
stand_in bin/trtexec 'echo "no such layer"; exit 1'
expect "$(gpu --python "$folder/bin/python")" "Failed: no such layer"

# A loss, a gradient or a free step that is off fails; so do steps that end without a loss.
for wrong in 'losses="0.8001 0.7 0.6"' 'norms="2.6 2 2"' 'losses="0.8 0.7 0.62"' 'losses="0.8 nan 0.6"' 'losses="0.8 0.7"' 'losses= norms='; do
  echo "$wrong" >"$folder/wrong"
  output=$(gpu)
  expect "$output" '^\| losses fp32 \| FAILED'
  expect "$output" '^\| losses bf16 \| passed'
  expect "$output" '^status 1$'
done
: >"$folder/wrong"

# compute-sanitizer sees every case of every slot: with features in bf16, and those of their own types.
for tool in memcheck racecheck initcheck synccheck; do
  expect "$(cat "$folder/sanitized")" "^--tool $tool .*/test_kernels_cuda --test-case=\*in bf16,\*in its own types slots all$"
done
for test in 'in bf16") { run_cases(DType::bf16, true)' 'in its own types") { run_cases(DType::f32, false)'; do
  grep -qF "$test" "$root/tests/kernels/cuda_runs.cpp" || { echo "tests/kernels/cuda_runs.cpp has no test $test"; failed=1; }
done

stand_in build/tests/cuda/gpu/cuda_steps 'echo "loss 0.5 hash $(printf %016x $RANDOM$RANDOM) ms 3"'
stand_in build/tests/cuda/gpu/test_kernels_cuda 'exit 1'
output=$(gpu)
expect "$output" '^\| op cases \| FAILED'
expect "$output" '^\| determinism fp32 \| FAILED'
expect "$output" '^\| graph fp32 \| FAILED'
expect "$output" '^status 1$'

[ $failed -eq 0 ] && echo "gpu: ok"
exit $failed
