#!/bin/bash
# Types README's commands, and those of docs/operations.md that install, in a bare root: deploy/bare_root.sh [SUITE]. Needs root,
# debootstrap and git; what is committed here is what is cloned there. Each step is timed. It takes about half an hour.
# ROOT=DIR is kept, and used again; STEPS="demo wheel install pages test" takes some of them.
set -eu
tree=$(dirname "$(dirname "$(realpath "$0")")")
release=${1:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
if [ -z "${IN_ROOT:-}" ]; then
  export IN_ROOT=1
  exec unshare --mount --pid --fork --kill-child "$0" "$release"
fi
place=$(mktemp -d)
trap 'rm -rf --one-file-system "$place"' EXIT
root=${ROOT:-$place/root}
step() { echo "bare_root.sh: $*"; }
fail() { echo "bare_root.sh: $*" >&2; tail -n 20 "$place/log" >&2; exit 1; }
inside() {
  chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive ${PIP_CERT:+PIP_CERT=/etc/ssl/certs/ca-certificates.crt} "$@"
}
install() { inside apt-get install -y -qq --no-install-recommends "$@" >"$place/log" 2>&1 || fail "apt-get install $*"; }
ca() { [ -z "${PIP_CERT:-}" ] || cp "$PIP_CERT" "$root/etc/ssl/certs/ca-certificates.crt"; }
# One line of a page in the tree, as it stands, timed. What it says is missing is installed, once, as its reader would.
typed() {
  local from=$SECONDS need status=0
  inside bash -c "cd /srv/xbot && $1" >"$place/log" 2>&1 || status=$?
  need=$(sed -n 's/.*missing: apt-get install //p' "$place/log")
  if [ "$need" ]; then
    step "$1 asks for: $need"
    install $need
    ca
    from=$SECONDS status=0
    inside bash -c "cd /srv/xbot && $1" >"$place/log" 2>&1 || status=$?
  fi
  [ $status = 0 ] || fail "$1: status $status"
  step "$1: $((SECONDS - from)) s$(sed -n 's/^=* *\([0-9]* passed[^=]*[^= ]\) *=*$/, \1/p' "$place/log" | tail -n 1)"
}

if ! [ -d "$root/usr/bin" ]; then
  debootstrap --variant=minbase "$release" "$root" "${MIRROR:-http://deb.debian.org/debian}" >"$place/log" 2>&1 || fail debootstrap
fi
mount --make-rprivate /
mount --rbind "$root" "$root" # so that it is a place where something is mounted, as the root of a machine is
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
cp /etc/resolv.conf "$root/etc/resolv.conf"
[ -e "$root/etc/hosts" ] || cp /etc/hosts "$root/etc/hosts" # debootstrap makes none for Debian 12, and each machine and container has one
inside apt-get update -qq
install git make ca-certificates
ca
rm -rf "$root/srv/xbot"
git clone -q --no-local "$tree" "$root/srv/xbot"
step "$release: $(inside bash -c '. /etc/os-release && echo "$PRETTY_NAME"')"

for what in ${STEPS:-demo wheel install pages test}; do
  case $what in
  demo)
    typed "make demo ONCE=1"
    ;;
  wheel)
    install binutils pipx
    typed "make wheel"
    typed "pipx install dist/xbot-*.whl"
    typed "deploy/try.sh /root/.local/bin/xbot && pipx uninstall xbot"
    typed "python3 -m venv /opt/xbot && /opt/xbot/bin/pip install dist/xbot-*.whl"
    typed "deploy/try.sh /opt/xbot/bin/xbot && rm -r /opt/xbot"
    ;;
  install)
    install systemd
    typed "make install PREFIX=/usr && systemd-sysusers && systemd-tmpfiles --create"
    typed "deploy/try.sh /usr/bin/xbot && id xbot"
    typed "make uninstall PREFIX=/usr && ! test -e /usr/bin/xbot"
    ;;
  pages)
    install curl iproute2
    typed "make build"
    typed "make .venv/test"
    typed ".venv/bin/python -m pytest -q -n0 -m servers tests/pages/test_page_commands.py"
    grep -q skipped "$place/log" && fail "skipped" || :
    ;;
  test)
    typed "make test"
    ;;
  esac
done
step "all is well"
