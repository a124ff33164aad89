#!/bin/sh
# Writes the manual pages of an xbot that is installed, of the command and of each that it has: deploy/man.sh COMMAND DIRECTORY
# They are made from --help by help2man; where that is not installed there are none, and it says so. Commands that need packages
# which are not there (those that train) have no page.
set -eu
command=$1 to=$2
command -v help2man >/dev/null || { echo "no manual pages: help2man is not installed" >&2; exit 0; }
version=$("$command" --version | cut -d ' ' -f 2)
page() {
  help2man --no-info --section=1 --version-string="$version" --name="$2" "$1" --output="$3"
  # Examples: each is a line of its own, and one that goes over two lines is one.
  sed -i -e '/ \\e$/{N;N;s/ \\e\n\.HP\n/ /}' "$3"
  sed -i -e 's/^xbot [a-z]\{1,\} .*\\fB/.br\n&/' "$3"
}
mkdir -p "$to"
page "$command" 'tells bots from people in front of a web site' "$to/xbot.1"
for name in $("$command" --help | sed -n '/^Commands:/,$s/^  \([a-z]\{1,\}\) .*/\1/p'); do
  about=$("$command" "$name" --help | awk 'NR > 2 { if (!NF) exit; $1 = $1; printf "%s ", $0 }')
  case $about in *"which is not installed"*) continue ;; esac
  page "$command $name" "${about%%[.:]*}" "$to/xbot-$name.1"
  sed -i "s/^xbot $name \\\\-/xbot-$name \\\\-/" "$to/xbot-$name.1"
done
