#!/usr/bin/env bash
# One word of the config names another runtime, and a host program that was built once (examples/host.c) prints the
# same; so does the demo. Needs root. DOCKER_HOST is an Engine that has the image stockade-test:busybox; without it a
# private one is started.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${STOCKADE_BUILD:-$here/../build}" && pwd)
host=$here/../build/examples/host
dir=$(mktemp -d)
finish() {
    [ ! -d "$dir/engine" ] || "$here/engine.sh" stop "$dir/engine"
    rm -rf "$dir"
}
trap finish EXIT

engine=${DOCKER_HOST:-}
[ -n "$engine" ] || engine=$("$here/engine.sh" start "$dir/engine")
export STOCKADE_PLUGIN_PATH=$build/lib/stockade STOCKADE_STATE_DIR=$dir/state
mkdir "$dir/project"
echo 'API_KEY=secret' >"$dir/project/.env"
echo 'int main(void) { return 0; }' >"$dir/project/main.c"
cat >"$dir/config.json" <<END
{
    "runtime": "bwrap",
    "runtimes": { "docker": { "docker_host": "$engine", "default_image": "stockade-test:busybox" } }
}
END

cd "$dir/project"
export STOCKADE_CONFIG=$dir/config.json
"$host" >"$dir/bwrap.out"
sed -i 's/"bwrap"/"docker"/' "$dir/config.json"
"$host" >"$dir/docker.out"
diff "$dir/bwrap.out" "$dir/docker.out"
grep -q main.c "$dir/docker.out"
! grep -q '\.env' "$dir/docker.out"
