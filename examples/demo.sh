#!/usr/bin/env bash
# `make demo`: an untrusted command works on a real codebase, and the secrets in it do not exist for it.
set -euo pipefail
cd "$(dirname "$0")/.."

stockade=${BUILD:-build}/stockade
work=$(mktemp -d "${TMPDIR:-/tmp}/stockade-demo.XXXXXX")
export STOCKADE_STATE_DIR=$work/state
failures=0

cleanup() {
    "$stockade" destroy demo >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

inside() {
    printf '  sandbox$ %s\n' "$1"
    "$stockade" exec demo -- /bin/sh -c "$1" 2>&1 | sed 's/^/    /'
    return "${PIPESTATUS[0]}"
}

# expect ok|fails COMMAND: says so if it turns out otherwise.
expect() {
    local want=$1 got=ok
    inside "$2" || got=fails
    if [ "$got" != "$want" ]; then
        echo "    ^^^ this should have been: $want"
        failures=$((failures + 1))
    fi
}

say "A codebase with secrets in it (on the host, $work/project)"
cp -r examples/wordcount "$work/project"
mkdir -p "$work/project/secrets" "$work/project/deploy/secrets"
echo 'API_KEY=do-not-leak-me' >"$work/project/.env"
echo 'do-not-leak-me' >"$work/project/secrets/token"
echo 'do-not-leak-me' >"$work/project/deploy/secrets/production"
echo '-----BEGIN PRIVATE KEY-----' >"$work/project/id_rsa.pem"
echo 'read only, please' >"$work/project/NOTES"
(cd "$work/project" && find . -type f | sort | sed 's/^/    /')

say "A sandbox on it: preset 'development' (write all but secrets), and one rule more"
"$stockade" create --start --name demo --workspace "$work/project" --preset development --rule 'NOTES=read' >/dev/null
"$stockade" inspect demo | sed 's/^/    /'

say "Its build and its tests run inside"
expect ok 'make test'

say "The secrets are absent: by ls, by find, by cat"
expect ok 'ls -A'
expect ok 'find . -type f | sort'
expect fails 'cat .env'
expect fails 'cat secrets/token deploy/secrets/production id_rsa.pem'
expect fails 'grep -r do-not-leak-me .'

say "One write is denied, one is allowed"
expect fails 'echo overwritten > NOTES'
expect ok 'echo "written inside" > report.txt; cat report.txt'
printf '  host$ cat report.txt\n    %s\n' "$(cat "$work/project/report.txt")"

say "What else is there: nothing of the host"
expect ok 'id; hostname; ls /; ls -A /home /root 2>&1 || true; env'
expect ok 'cat /proc/net/dev | tail -n +3 | cut -d: -f1'

say "What ran where"
"$stockade" runtimes | sed 's/^/    /'
"$stockade" ls | sed 's/^/    /'
"$stockade" destroy demo >/dev/null
[ "$(cat "$work/project/.env")" = 'API_KEY=do-not-leak-me' ] || failures=$((failures + 1))

if [ "$failures" != 0 ]; then
    say "$failures step(s) went otherwise than they should"
    exit 1
fi
say "All as it should be. The sandbox is gone, the project's secrets never were there for it."
