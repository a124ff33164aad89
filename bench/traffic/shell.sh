# Programs of the shell that crawl: sh shell.sh TOOL plain|chrome WAY (see record.py for the variables).
set -u
agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36"
site=$TRAFFIC_URL


case $1-$2 in
curl-chrome) set -- "$1" "$2" "$3" -A "$agent" ;;
wget-chrome) set -- "$1" "$2" "$3" -U "$agent" ;;
ffuf-chrome) set -- "$1" "$2" "$3" -H "User-Agent: $agent" ;;
headless-agent) set -- "$1" "$2" "$3" "--user-agent=$agent" ;;
esac
tool=$1 way=$3
shift 3
case $tool-$way in
curl-pages) # a connection each
    for path in / /blog $(curl -s "$@" "$site/c/garden" "$site/c/desk" "$site/c/light" "$site/c/travel" | grep -o 'href="/p/[^"]*"' | cut -d'"' -f2 | head -40); do
        curl -s "$@" -o /dev/null -L "$site$path"
    done ;;
curl-same) # all by one process, over one connection
    for path in $(curl -s "$@" "$site/blog" | grep -o 'href="/blog/[^"]*"' | cut -d'"' -f2); do
        printf 'url="%s%s"\noutput=/dev/null\n' "$site" "$path"
    done > urls
    curl -s "$@" -K urls ;;
curl-watch) # one page, again and again
    for _ in $(seq 35); do curl -s "$@" -o /dev/null "$site/c/desk"; done ;;
wget-recursive) wget -q --ca-certificate="$TRAFFIC_CA" "$@" -r -l 3 --no-parent "$site/" & sleep 12; kill $! 2>/dev/null ;;
wget-requisites)
    for path in / /blog /c/desk /videos; do wget -q --ca-certificate="$TRAFFIC_CA" "$@" -p -nd -P got "$site$path"; done ;;
ffuf-words)
    printf '%s\n' admin login backup .git/config .env wp-login.php test old api config.php db.sql phpinfo.php server-status \
        robots.txt users blog c search cart account img static media video feed.xml sitemap.xml cgi-bin/ shell.php dump.zip > words
    ffuf -s "$@" -k -t 4 -w words -u "$site/FUZZ" ;;
headless-*)
    [ "$way" = dump ] && what=--dump-dom || what=--screenshot=shot.png
    for path in / /blog /c/desk /c/light /videos /about; do
        timeout 30 chromium --headless=new --no-sandbox --disable-gpu --ignore-certificate-errors --user-data-dir="$HOME/p" "$@" $what "$site$path"
    done ;;
esac
true
