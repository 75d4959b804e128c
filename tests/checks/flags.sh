#!/usr/bin/env bash
# flags.sh [ROOT [PROGRAMS]]: every flag that a document or the demonstration gives to one of our
# programs is one that the program's --help has.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
programs=${2:-$root/build/release/tools}
cd "$root"

declare -A help
for program in "$programs"/fjord-*; do
  [ ! -f "$program" ] || [ ! -x "$program" ] || help[${program##*/}]=$("$program" --help)
done
if [ ${#help[@]} -eq 0 ]; then
  echo "SKIPPED: flags needs the built programs in $programs"
  exit 77
fi

# FILE:PROGRAM:FLAG of every command in the files, continued lines joined.
commands() {
  local file
  for file in "$@"; do
    sed -E ':a; /\\$/ {N; s/\\\n */ /; ba}' "$file" | tr '`' '\n' | sed 's/"\$programs\/\(fjord-[a-z]*\)"/\1/' |
      grep -oE 'fjord-[a-z]+ .*' | sed 's/ #.*//' | while read -r program rest; do
      grep -oE -- '--[a-z][a-z0-9-]*' <<<"$rest" | sed "s|^|$file:$program:|" || true
    done
  done
}

mapfile -t files < <({ tracked md; [ ! -f tools/demo.sh ] || echo tools/demo.sh; } | sort -u)
faults=$(commands "${files[@]}" | sort -u | while IFS=: read -r file program flag; do
  if [ -z "${help[$program]-}" ]; then
    echo "$file: there is no program $program"
  elif ! grep -qE -- "(^| )$flag( |\$)" <<<"${help[$program]}"; then
    echo "$file: $program has no $flag"
  fi
done)
finish flags "$faults"
