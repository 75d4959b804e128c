# Shared by the checks: which files belong to the project.
set -euo pipefail

# The folder to check: the first argument, or the repository that the script is in.
root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}" && pwd)

# tracked SUFFIX...: paths below the root with one of these endings: git's own list, or without git
# (an unpacked archive) every file outside of build folders.
tracked() {
  local pattern
  pattern="\.($(IFS='|'; echo "$*"))\$"
  { git -C "$root" ls-files 2>/dev/null || (cd "$root" && find . -type f -not -path './build/*' | sed 's|^\./||'); } |
    grep -E "$pattern" | while IFS= read -r path; do
    [ ! -f "$root/$path" ] || echo "$path"
  done
}

# finish NAME FAULTS: the verdict; FAULTS has one line a fault.
finish() {
  if [ -n "$2" ]; then
    echo "$2"
    echo "$1: $(wc -l <<<"$2") faults"
    exit 1
  fi
  echo "$1: ok"
}
