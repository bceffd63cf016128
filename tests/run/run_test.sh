#!/usr/bin/env bash
# `lunette run` as a user and as an attacker: tests/run/run_test.sh [BUILD_DIR [PATTERN]]
#
# As root, the cases (cases.sh) are run twice, by root and by nobody, in a mount namespace with a
# /run, an /etc and a /dev/net/tun of its own and a network namespace that leads nowhere, so that
# nothing of the machine is touched. An ordinary user runs what that user can.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-build}" && pwd) || exit 2
pattern=${2:-}

place=$(mktemp -d /tmp/lunette-run-XXXXXX)
trap 'rm -rf "$place"' EXIT
# Where any user can read it.
chmod 0755 "$place"
mkdir "$place/bin" && cp "$build/lunette" "$here"/*.py "$here"/*.sh "$place/bin" && cp -r "$build/lua" "$place/bin/lua" || exit 2
chmod -R a+rX "$place/bin"
export PLACE=$place

# Stands for the place of the machine that the cases see; in the namespace.
prepare() {
  ip link set lo up
  ip link add outside type veth peer name nowhere
  for link in outside nowhere; do ip link set $link up; done
  ip addr add 198.51.100.1/24 dev outside
  ip route add default via 198.51.100.2
  ip addr add 2001:db8::1/64 dev outside nodad
  ip route add default via 2001:db8::2
  mount -t tmpfs -o mode=0755 tmpfs /run
  cp -a /etc "$place/etc" && mount --bind "$place/etc" /etc
  install -d /run/user /run/systemd /run/services
  install -d -m 0700 -o 65534 -g 65534 /run/user/65534
  install -d -m 0700 /run/user/0
}

nobody() {
  local tun=$place/tun
  if ! { mknod -m 0666 "$tun" c 10 200 && mount --bind "$tun" /dev/net/tun && : <>/dev/net/tun; } 2>/dev/null; then
    echo "SKIPPED, AND IT MATTERS: there is no way to give nobody a /dev/net/tun here, so lunette without root was NOT tested"
    echo "0 passed, 0 failed, 1 skipped"
    return
  fi
  PATH=/usr/sbin:/usr/bin:/sbin:/bin USER=nobody HOME=/nonexistent setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$@"
}

if [ "$(id -u)" = 0 ]; then
  export -f prepare nobody
  export place
  # shellcheck disable=SC2016
  unshare --mount --propagation private --net bash -c '
    prepare && USER=root "$@" && nobody "$@"' - "$place/bin/cases.sh" "$pattern"
else
  "$place/bin/cases.sh" "$pattern"
fi | tee "$place/output"

# Each user's run ends with "N passed, N failed, N skipped".
awk '/^[0-9]+ passed, / { passed += $1; failed += $3; skipped += $5; runs++ }
  END { printf "all: %d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0 || passed == 0 }' "$place/output"
