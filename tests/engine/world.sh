# Shared by the scripts here that need an Engine of their own: sourced first. $dir is the script's own directory, which
# goes at its end, the Engine in $dir/engine with it. `config` writes the runtime's config.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d)
sandbox=$STOCKADE_BUILD/stockade
export STOCKADE_STATE_DIR=$dir/state STOCKADE_CONFIG=$dir/config.json
unset STOCKADE_TEST_DOCKER_HOST DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH
mkdir "$dir/code"
echo whole >"$dir/code/file"

finish() {
    local status=$?
    kill -CONT "$(cat "$dir/engine/pid" 2>/dev/null)" 2>/dev/null || true
    [ ! -d "$dir/engine" ] || "$here/../engine.sh" stop "$dir/engine"
    rm -rf "$dir"
    exit $status
}
trap finish EXIT

fail() {
    echo "$*"
    exit 1
}

# config KEYS: those of the docker runtime, as JSON without its braces.
config() {
    echo "{\"runtime\": \"docker\", \"runtimes\": {\"docker\": {$1}}}" >"$STOCKADE_CONFIG"
}

# refused WORDS COMMAND...: it fails, and says these.
refused() {
    local words=$1
    shift
    if "$@" >"$dir/out" 2>&1; then
        fail "not refused: $*"
    fi
    grep -q "$words" "$dir/out" || fail "$*: the reason is not told as '$words': $(cat "$dir/out")"
}
