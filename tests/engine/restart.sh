#!/usr/bin/env bash
# An Engine that is killed and comes back (contract R4): what runs goes on, what needs it says so, nothing is left. Of a
# container that is killed the command tells the cause (L8).
# Needs root, and an Engine of its own: it kills it.
set -euo pipefail

here=$(dirname "$0")
dir=$(mktemp -d)
unset STOCKADE_TEST_DOCKER_HOST
finish() {
    "$here/../engine.sh" stop "$dir/engine"
    rm -rf "$dir"
}
trap finish EXIT

DOCKER_HOST=$("$here/../engine.sh" start "$dir/engine")
export DOCKER_HOST STOCKADE_STATE_DIR=$dir/state
mkdir "$dir/code"
sandbox="$STOCKADE_BUILD/stockade"

fail() {
    echo "$*"
    exit 1
}

containers() {
    docker ps -aq --filter label=stockade.sandbox=box | wc -l
}

kill_engine() {
    kill -9 "$(cat "$dir/engine/pid")"
    while docker version >/dev/null 2>&1; do sleep 0.1; done
}

"$sandbox" create --runtime docker --image stockade-test:busybox --start --name box --workspace "$dir/code" \
    --preset full-access
"$sandbox" exec --runtime docker box -- sh -c 'touch begun; until [ -e go ]; do sleep 0.1; done; echo whole' >"$dir/out" &
exec_pid=$!
while [ ! -e "$dir/code/begun" ]; do sleep 0.1; done
kill_engine
touch "$dir/code/go"
wait "$exec_pid" || fail "the command that ran was lost with the Engine"
[ "$(cat "$dir/out")" = whole ] || fail "its output was lost"
[ "$("$sandbox" exec --runtime docker box -- echo on)" = on ] || fail "no command runs without the Engine"

"$sandbox" stop --runtime docker box || fail "cannot be stopped without the Engine"
! pgrep -f "$dir/state" >/dev/null || fail "stopped, and a process is left"
! "$sandbox" start --runtime docker box 2>"$dir/err" || fail "started without an Engine"
grep -q "docker.sock cannot be reached" "$dir/err" || fail "the reason is not told: $(cat "$dir/err")"

"$here/../engine.sh" start "$dir/engine" >/dev/null
"$sandbox" start --runtime docker box || fail "cannot be started when the Engine is back"
[ "$("$sandbox" exec --runtime docker box -- ls)" = "begun
go" ] || fail "the workspace is another"
[ "$(containers)" = 1 ] || fail "$(containers) containers after the restart"

"$sandbox" exec --runtime docker box -- sh -c 'touch again; sleep 1000' 2>"$dir/err" &
exec_pid=$!
while [ ! -e "$dir/code/again" ]; do sleep 0.1; done
docker ps -q --filter label=stockade.sandbox=box | xargs docker kill >/dev/null
! wait "$exec_pid" || fail "a command whose container was killed has succeeded"
grep -q "killed by signal 9" "$dir/err" || fail "the cause is not told: $(cat "$dir/err")"
"$sandbox" start --runtime docker box || fail "cannot be started after its container was killed"

kill_engine
"$sandbox" destroy --runtime docker box || fail "cannot be destroyed without the Engine"
"$here/../engine.sh" start "$dir/engine" >/dev/null
"$sandbox" ls --runtime docker >/dev/null # any open cleans
[ "$(containers)" = 0 ] || fail "a container is left of what was destroyed"
