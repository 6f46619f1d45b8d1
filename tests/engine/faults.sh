#!/usr/bin/env bash
# faults.sh KIND [OPTION...]: an Engine of its own, docker's or Podman's (KIND, as engine.sh has it), that is killed and
# stands still in the middle of what it was asked for: faults.c, with the runner's options. Needs root.
set -euo pipefail
. "$(dirname "$0")/world.sh"

export STOCKADE_TEST_ENGINE_DIR=$dir/engine
DOCKER_HOST=$("$here/../engine.sh" start "$dir/engine" "$1")
shift
cd "$here/../.."
"$STOCKADE_BUILD/tests/engine" --plugin "$STOCKADE_BUILD/lib/stockade/docker.so" --image stockade-test:busybox \
    --config "{\"docker_host\":\"$DOCKER_HOST\"}" --jobs 1 --filter 'faults/*' "$@"
