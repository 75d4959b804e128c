#!/usr/bin/env bash
# Installs what fjord needs and this machine lacks, from the distribution's packages.
# --print only says what it would do.
set -euo pipefail

# One need a line: the package, and after "|" names that satisfy the same need elsewhere.
# What each is for stands in third_party/README.md.
needs() {
  cat <<'END'
g++
cmake
ninja-build
libdnnl-dev
ocl-icd-opencl-dev
libfmt-dev
nlohmann-json3-dev
libcli11-dev | libcli11
zlib1g-dev
libpng-dev
libjpeg62-turbo-dev | libjpeg-turbo8-dev
libtiff-dev
libstb-dev
libopencv-core-dev
libopencv-imgproc-dev
libxxhash-dev
libprotobuf-dev
protobuf-compiler
libonnx-dev
doctest-dev
clang
libclang-rt-dev | libclang-rt-14-dev
clang-format
END
}

usage() { echo "usage: third_party/install.sh [--print]"; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# The first name of every need that no installed package satisfies.
missing() {
  local names name first
  while IFS= read -r names; do
    first=${names%% *}
    for name in ${names//|/ }; do
      installed "$name" && continue 2
    done
    echo "$first"
  done < <(needs)
}

main() {
  local print=no as_root=() packages
  case "${1-}" in
    "") ;;
    --print) print=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  if ! command -v dpkg-query >/dev/null; then
    echo "install.sh: this system has no Debian packages; third_party/README.md lists what fjord needs" >&2
    exit 2
  fi

  mapfile -t packages < <(missing)
  if [ ${#packages[@]} -eq 0 ]; then
    echo "every package that fjord needs is installed"
    exit 0
  fi
  if [ "$print" = yes ]; then
    echo "would install ${#packages[@]} packages: ${packages[*]}"
    exit 0
  fi

  echo "installing ${#packages[@]} packages: ${packages[*]}"
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq
                 --no-install-recommends)
  # The first try fails where the lists are absent (a fresh container) or out of date.
  if ! "${install[@]}" "${packages[@]}" 2>/dev/null; then
    "${as_root[@]}" apt-get update -qq
    "${install[@]}" "${packages[@]}"
  fi
}

main "$@"
