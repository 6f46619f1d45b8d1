#!/usr/bin/env bash
# `make bench`: the benchmarks, on the Engine that STOCKADE_TEST_DOCKER_HOST names, or a private one that is stopped
# afterwards; as an ordinary user, or where no Engine is installed, without docker's. BENCH=PATTERN for some of them,
# BENCH_ROUNDS=N for at most so many rounds of each.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap '[ ! -d "$dir/engine" ] || tests/engine.sh stop "$dir/engine"; rm -rf "$dir"' EXIT

if [ "$(id -u)" = 0 ] && { [ -n "${STOCKADE_TEST_DOCKER_HOST:-}" ] || command -v dockerd >/dev/null; }; then
    BENCH_DOCKER_HOST=$(tests/engine.sh start "$dir/engine")
    export BENCH_DOCKER_HOST
else
    echo "without docker's: these take root and an Engine"
fi
"${BUILD:-build}/tests/bench" build/bench.json
