#!/usr/bin/env bash
# A bare build, from four header-only libraries in a folder and nothing of the system's, has every
# target and every program of tests/gpu.sh. Needs nvcc and cuDNN, and no card; compiles one file.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -z "$nvcc" ] || ! command -v ninja >/dev/null; then
  echo "SKIPPED: the bare build of tests/gpu.sh (needs nvcc and ninja)"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
faults=''
fault() { faults+="$*"$'\n'; }

mkdir "$folder/headers"
for header in fmt/format.h nlohmann/json.hpp CLI/CLI.hpp doctest/doctest.h; do
  for include in /usr/local/include /usr/include; do
    [ ! -e "$include/$header" ] || ln -sfn "$include/${header%/*}" "$folder/headers/${header%/*}"
  done
done
if ! cmake -S "$root" -B "$folder/build" -G Ninja -DFJORD_CUDA=ON -DFJORD_CUDA_ARCHITECTURES=90-real -DFJORD_BARE=ON \
  "-DCMAKE_CUDA_COMPILER=$nvcc" "-DCMAKE_CXX_COMPILER=$(command -v g++)" "-DCMAKE_MAKE_PROGRAM=$(command -v ninja)" \
  "-DFJORD_HEADERS=$folder/headers" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF \
  -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF >"$folder/log" 2>&1; then
  tail -n 20 "$folder/log"
  finish bare "cmake refuses the bare build"
fi
if grep -q 'convolutions on the GPU are left out' "$folder/log"; then
  echo "SKIPPED: the bare build of tests/gpu.sh (no cuDNN beside the toolkit)"
  exit 77
fi
grep -q 'xxhash.h: .*/engine/no_xxhash' "$folder/log" || fault "xxhash.h was found, which was to be absent"

# Ninja knows of a target, or of a file that it makes.
known() { ninja -C "$folder/build" -t query "$1" >/dev/null 2>&1; }
targets=$(sed -nE 's/.*cmake --build .* --target ([^|]*[^| ]) *\|\|.*/\1/p' "$root/tests/gpu.sh")
[ -n "$targets" ] || fault "no targets were found in tests/gpu.sh"
for target in $targets; do
  known "$target" || fault "a bare build has no target $target, which tests/gpu.sh builds"
done
programs=$(grep -ohE '\$\(bin [a-z_/]+\)|\$build/tools/[a-z_.-]+' "$root/tests/gpu.sh" "$root/tests/gpu_times.sh" |
  sed -E 's|\$\(bin (.*)\)|tests/cuda/\1|; s|\$build/||' | sort -u)
[ -n "$programs" ] || fault "no programs were found in tests/gpu.sh"
for program in $programs; do
  known "$program" || fault "a bare build makes no $program, which tests/gpu.sh runs"
done
! known no_such_target || fault "every name is known: nothing is checked"

# What stands in xxHash's place holds all that is asked of it.
g++ -std=c++20 -fsyntax-only -Wall -Wextra -Werror -DFMT_HEADER_ONLY -isystem "$root/engine/no_xxhash" \
  -isystem "$folder/headers" -I "$root" "$root/engine/safetensors.cpp" 2>&1 || fault "no stand-in for xxHash"
finish bare "${faults%$'\n'}"
