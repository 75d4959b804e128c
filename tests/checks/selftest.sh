#!/usr/bin/env bash
# Every check finds the fault that it is there for: each is run on a small bad tree.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
checks=$root/tests/checks
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

# finds CHECK FILE EXPECTED: FILE (content from stdin) alone in a tree makes CHECK fail, saying EXPECTED.
finds() {
  local output status=0
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/$(dirname "$2")"
  cat >"$tree/$2"
  output=$("$checks/$1.sh" "$tree" 2>&1) || status=$?
  if [ "$status" -eq 77 ]; then
    echo "SKIPPED: $1 on $2: $output"
  elif [ "$status" -ne 1 ] || ! grep -qF "$3" <<<"$output"; then
    echo "$1 does not find the fault in $2 (status $status, expected \"$3\"): $output"
    failed=1
  fi
}

# passes CHECK FILE: FILE (content from stdin) is no fault.
passes() {
  local output
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/$(dirname "$2")"
  cat >"$tree/$2"
  output=$("$checks/$1.sh" "$tree" 2>&1) || { echo "$1 refuses $2: $output"; failed=1; }
}

# lines COUNT: that many statements.
lines() { for ((i = 0; i < $1; ++i)); do echo "  int v$i = $i;"; done; }

finds format engine/a.cpp "engine/a.cpp:1: clang-format -i mends it" <<<'int   f( ) {return 1 ;}'

finds layers kernels/a.cpp "kernels/a.cpp:1: includes engine/tape.h: kernels may include kernels" <<<'#include "engine/tape.h"'
finds layers engine/a.cpp "engine may include engine kernels" <<<'#include "models/models.h"'
finds layers models/a.h "models may include models engine kernels" <<<'#include "data/image.h"'
finds layers data/a.h "data may include data engine kernels" <<<'#include "models/models.h"'
finds layers tools/a.h "tools may include tools models data engine kernels" <<<'#include "tests/a.h"'
finds layers tests/a.cpp "written from the root" <<<'#include "../engine/tape.h"'
finds layers engine/a.cpp "only kernels/cuda and tests/cuda may" <<<'#include <cuda_runtime.h>'
finds layers kernels/cpu/a.cpp "only kernels/cuda and tests/cuda may" <<<'#include <cudnn.h>'
finds layers engine/a.cpp "only kernels may" <<<'#include <omp.h>'
finds layers data/a.cpp "only kernels may" <<<'#include <dnnl.hpp>'
finds layers engine/a.cpp "engine knows the kernels by their interfaces alone" <<<'#include "kernels/cpu/loops.h"'
finds layers engine/a.cpp "engine knows nothing of image files" <<<'#include <png.h>'
finds layers engine/a.cpp "#if outside of" <<<'#ifdef __CUDACC__'
finds layers kernels/cpu/a.cpp "#if outside of" <<<'  # if FJORD_CUDA'
finds layers data/a.cpp "OpenMP outside of kernels" <<<'#pragma omp parallel for'
passes layers kernels/host_device.h <<<'#ifdef __CUDACC__'
passes layers kernels/cuda/a.cu <<<'#include <cuda_runtime.h>'
passes layers tools/a.cpp <<<'#include "models/models.h"'

finds words engine/a.cpp "engine/a.cpp:1: an unfinished mark" <<<"// TO""DO: later"
finds words docs/a.md "an unfinished mark" <<<"not im""plemented"
finds words docs/a.md "a path of a developer's machine" <<<"see /ho""me/me/data"

finds links docs/a.md "docs/a.md: there is no docs/b.md" <<<'[b](b.md)'
finds links README.md "README.md: there is no engine/b.h" <<<'see `engine/b.h`'
passes links docs/a.md <<<'[a](a.md), [elsewhere](https://example.org/b.md), `docs/a.md`'

finds shell tools/a.sh "syntax error" <<<'if true; then'
finds shell tools/a.sh "not executable" <<<'#!/usr/bin/env bash'

{ echo "int long_one() {"; lines 60; echo "}"; } | finds size engine/a.cpp "engine/a.cpp:1: a function of 62 lines (at most 60): long_one"
{ printf 'struct A {\n  int long_one(int a,\n               int b) {\n'; lines 60; printf '  }\n};\n'; } |
  finds size engine/a.h "engine/a.h:2: a function of 63 lines (at most 60): long_one"
{ printf '__global__ void __launch_bounds__(128)\n    long_one() {\n'; lines 60; echo "}"; } | finds size kernels/a.cu "kernels/a.cu:1: a function of 63 lines (at most 60): long_one"
{ printf 'struct A {\n  template <class T>\n  void long_one() {\n'; lines 60; printf '  }\n};\n'; } | finds size engine/a.h "engine/a.h:3: a function of 62 lines (at most 60): long_one"
{ printf 'constexpr Row rows[]{\n'; lines 100; echo "};"; } | passes size tests/b.cpp
lines 351 | finds size engine/a.cpp "engine/a.cpp: 351 lines (at most 350)"
{ echo "const int table[] = {"; lines 100; echo "};"; } | passes size engine/a.cpp
{ printf 'std::vector<Row> rows() {\n  return {\n'; lines 100; printf '  };\n}\n'; } | passes size tests/a.cpp
{ echo "struct A {"; lines 100; echo "};"; } | passes size engine/a.cpp

# A program and a library that need a driver, one that is not there.
binaries=$(mktemp -d)
if command -v gcc >/dev/null && command -v readelf >/dev/null; then
  build() { gcc -x c - -x none -o "$@" <<<"int a(void) { return 0; } int main(void) { return 0; }"; }
  build "$binaries/libcuda.so" -shared -fPIC -Wl,-soname,libcuda.so.1
  build "$binaries/good"
  build "$binaries/bad" -Wl,--no-as-needed "$binaries/libcuda.so"
  build "$binaries/libfjord_cuda.so" -shared -fPIC -Wl,--no-as-needed "$binaries/libcuda.so"
  "$checks/driver.sh" "$binaries/good" >/dev/null || { echo "driver refuses a good program"; failed=1; }
  for bad in bad libfjord_cuda.so; do
    grep -qF "$bad: needs libcuda.so.1" <<<"$("$checks/driver.sh" "$binaries/good" "$binaries/$bad")" || { echo "driver misses a driver in $bad"; failed=1; }
  done
fi
rm -rf "$binaries"

# A stand-in for a program: its --help has one flag.
programs=$(mktemp -d)
trap 'rm -rf "$tree" "$programs"' EXIT
printf '#!/bin/sh\necho "  --size N   of images"\n' >"$programs/fjord-train"
chmod +x "$programs/fjord-train"
flags_of() {  # a document's text: what the check says of it
  rm -rf "${tree:?}"/*
  echo "$1" >"$tree/README.md"
  "$checks/flags.sh" "$tree" "$programs" 2>&1
}
grep -qF "README.md: fjord-train has no --sizes" <<<"$(flags_of '`fjord-train DATA --sizes 3`')" || { echo "flags misses a flag"; failed=1; }
grep -qF "README.md: there is no program fjord-tran" <<<"$(flags_of '`fjord-tran DATA --size 3`')" || { echo "flags misses a program"; failed=1; }
flags_of '`fjord-train DATA --size 3`' >/dev/null || { echo "flags refuses a good document"; failed=1; }

[ $failed -eq 0 ] && echo "selftest: ok"
exit $failed
