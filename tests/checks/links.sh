#!/usr/bin/env bash
# Every file that a document links to, or names as a path of this repository, is there.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

# Targets of [text](target), and `folder/file.ending` for the project's own folders.
targets() {
  grep -oE '\]\([^)#: ]+[)#]' "$1" | sed -E "s|^..(.*).$|\1|" | while IFS= read -r link; do
    echo "$(dirname "$1")/$link"
  done
  grep -oE '`(engine|kernels|models|data|tools|tests|third_party|docs)/[A-Za-z0-9_/.-]+\.[a-z]+' "$1" | tr -d '`'
  true
}

faults=$(tracked md | while IFS= read -r file; do
  targets "$file" | sort -u | while IFS= read -r target; do
    [ -e "$target" ] || echo "$file: there is no $target"
  done
done)
finish links "$faults"
