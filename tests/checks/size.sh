#!/usr/bin/env bash
# Lines by folder, the longest file and function, and what is over the bounds: a function of more
# than 60 lines, a file of more than 350. Functions are found by the layout that clang-format gives;
# one that only returns a table is data.
#
#   tests/checks/size.sh [ROOT [FOLDER]]    with FOLDER every file of it as well, such as: . kernels/cpu
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
most_function_lines=60
most_file_lines=350

# LINES FILE:LINE NAME of every function: from its first line to the brace that closes it, at the
# margin or, in a class, at the margin's first step.
functions() {
  awk '
    FNR == 1 { start = member = in_class = in_function = 0 }
    /^(}|};|}  \/\/.*)$/ {
      if (in_function == 1) print FNR - start + 1, FILENAME ":" start, name
      in_function = in_class = 0; next
    }
    in_function == 1 && /^  return {$/ && FNR == start + 1 { in_function = 3 }
    in_function == 1 || in_function == 3 { next }
    { sub(/ *\/\/.*$/, "") }
    open && name ~ /__launch_bounds__\([^()]*\)$/ { name = name " " $0 }
    /^  }$/ && in_function == 2 { print FNR - member + 1, FILENAME ":" member, name; in_function = 0; next }
    in_function == 2 { next }
    /^[A-Za-z_]/ && !/^(namespace|using|public|private|protected)/ {
      if (!open) { start = FNR; name = $0 }
      open = 1
    }
    /^  [A-Za-z_~]/ && in_class { if (!open) { member = FNR; name = $0 }; open = 1 }
    open && /{$/ {
      open = 0
      if (in_class) in_function = 2
      else if (name ~ /(^|[ >])(struct|class|enum|union) / && name !~ /\(/) in_class = 1
      else if (name ~ /\(/ && $0 !~ /= *{$/) in_function = 1
      next
    }
    open && /[;}]$/ { open = 0 }
    /^(  )?template/ { open = 0 }
  ' "$@" | sed -E 's/__launch_bounds__\([^)]*\) *//; s/__attribute__\(\(.*\)\) *//; s/^([0-9]+ [^ ]+) +([^(]*[ *&])?([^ (]+)\(.*/\1 \3/'
}

mapfile -t files < <(tracked cpp h cu cuh)
report=$(functions "${files[@]}" | sort -rn)

echo "| folder | files | lines | longest file | longest function |"
echo "|---|---|---|---|---|"
for folder in kernels engine models data tools tests; do
  mapfile -t inside < <(printf '%s\n' "${files[@]}" | grep "^$folder/" || true)
  [ ${#inside[@]} -gt 0 ] || continue
  longest=$(wc -l "${inside[@]}" | grep -v ' total$' | sort -rn | sed -n 1p | awk '{print $2 " (" $1 ")"}')
  total=$(cat "${inside[@]}" | wc -l)
  function=$(grep -E " $folder/" <<<"$report" | sed -n 1p | awk '{print $3 " (" $1 ")"}' || true)
  echo "| $folder | ${#inside[@]} | $total | $longest | $function |"
done
echo

# The same of each file of a folder.
if [ -n "${2-}" ]; then
  echo "| file | lines | longest function |"
  echo "|---|---|---|"
  for file in "${files[@]}"; do
    [[ $file == "$2"/* ]] || continue
    function=$(grep -F " $file:" <<<"$report" | sed -n 1p | awk '{print $3 " (" $1 ")"}' || true)
    echo "| ${file#"$2"/} | $(wc -l <"$file") | $function |"
  done
  echo
fi

faults=$(
  awk -v most=$most_function_lines '$1 > most {print $2 ": a function of " $1 " lines (at most " most "): " $3}' <<<"$report"
  wc -l "${files[@]}" | awk -v most=$most_file_lines '$2 != "total" && $1 > most {print $2 ": " $1 " lines (at most " most ")"}'
)
finish size "$faults"
