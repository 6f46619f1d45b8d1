#!/usr/bin/env bash
# `make bench`: the benchmarks, on the Engine that STOCKADE_TEST_DOCKER_HOST names, or a private one that is stopped
# afterwards; as an ordinary user, or where no Engine is installed, without docker's. BENCH=PATTERN for some of them,
# BENCH_ROUNDS=N for at most so many rounds of each.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build}
dir=$(mktemp -d /tmp/stockade-bench.XXXXXX)
chmod 711 "$dir" # for an ordinary user's mounts
bench=

# Also after benches that did not come to their end: whoever opens a state directory next ends what such a host left.
clean() {
    local state mount
    [ -z "$bench" ] || ! kill "$bench" 2>/dev/null || wait "$bench" || true
    for state in "$dir"/*.state; do
        [ ! -d "$state" ] || "$build/stockade" ls --runtime bwrap --state-dir "$state" >/dev/null || true
    done
    [ ! -d "$dir/engine" ] || tests/engine.sh stop "$dir/engine" || true
    awk -v below="$dir/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | while read -r mount; do
        umount -l "$mount" || true
    done
    rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$(id -u)" = 0 ] && { [ -n "${STOCKADE_TEST_DOCKER_HOST:-}" ] || command -v dockerd >/dev/null; }; then
    BENCH_DOCKER_HOST=$(tests/engine.sh start "$dir/engine")
    export BENCH_DOCKER_HOST
else
    echo "without docker's: these take root and an Engine"
fi
"$build/tests/bench" build/bench.json "$dir" & # which an interrupt does not reach, but clean() does
bench=$!
wait "$bench"
