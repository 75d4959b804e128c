#!/usr/bin/env bash
# run.sh BUILD_FOLDER: installs fjord into a folder of its own, moves it, starts every program there,
# and builds and runs docs/library.md's example as somebody else's project would.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$1" --prefix "$work/installed" >/dev/null
mv "$work/installed" "$work/prefix"
if grep -rF "$root" "$work/prefix/lib" --include='*.cmake'; then
  echo "the installed package refers to the folder it was built in"
  exit 1
fi

for program in "$1"/tools/fjord-*; do
  "$work/prefix/bin/${program##*/}" --help >/dev/null
done

mkdir "$work/project"
cp "$here/example.cpp" "$work/project/"
cp "$here/project.cmake" "$work/project/CMakeLists.txt"
cmake -S "$work/project" -B "$work/project/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$work/project/build"
"$work/project/build/example"

for file in "$here/example.cpp" "$here/project.cmake"; do
  if ! tr '\n' '\r' <"$root/docs/library.md" | grep -F "$(tr '\n' '\r' <"$file")" >/dev/null; then
    echo "docs/library.md does not show $(basename "$file") as it is"
    exit 1
  fi
done
