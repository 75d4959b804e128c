#!/usr/bin/env bash
# Who may include whom, and where a backend may show:
#   tools -> models, data -> engine -> kernels, of which only tools and tests know a backend; CUDA only in kernels/cuda and its tests; OpenMP and oneDNN only in
#   kernels; image files only in data and tools; no #if but in the files that are there for it: host
#   or device (and which), the version of oneDNN, the processor's family.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

mapfile -t files < <(tracked cpp h cu cuh)
[ ${#files[@]} -gt 0 ] || finish layers ""

faults=$(awk '
  BEGIN {
    allowed["kernels"] = "kernels"
    allowed["engine"] = "engine kernels"
    allowed["models"] = "models engine kernels"
    allowed["data"] = "data engine kernels"
    allowed["tools"] = "tools models data engine kernels"
    allowed["tests"] = "tests tools models data engine kernels"
  }
  function fault(text) { print FILENAME ":" FNR ": " text }
  function include(what, folder, target) {
    folder = FILENAME; sub(/\/.*/, "", folder)
    target = what; sub(/\/.*/, "", target)
    if (what ~ /\.\./)
      fault("includes " what ": includes are written from the root")
    else if (what ~ /\// && target in allowed && index(" " allowed[folder] " ", " " target " ") == 0)
      fault("includes " what ": " folder " may include " allowed[folder])
    else if (what ~ /^kernels\/(cpu|cuda)\// && folder ~ /^(engine|models|data)$/)
      fault("includes " what ": " folder " knows the kernels by their interfaces alone")
    else if (what ~ /^(cuda|cudnn|cublas|nccl|cub\/)/ && FILENAME !~ /^(kernels|tests)\/cuda\//)
      fault("includes " what ": only kernels/cuda and tests/cuda may")
    else if (what ~ /^(omp\.h|dnnl|oneapi\/)/ && folder !~ /^(kernels|tests)$/)
      fault("includes " what ": only kernels may")
    else if (what ~ /^(png\.h|jpeglib\.h|tiff.*\.h|stb\/|opencv2\/)/ && folder !~ /^(data|tools|tests)$/)
      fault("includes " what ": " folder " knows nothing of image files")
  }
  /^ *# *include/ { what = $0; sub(/^[^<"]*[<"]/, "", what); sub(/[>"].*/, "", what); include(what) }
  /^ *# *(if|ifdef|ifndef|elif)[^a-z]/ && FILENAME !~ /^kernels\/(host_device\.h|cuda\/ptx\.h|cpu\/(onednn|backend)\.cpp|cpu\/winograd\/vector\.h)$/ {
    fault("#if outside of host_device.h, ptx.h, vector.h, onednn.cpp and backend.cpp of kernels")
  }
  /^ *# *pragma +omp/ && FILENAME !~ /^(kernels|tests)\// { fault("OpenMP outside of kernels") }
' "${files[@]}")
finish layers "$faults"
