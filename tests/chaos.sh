#!/usr/bin/env bash
# chaos.sh: the chaos test on a build, for SECONDS (20) and from SEED (the time). With DOCKER_HOST and IMAGE also on
# docker. STOCKADE_BUILD is the build, `build` if it is not set.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${STOCKADE_BUILD:-build}
seconds=${CHAOS_SECONDS:-20}
seed=${SEED:-$(date +%s)}

"$build/tests/chaos" --plugin "$build/lib/stockade/bwrap.so" --libexec "$build/libexec/stockade" \
    --seed "$seed" --seconds "$seconds"
if [ -n "${DOCKER_HOST:-}" ] && [ -n "${IMAGE:-}" ]; then
    "$build/tests/chaos" --plugin "$build/lib/stockade/docker.so" --libexec "$build/libexec/stockade" \
        --seed "$seed" --seconds "$seconds" --image "$IMAGE" --docker-host "$DOCKER_HOST" \
        --config "{\"docker_host\":\"$DOCKER_HOST\"}"
fi
