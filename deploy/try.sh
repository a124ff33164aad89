#!/bin/sh
# Tries an xbot that is installed: deploy/try.sh COMMAND...  It says its version, scores a line, serves and answers.
# `make wheel` runs it on the wheel, deploy/debian/try.sh on the Debian package.
set -eu
place=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill "$pid" 2>/dev/null || :; rm -rf "$place"' EXIT
cd "$place" # not in the tree, whose own modules would be found
fail() { echo "try.sh: $*" >&2; exit 1; }

said=$("$@" --version)
case $said in "xbot "[0-9]*) ;; *) fail "--version said: $said" ;; esac

verdict=$(echo '192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "curl/8.5.0"' |
  "$@" score --model default --format combined - | cut -f 2)
test "$verdict" = bot || fail "score said of curl: $verdict"

"$@" serve --workers 1 --listen "unix:$place/xbot.sock" 2>log &
pid=$!
i=0
until test -S xbot.sock && grep -q 'worker ready' log; do
  i=$((i + 1))
  test $i -lt 300 && kill -0 $pid || { cat log >&2; fail "serve did not start"; }
  sleep 0.1
done
answers=$("$@" bench --socket "unix:$place/xbot.sock" --rate 10 --seconds 0.5 --rounds 1 --no-most --json)
case $answers in *'"verdicts": {"human": 5}'* | *'"verdicts": {"bot": 5}'*) ;; *) fail "serve answered: $answers" ;; esac
kill $pid
wait $pid || { cat log >&2; fail "serve ended with $?"; }
pid=
echo "$said: scores, serves, answers"
