#!/bin/sh
# Tries the Debian packages in a bare root of the release that this machine has: deploy/debian/try.sh XBOT.deb MODULE.deb. Needs
# root and debootstrap. It installs the first, asks the sidecar through nginx, has nginx judge by the module without a sidecar,
# edits a conffile, upgrades, and purges.
# ROOT=DIR takes a root that debootstrap made, and leaves it there.
set -eu
package=$(realpath "$1") module=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
place=$(mktemp -d)
root=$place/root
pids=
clean() {
  for pid in $pids; do kill "$pid" 2>/dev/null || :; done
  ! mountpoint -q "$root/proc" || umount -l "$root/proc"
  rm -rf --one-file-system "$place"
}
trap clean EXIT
trap 'exit 1' INT TERM
step() { echo "try.sh: $*"; }
fail() { echo "try.sh: $*" >&2; exit 1; }
# Words, not a function: what is started in the background is then the program itself, whose id is known.
inside="chroot $root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive"

if [ "${ROOT:-}" ]; then
  step "copy $ROOT"
  cp -a "$ROOT" "$root"
else
  step "debootstrap $release"
  debootstrap --variant=minbase "$release" "$root" "${MIRROR:-http://deb.debian.org/debian}" >"$place/log" 2>&1 ||
    { tail "$place/log" >&2; exit 1; }
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service starts by itself
chmod 755 "$root/usr/sbin/policy-rc.d"

step "install nginx and the package"
cp "$package" "$root/tmp/xbot.deb"
$inside apt-get update -qq
$inside apt-get install -y -qq --no-install-recommends nginx-light >"$place/log" 2>&1 || { tail "$place/log" >&2; exit 1; }
$inside apt-get install -y -qq --no-install-recommends /tmp/xbot.deb >"$place/log" 2>&1 || { tail "$place/log" >&2; exit 1; }
$inside id xbot >/dev/null || fail "there is no user xbot"
test -e "$root/usr/lib/xbot/sidecar/__pycache__" || fail "nothing was compiled to bytecode"
for name in xbot xbot-serve xbot-mode; do
  test -e "$root/usr/share/man/man1/$name.1.gz" || fail "there is no manual page of $name"
done
cp "$here/../try.sh" "$root/tmp/try.sh"
$inside /tmp/try.sh /usr/bin/xbot

step "serve as the service does, and ask through nginx"
grep -q '^ExecStart=/usr/bin/xbot serve --config /etc/xbot/xbot.toml$' "$root"/lib/systemd/system/xbot.service ||
  fail "the unit starts something else"
$inside install -d -o xbot -g xbot /run/xbot
port=$($inside python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed -i "s/127.0.0.1:9011/127.0.0.1:0/" "$root/etc/xbot/xbot.toml" # an edit, which an upgrade must keep
rm "$root/etc/nginx/sites-enabled/default" # a link, to the root of this machine as seen from here
echo hello >"$root/var/www/html/index.html"
cat >"$root/etc/nginx/conf.d/site.conf" <<EOF
include xbot/http.conf;
server {
  listen 127.0.0.1:$port;
  include xbot/observe.conf;
  access_log /var/log/nginx/site.log xbot;
  root /var/www/html;
  location / { add_header X-Told \$xbot; }
}
EOF
$inside nginx -t 2>"$place/log" || { cat "$place/log" >&2; exit 1; }
$inside setpriv --reuid xbot --regid xbot --groups www-data xbot serve --config /etc/xbot/xbot.toml --workers 1 --socket-group www-data \
  2>"$place/serve" &
pids=$!
$inside nginx -g 'daemon off;' &
pids="$pids $!"
ask='import sys, time, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"User-Agent": "curl/8.5.0"})
for _ in range(50):
    time.sleep(0.1)
    try:
        told = urllib.request.urlopen(request, timeout=2).headers["X-Told"]
    except OSError as error:
        told = error
    if told == "bot":
        sys.exit()
sys.exit(f"it was told {told}")'
$inside python3 -c "$ask" "http://127.0.0.1:$port/" || { cat "$place/serve" >&2; fail "nginx was not told that curl is a bot"; }
$inside xbot check /etc/xbot/xbot.toml >"$place/log" || { cat "$place/log" >&2; fail "xbot check found something"; }
for pid in $pids; do kill "$pid" && wait "$pid" || :; done
pids=

step "the module, without a sidecar"
cp "$module" "$root/tmp/module.deb"
$inside apt-get install -y -qq --no-install-recommends /tmp/module.deb >"$place/log" 2>&1 || { tail "$place/log" >&2; exit 1; }
sed -i 's|xbot/http.conf|xbot/http_module.conf|' "$root/etc/nginx/conf.d/site.conf"
$inside xbot check /etc/xbot/xbot.toml >"$place/log" || { cat "$place/log" >&2; fail "xbot check found something"; }
grep -q 'ngx_http_xbot_module.so is made for nginx' "$place/log" || fail "xbot check does not see the module"
$inside nginx -g 'daemon off;' &
pids=$!
$inside python3 -c "$ask" "http://127.0.0.1:$port/" || { cat "$root/var/log/nginx/error.log" >&2; fail "the module does not judge"; }
kill "$pids" && wait "$pids" || :
pids=
sed -i 's|xbot/http_module.conf|xbot/http.conf|' "$root/etc/nginx/conf.d/site.conf"
$inside apt-get purge -y -qq libnginx-mod-http-xbot >"$place/log" 2>&1 || { tail "$place/log" >&2; exit 1; }

step "upgrade"
echo '# ours' >>"$root/etc/nginx/xbot/observe.conf"
mkdir "$place/new"
dpkg-deb -R "$package" "$place/new"
sed -i 's/^Version: .*/&+try/' "$place/new/DEBIAN/control"
echo '# theirs' >>"$place/new/etc/nginx/xbot/observe.conf"
echo '# theirs' >>"$place/new/etc/nginx/xbot/pass.conf"
dpkg-deb -b --root-owner-group "$place/new" "$root/tmp/new.deb" >/dev/null
$inside dpkg --force-confdef --force-confold -i /tmp/new.deb >"$place/log" 2>&1 || { tail "$place/log" >&2; exit 1; }
grep -q '^# ours$' "$root/etc/nginx/xbot/observe.conf" || fail "the edited conffile is gone"
grep -q '^# theirs$' "$root/etc/nginx/xbot/observe.conf.dpkg-dist" || fail "the new conffile is not beside the edited one"
grep -q '^# theirs$' "$root/etc/nginx/xbot/pass.conf" || fail "the conffile that nobody edited is the old one"
grep -q '127.0.0.1:0' "$root/etc/xbot/xbot.toml" || fail "the edited xbot.toml is gone"
$inside /tmp/try.sh xbot >/dev/null

step "purge"
echo model >"$root/var/lib/xbot/site.xbot"
$inside dpkg --remove xbot >/dev/null
test -e "$root/etc/nginx/xbot/observe.conf" || fail "a removal took the configuration"
$inside nginx -t 2>"$place/log" || { cat "$place/log" >&2; fail "after a removal nginx does not start"; }
$inside dpkg --purge xbot >/dev/null
left=$($inside find / -xdev -name '*xbot*' -not -path '/proc/*' -not -path '/tmp/*')
test -z "$left" || fail "left after a purge: $left"
step "all is well"
