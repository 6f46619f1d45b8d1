#!/usr/bin/env bash
# remap.sh [OPTION...]: the contract on an Engine that remaps users (userns-remap), with the runner's options: containers
# are not remapped, see docs/docker.md, and may do no more there than on any other Engine. Needs root.
set -euo pipefail

# Who is whom is looked up in files of its own, in a mount namespace that the Engine and the tests share.
if [ -z "${STOCKADE_TEST_REMAP:-}" ]; then
    STOCKADE_TEST_REMAP=yes exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "$0")/world.sh"
unset STOCKADE_STATE_DIR STOCKADE_CONFIG

chmod 711 "$dir" # its way to their files
printf '%s:300000:65536\n' nobody nogroup >"$dir/ids"
mount --bind "$dir/ids" /etc/subuid
mount --bind "$dir/ids" /etc/subgid
DOCKER_HOST=$(STOCKADE_TEST_DOCKERD_ARGS=--userns-remap=nobody:nogroup "$here/../engine.sh" start "$dir/engine")
export DOCKER_HOST
docker info --format '{{.SecurityOptions}}' | grep -q userns || fail "the Engine does not remap users"

cd "$here/../.."
for transport in agent engine; do
    "$STOCKADE_BUILD/tests/conformance" --plugin "$STOCKADE_BUILD/lib/stockade/docker.so" \
        --image stockade-test:busybox --config "{\"docker_host\":\"$DOCKER_HOST\",\"exec_transport\":\"$transport\"}" "$@"
done
