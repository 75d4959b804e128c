#!/usr/bin/env bash
# third_party/install.sh on a machine that has nothing, by stand-ins for dpkg-query and apt-get:
# --print changes nothing and names every need; without it exactly those are installed.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
install=$root/third_party/install.sh
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
failed=0
expect() { grep -qE "$2" <<<"$1" || { echo "expected \"$2\" in: $1"; failed=1; }; }

stand_in() { printf '#!/usr/bin/env bash\n%s\n' "$2" >"$bin/$1"; chmod +x "$bin/$1"; }
stand_in sudo 'exec "$@"'
stand_in apt-get "echo \"apt-get \$*\" | tee -a '$bin/calls'"
export PATH=$bin:$PATH

stand_in dpkg-query 'exit 1'
output=$("$install" --print)
expect "$output" '^would install [0-9]+ packages: .*g\+\+ .*libdnnl-dev .*doctest-dev'
[ ! -e "$bin/calls" ] || { echo "--print called apt-get: $(cat "$bin/calls")"; failed=1; }
output=$("$install")
expect "$output" 'apt-get install -y .*--no-install-recommends .*g\+\+ .*libdnnl-dev .*clang-format'

stand_in dpkg-query '[ "${*: -1}" != libtiff-dev ] && echo -n installed'
expect "$("$install" --print)" '^would install 1 packages: libtiff-dev$'

stand_in dpkg-query 'echo -n installed'
expect "$("$install")" '^every package that fjord needs is installed$'
expect "$("$install" --all 2>&1 || echo "status $?")" 'status 2'

# The first apt-get fails as it does where the lists are missing: they are fetched once.
stand_in dpkg-query 'exit 1'
stand_in apt-get "echo \"apt-get \$1\" >>'$bin/order'; [ \$1 = update ] || [ \$(wc -l <'$bin/order') -gt 1 ]"
rm -f "$bin/order"
"$install" >/dev/null
[ "$(tr '\n' ' ' <"$bin/order")" = "apt-get install apt-get update apt-get install " ] || { echo "order: $(cat "$bin/order")"; failed=1; }

[ $failed -eq 0 ] && echo "install: ok"
exit $failed
