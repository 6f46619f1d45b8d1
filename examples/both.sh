#!/usr/bin/env bash
# The second half of `make demo`: the same steps in bubblewrap and in a container. One word of the config differs, and
# what is printed does not. Needs an Engine: the one that DOCKER_HOST names or that is at the usual place, else, as root,
# a private one that ends with the demo.
set -euo pipefail
cd "$(dirname "$0")/.."

stockade=${BUILD:-build}/stockade
work=$(mktemp -d "${TMPDIR:-/tmp}/stockade-both.XXXXXX")
export STOCKADE_STATE_DIR=$work/state

cleanup() {
    local runtime
    for runtime in bwrap docker; do
        [ ! -e "$work/$runtime.json" ] || "$stockade" destroy --config "$work/$runtime.json" both >/dev/null 2>&1 || true
    done
    [ ! -d "$work/engine" ] || tests/engine.sh stop "$work/engine"
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ "$(id -u)" != 0 ] || ! command -v docker >/dev/null; then
    echo "The docker backend is left out: it needs root, and the docker command to make an image."
    exit 0
fi
if docker version >/dev/null 2>&1; then
    export STOCKADE_TEST_DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
elif ! command -v dockerd >/dev/null; then
    echo "The docker backend is left out: no Engine answers, and there is none to start."
    exit 0
fi
engine=$(tests/engine.sh start "$work/engine")

mkdir -p "$work/project/secrets"
echo 'API_KEY=do-not-leak-me' >"$work/project/.env"
echo 'do-not-leak-me' >"$work/project/secrets/token"
echo 'hello' >"$work/project/README"

cat >"$work/bwrap.json" <<END
{
    "runtime": "bwrap",
    "preset": "development",
    "rules": [{ "pattern": "README", "permission": "read" }],
    "runtimes": { "docker": { "docker_host": "$engine", "default_image": "stockade-test:busybox" } }
}
END
sed 's/"runtime": "bwrap"/"runtime": "docker"/' "$work/bwrap.json" >"$work/docker.json"

# What shells word in their own way is left out.
steps=(
    'pwd; ls -A'
    'cat README; cat .env 2>/dev/null || echo "no .env"'
    'ls secrets 2>/dev/null || echo "no secrets"'
    '(echo overwritten >README) 2>/dev/null || echo "read only"'
    'echo "written inside" >report; cat report; rm report'
    'sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d " "'
    '(echo x >/usr/planted) 2>/dev/null || echo "nothing of the system can be changed"'
)

steps_run() {
    local config=$work/$1.json step
    "$stockade" create --config "$config" --start --name both --workspace "$work/project" >/dev/null
    for step in "${steps[@]}"; do
        printf '  sandbox$ %s\n' "$step"
        "$stockade" exec --config "$config" both -- /bin/sh -c "$step" 2>&1 | sed 's/^/    /'
    done
    "$stockade" destroy --config "$config" both >/dev/null
}

for runtime in bwrap docker; do
    printf '\n%s: %s\n' "$runtime" "$(grep '"runtime":' "$work/$runtime.json")"
    steps_run "$runtime" >"$work/$runtime.out"
    cat "$work/$runtime.out"
done
echo
diff "$work/bwrap.out" "$work/docker.out"
echo "Both have printed the same. The configs differ by:"
{ diff "$work/bwrap.json" "$work/docker.json" || true; } | grep '^[<>]'
