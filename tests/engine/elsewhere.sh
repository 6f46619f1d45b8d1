#!/usr/bin/env bash
# An Engine in a mount namespace of its own, as one in a container or on another machine is: it does not see the
# workspace's mount, and no sandbox starts on the empty directory that it sees instead. Needs root.
set -euo pipefail
. "$(dirname "$0")/world.sh"

DOCKER_HOST=$(unshare --mount --propagation private "$here/../engine.sh" start "$dir/engine")
export DOCKER_HOST

for transport in agent engine; do
    config "\"exec_transport\": \"$transport\", \"default_image\": \"stockade-test:busybox\""
    "$sandbox" create --name box --workspace "$dir/code" --preset full-access >/dev/null
    refused "does not see the workspace's mount" "$sandbox" start box
    refused "does not see the workspace's mount" "$sandbox" exec box -- true
    [ -z "$(docker ps -aq)" ] || fail "$transport: a container is left"
    ! grep -q "$dir" /proc/self/mountinfo || fail "$transport: a mount is left"
    "$sandbox" inspect --json box | grep -q '"status":[[:space:]]*"error"' || fail "$transport: the sandbox is not in error"
    "$sandbox" destroy box >/dev/null
done
