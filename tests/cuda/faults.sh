#!/usr/bin/env bash
# Plants the faults of faults/*.txt one by one in copies of the kernels and runs the emulated cases
# that must catch them. Prints "caught" or "NOT CAUGHT" for each; exit 1 when one is not.
#   tests/cuda/faults.sh [BUILD_FOLDER] [WORDS]   only faults whose title contains the words
# The folder (build/release) has test_cuda_emulated built: only the changed file is compiled.
#
# One paragraph a fault:
#   fault KIND: what
#   in FILE.cu [HEADER.h that is changed instead]
#   cases SLOT,...       the cases that run, by the beginnings of their slots' names
#   -line, +line ...     the first place with these lines exactly; what takes their place
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${1:-$root/build/release}
words=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objects=$build/tests/cuda/fault_objects.txt
libraries=$build/tests/cuda/fault_libraries.txt
test=$build/tests/cuda/test_cuda_emulated
faults=0 uncaught=0
[ -x "$test" ] || { echo "$test is not there: build test_cuda_emulated first" >&2; exit 2; }

# run PROGRAM: the chosen cases; what it finds goes to a file.
run() { FJORD_CASES=$cases timeout 1200 "$1" -tc="every case*" -aa=1 >"$work/output" 2>&1; }

# The copy, with the first place of $old replaced; false when there is none.
plant() {
  local text
  text=$(<"$root/kernels/cuda/$1")
  [[ $text == *"$old"* ]] || return 1
  mkdir -p "$work/kernels/cuda"
  printf '%s\n' "${text/"$old"/"$new"}" >"$work/kernels/cuda/$1"
}

compile() {
  [ -f "$work/kernels/cuda/$1" ] || cp "$root/kernels/cuda/$1" "$work/kernels/cuda/$1"
  ${CXX:-g++} -x c++ -std=c++20 -O1 -g1 -Wno-unknown-pragmas -ffp-contract=off -fsanitize=thread \
    --param=tsan-instrument-func-entry-exit=0 -fno-tree-sra -I"$work" \
    -I"$root/tests/cuda/emulation/include" -I"$root" -c -o "$work/planted.o" "$work/kernels/cuda/$1"
  mapfile -t rest < <(grep -v "/$1\.o$" "$objects")
  mapfile -t linked <"$libraries"
  ${CXX:-g++} -o "$work/test" "$work/planted.o" "${rest[@]}" "${linked[@]}" -fopenmp -ldl
}

verdict() {
  faults=$((faults + 1))
  local result=caught
  if ! plant "${changed:-$file}" || ! compile "$file" 2>"$work/output"; then
    result="NOT PLANTED"
  elif run "$work/test"; then
    result="NOT CAUGHT"
  fi
  [ "$result" = caught ] || uncaught=$((uncaught + 1))
  printf '%-11s %s (%s)\n' "$result" "$title" "$file"
  if [ "$result" = caught ]; then
    grep -m 1 -E "CUDA emulation: |ERROR: |CRASHED" "$work/output" | cut -c 1-150 | sed 's/^/            /' || true
  fi
  rm -rf "$work/kernels" "$work/test" "$work/planted.o"
}

# Without a fault the same cases hold, else nothing below would mean anything.
cases=$(awk -v words="$words" '/^fault /{on = index($0, words) > 0} /^cases / && on {print $2}' \
  "$here"/faults/*.txt | tr '\n' ',')
run "$test" || { echo "the cases fail without a fault planted" >&2; grep -m 5 ERROR "$work/output" >&2; exit 1; }

while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    "fault "*) title=${line#fault } old="" new="" changed="" ;;
    "in "*) read -r file changed <<<"${line#in }" ;;
    "cases "*) cases=${line#cases } ;;
    -*) old+=${old:+$'\n'}${line#-} ;;
    +*) new+=${new:+$'\n'}${line#+} ;;
    "") [[ -z ${title:-} || $title != *"$words"* ]] || verdict; title="" ;;
  esac
done < <(for list in "$here"/faults/*.txt; do cat "$list"; echo; done)
echo "$faults faults, $((faults - uncaught)) caught (${SECONDS} s)"
[ "$uncaught" -eq 0 ]
