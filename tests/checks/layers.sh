#!/usr/bin/env bash
# Who may include whom, and where a backend may show:
#   tools -> models, data -> engine -> kernels; CUDA only in kernels/cuda; OpenMP and oneDNN only in
#   kernels; image files only in data and tools; no #if but in the files that are there for it: host
#   or device, the version of oneDNN, the processor's family.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

allowed() {  # the project's folders that a folder may include
  case $1 in
    kernels) echo kernels ;;
    engine) echo engine kernels ;;
    models) echo models engine kernels ;;
    data) echo data engine kernels ;;
    tools) echo tools models data engine kernels ;;
    *) echo tests tools models data engine kernels ;;
  esac
}

# LINE-NUMBER:INCLUDED of every include in a file.
includes() { grep -nE '^ *# *include' "$1" | sed -E 's/^([0-9]+):[^<"]*[<"]([^>"]*)[>"].*/\1:\2/' || true; }

check_include() {  # FILE LINE INCLUDED
  local folder=${1%%/*} target=${3%%/*} place="$1:$2: includes $3:"
  case $3 in
    *..*) echo "$place includes are written from the root" ;;
    kernels/* | engine/* | models/* | data/* | tools/* | tests/*)
      [[ " $(allowed "$folder") " == *" $target "* ]] ||
        echo "$place $folder may include $(allowed "$folder")" ;;
    cuda* | cudnn* | cublas* | nccl* | cub/*)
      [[ $1 == kernels/cuda/* ]] || echo "$place only kernels/cuda may" ;;
    omp.h | dnnl* | oneapi/*)
      [[ $folder == kernels || $folder == tests ]] || echo "$place only kernels may" ;;
    png.h | jpeglib.h | tiff*.h | stb/* | opencv2/*)
      [[ $folder == data || $folder == tools || $folder == tests ]] ||
        echo "$place $folder knows nothing of image files" ;;
  esac
}

check_lines() {  # FILE: conditional compilation and OpenMP where they do not belong
  case $1 in
    kernels/host_device.h | kernels/cpu/onednn.cpp | kernels/cpu/backend.cpp) ;;
    *) grep -nE '^ *# *(if|ifdef|ifndef|elif)\b' "$1" |
      sed -E "s|^([0-9]+):.*|$1:\1: #if outside of host_device.h, onednn.cpp and backend.cpp of kernels|" ;;
  esac
  case $1 in
    kernels/* | tests/*) ;;
    *) grep -nE '^ *# *pragma +omp' "$1" | sed -E "s|^([0-9]+):.*|$1:\1: OpenMP outside of kernels|" ;;
  esac
  true
}

faults=$(tracked cpp h cu cuh | while IFS= read -r file; do
  includes "$file" | while IFS=: read -r line included; do check_include "$file" "$line" "$included"; done
  check_lines "$file"
done)
finish layers "$faults"
