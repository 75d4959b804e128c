#!/usr/bin/env bash
# No unfinished marks and no paths of a developer's machine in code, scripts and documents.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

marks='\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|not [i]mplemented'
paths='/(home|Users|root|wor[k]|mnt)/[A-Za-z0-9_.]'
mapfile -t files < <(tracked cpp h cu cuh sh md cmake txt json in proto)
[ ${#files[@]} -gt 0 ] || finish words ""
faults=$(
  grep -nHE "$marks" "${files[@]}" | sed -E 's|^([^:]+:[0-9]+):.*|\1: an unfinished mark|'
  grep -nHE "$paths" "${files[@]}" | sed -E "s|^([^:]+:[0-9]+):.*|\1: a path of a developer's machine|"
  true
)
finish words "$faults"
