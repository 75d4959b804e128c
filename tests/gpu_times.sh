# The times of tests/gpu.sh, which sources this and has build, quick, python, peers, run and number: fjord's, by rule and as
# they are tuned, and PyTorch's and TensorRT's beside them. Sections of Markdown; what is absent is said and left out.

bench() { "$build/tools/fjord-bench" "$@" --device cuda --quiet --json -; }

time_fjord() {
  local what size batch precision json
  echo
  echo "## Times"
  echo
  echo "| what | size | batch | precision | median ms | images/s | planned MiB |"
  echo "|---|---|---|---|---|---|---|"
  for what in train infer; do
    for size in 256 512; do
      for batch in 1 8 16; do
        for precision in bf16 fp16 tf32 fp32; do
          [ $quick = no ] || [ "$size $batch" = "512 8" ] || continue
          json=$(bench $what --size $size --batch $batch --precision $precision --steps 50 --warmup 10 2>"$build/log/bench") ||
            { echo "| $what | $size | $batch | $precision | failed: $(tail -n 1 "$build/log/bench") | | |"; continue; }
          echo "| $what | $size | $batch | $precision | $(number median_ms <<<"$json") | $(number images_per_s <<<"$json") | $(number planned_mib <<<"$json") |"
        done
      done
    done
  done
  echo
  echo "## Kernels of one step, 512x512, batch 8, bf16"
  echo
  echo '```'
  "$build/tools/fjord-bench" kernels --device cuda --size 512 --batch 8 --steps 20 --json "$build/log/kernels.json" 2>&1 || true
  echo
  "$build/tools/fjord-bench" train --device cuda --size 512 --batch 8 --predict 2>&1 || true
  echo '```'
}

# What timing gains, and what it chose; resnet50 has 1x1 convolutions, which may be products.
time_tuned() {
  local encoder what json
  rm -rf "$build/cache"
  echo
  echo "## Convolutions by rule and timed (FJORD_CUDNN_TUNE=1), 512x512, batch 8, bf16"
  echo
  echo "| what | encoder | by rule, ms | timed, ms |"
  echo "|---|---|---|---|"
  for encoder in resnet34 resnet50; do
    for what in train infer; do
      json=$(bench $what --encoder $encoder --size 512 --batch 8 --precision bf16 --steps 50 --warmup 10 2>"$build/log/bench") || json=''
      printf '| %s | %s | %s |' $what $encoder "$(number median_ms <<<"$json")"
      json=$(XDG_CACHE_HOME=$build/cache FJORD_CUDNN_TUNE=1 bench $what --encoder $encoder --size 512 --batch 8 --precision bf16 --steps 50 --warmup 10 2>"$build/log/tuned") || json=''
      echo " $(number median_ms <<<"$json") |"
    done
  done
  echo
  echo "Chosen: $(cat "$build"/cache/fjord/conv-plans-*.json 2>/dev/null | grep -oE '"(engine|cublasLt|apart)"' | sort | uniq -c | awk '{print $1, $2}' | paste -sd ',')."
}

# What cuDNN's sums gain, by rule and timed.
time_sums() {
  local encoder ask json
  rm -rf "$build/cache"
  echo
  echo "## Sums of batch normalisation by hand and by cuDNN (FJORD_CUDNN_SUMS=1), training, 512x512, batch 8, bf16"
  echo
  echo "| encoder | by hand, ms | cuDNN's, ms | cuDNN's and timed, ms |"
  echo "|---|---|---|---|"
  for encoder in resnet34 resnet50; do
    printf '| %s |' $encoder
    for ask in "" "FJORD_CUDNN_SUMS=1" "FJORD_CUDNN_SUMS=1 FJORD_CUDNN_TUNE=1"; do
      # shellcheck disable=SC2086
      json=$(export XDG_CACHE_HOME=$build/cache $ask; bench train --encoder $encoder --size 512 --batch 8 --precision bf16 --steps 50 --warmup 10 2>"$build/log/sums") || json=''
      printf ' %s |' "$(number median_ms <<<"$json")"
    done
    echo
  done
}

# PyTorch in turns with fjord: eager with mixed precision, then compiled.
time_peers() {
  local turn mode json
  echo
  echo "## PyTorch, 512x512, batch 8"
  echo
  if [ -z "$peers" ]; then
    echo "Left out: no --peers."
    return
  fi
  if ! "$python" -c 'import torch, segmentation_models_pytorch; assert torch.cuda.is_available()' 2>"$build/log/peers"; then
    echo "Left out: $python has no PyTorch with CUDA and segmentation_models_pytorch ($(tail -n 1 "$build/log/peers"))."
    return
  fi
  echo "| turn | who | median ms | images/s | peak GPU MiB |"
  echo "|---|---|---|---|---|"
  for turn in 1 2 3; do
    json=$(bench train --size 512 --batch 8 --precision bf16 --steps 50 --warmup 10 2>/dev/null) || json=''
    echo "| $turn | fjord bf16 | $(number median_ms <<<"$json") | $(number images_per_s <<<"$json") | planned $(number planned_mib <<<"$json") |"
    for mode in "--amp bf16" "--amp fp16" "--amp bf16 --compile max-autotune"; do
      # shellcheck disable=SC2086
      json=$("$python" "$peers/train_step.py" --device cuda --size 512 --batch 8 --channels-last $mode --steps 50 --warmup 10 2>"$build/log/peers") || json=''
      echo "| $turn | PyTorch $mode | $(number median_ms <<<"$json") | $(number images_per_s <<<"$json") | $(number peak_gpu_mib <<<"$json") |"
    done
  done
}

# Inference by TensorRT, of the network as PyTorch exports it.
time_tensorrt() {
  local trtexec
  trtexec=$(command -v trtexec || ls /usr/src/tensorrt/bin/trtexec 2>/dev/null || true)
  echo
  echo "## TensorRT, 512x512, batch 8"
  echo
  if [ -z "$trtexec" ]; then
    echo "Left out: there is no trtexec."
    return
  fi
  if ! "$python" - "$build/unet.onnx" >"$build/log/onnx" 2>&1 <<'END'
import sys, torch, segmentation_models_pytorch as smp
net = smp.create_model("Unet", encoder_name="resnet34", encoder_weights=None, classes=1).eval()
torch.onnx.export(net, torch.zeros(8, 3, 512, 512), sys.argv[1], opset_version=17)
END
  then
    echo "Left out: $python could not export the network with PyTorch (log/onnx)."
    return
  fi
  if ! run tensorrt "$trtexec" "--onnx=$build/unet.onnx" --fp16 --useCudaGraph --noDataTransfers; then
    echo "Failed: $(tail -n 1 "$build/log/tensorrt") (log/tensorrt)."
    return
  fi
  echo "fp16: median $(sed -nE 's/.*GPU Compute Time: .*median = ([0-9.]+) ms.*/\1/p' "$build/log/tensorrt" | tail -n 1) ms."
}
