#!/bin/bash
# build.sh OUT: makes OUT/ngx_http_xbot_module.so for the nginx of this machine. `make module` calls it.
#
# NGINX      the binary; the one on the PATH if unset
# NGINX_SRC  nginx's source of the same version, or Debian's copy of its headers (package nginx-dev), which is looked for if unset
# MODULE_CFLAGS, MODULE_LDFLAGS  more flags, such as those of a sanitizer
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
csrc=$(cd "$here/../../csrc" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
fail() { echo "make module: $*" >&2; exit 2; }

nginx=${NGINX:-$(command -v nginx || command -v /usr/sbin/nginx || true)}
[ -n "$nginx" ] || fail "nginx is not installed: apt-get install nginx-light, or name it: make module NGINX=/path/to/nginx"
told=$("$nginx" -V 2>&1) || fail "$nginx -V: $told"
version=$(sed -n 's|^nginx version: [^/]*/\([0-9.]*\).*|\1|p' <<<"$told")
source=${NGINX_SRC:-/usr/share/nginx/src}
header=$source/src/core/nginx.h
[ -e "$header" ] || fail "the headers of nginx $version are missing ($header): apt-get install nginx-dev, or unpack nginx-$version.tar.gz and say make module NGINX_SRC=/path/to/nginx-$version"
there=$(sed -n 's|^#define NGINX_VERSION *"\([0-9.]*\)"|\1|p' "$header")
[ "$there" = "$version" ] || fail "$nginx is version $version, and $source is of $there: nginx loads a module of its own version only. Upgrade the older of the two, or name the source: make module NGINX_SRC=/path/to/nginx-$version"

# csrc/, as setup.py compiles it.
rm -rf "$out/csrc" "$out/nginx"
mkdir -p "$out/csrc"
read -ra more <<<"${MODULE_CFLAGS:-}"
for file in "$csrc"/*.c "$csrc"/*/*.c; do
  ${CC:-cc} -std=gnu11 -O3 -g -fPIC -fvisibility=hidden -Wall -Wextra -Werror "${more[@]}" -I"$csrc" -c "$file" -o "$out/csrc/$(basename "$file" .c).o"
done
rm -f "$out/libxbot.a"
ar rcs "$out/libxbot.a" "$out"/csrc/*.o

# The module, by nginx's own build with the very options of the binary, in a copy of its source. Options that name other modules,
# and packages that only these need, are left out; Debian says in conf_flags which options count.
mkdir "$out/nginx"
cp -R "$source"/. "$out/nginx"
cd "$out/nginx"
if [ -e conf_flags ]; then
  NGX_CONF_FLAGS=()
  # shellcheck disable=SC1091
  . ./conf_flags
  flags=("${NGX_CONF_FLAGS[@]}")
else
  arguments=$(sed -n 's/^configure arguments: //p' <<<"$told")
  declare -a flags="($arguments)" # quoted as a shell would
fi
kept=()
for flag in "${flags[@]}"; do
  case $flag in --with-cc-opt=*|--with-ld-opt=*|--add-module=*|--add-dynamic-module=*|--with-*=dynamic) ;; *) kept+=("$flag");; esac
done
export XBOT_LIBRARY=$out/libxbot.a
./configure "${kept[@]}" --with-cc-opt="-std=gnu11 -O2 -g -fPIC -fstack-protector-strong -Wall -Wextra -Werror ${MODULE_CFLAGS:-}" \
  --with-ld-opt="-Wl,-z,relro -Wl,-z,now ${MODULE_LDFLAGS:-}" --add-dynamic-module="$here" >../configure.log 2>&1 ||
  { tail -n 5 ../configure.log >&2; fail "nginx's configure failed: $out/configure.log"; }
make -f objs/Makefile modules >../make.log 2>&1 || { grep -E 'error|warning' -A 5 ../make.log >&2; fail "it does not compile: $out/make.log"; }

# nginx compares a signature of how both were built: so can we, before it refuses.
signature() { grep -aoE '[0-9],[0-9],[0-9],[01]{34}' "$1" | head -n 1 || true; }
mine=$(signature objs/ngx_http_xbot_module.so)
its=$(signature "$nginx")
[ "$mine" = "$its" ] || fail "$nginx was built with other options ($its) than $source says ($mine): use the source and options that it was built with"
mv objs/ngx_http_xbot_module.so "$out/"
echo "$out/ngx_http_xbot_module.so"
