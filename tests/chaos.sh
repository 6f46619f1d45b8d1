#!/usr/bin/env bash
# chaos.sh [short]: the chaos test on a build, for CHAOS_SECONDS (60) and from SEED (the time), on bwrap and, as root
# where dockerd is installed, on docker with an Engine of its own, which is killed too. `short`: bwrap, three seeds that
# are always the same, 15 seconds. STOCKADE_BUILD is the build, `build` if it is not set.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${STOCKADE_BUILD:-build}
seconds=${CHAOS_SECONDS:-60}
arguments=(--build "$build")

if [ "${1:-}" = short ]; then
    for seed in 1 2 3; do
        "$build/tests/chaos" "${arguments[@]}" --seed "$seed" --seconds 4
    done
    exit
fi
arguments+=(--seed "${SEED:-$(date +%s)}" --seconds "$seconds")
if [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null; then
    dir=$(mktemp -d)
    unset STOCKADE_TEST_DOCKER_HOST
    trap 'tests/engine.sh stop "$dir/engine"; rm -rf "$dir"' EXIT
    arguments+=(--docker-host "$(tests/engine.sh start "$dir/engine")" --engine "$dir/engine" --image stockade-test:busybox)
fi
"$build/tests/chaos" "${arguments[@]}" ${CHAOS_ROUND:+--round "$CHAOS_ROUND"}
