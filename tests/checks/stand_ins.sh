# Shared by the checks that run a script on stand-ins, which lie in $folder.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
# expect TEXT PATTERN: or the check has failed.
expect() { grep -qE -- "$2" <<<"$1" || { echo "expected \"$2\" in: $1"; failed=1; }; }

# stand_in PATH BODY: a program of that path below $folder.
stand_in() {
  mkdir -p "$(dirname "$folder/$1")"
  printf '#!/usr/bin/env bash\n%s\n' "$2" >"$folder/$1"
  chmod +x "$folder/$1"
}
