#!/usr/bin/env bash
# faults.sh [OPTION...]: an Engine of its own that is killed and stands still in the middle of what it was asked for:
# faults.c, with the runner's options. Needs root.
set -euo pipefail
. "$(dirname "$0")/world.sh"

export STOCKADE_TEST_ENGINE_DIR=$dir/engine
DOCKER_HOST=$("$here/../engine.sh" start "$dir/engine")
cd "$here/../.."
"$STOCKADE_BUILD/tests/engine" --plugin "$STOCKADE_BUILD/lib/stockade/docker.so" --image stockade-test:busybox \
    --config "{\"docker_host\":\"$DOCKER_HOST\"}" --jobs 1 --filter 'faults/*' "$@"
