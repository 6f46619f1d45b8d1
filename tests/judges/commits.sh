#!/usr/bin/env bash
# commits.sh DIR SECONDS SEED [KEY=VALUE...]: random operations in a copy-on-write sandbox, a plain directory the oracle;
# the codebase must not change meanwhile, and be the oracle's equal once they are committed. In turn the delta grows
# older, or is made anew by a start. What is discarded at the end leaves the codebase's own. KEY=VALUE are bwrap's.
set -euo pipefail
dir=$1
seconds=$2
seed=$3
shift 3
rounds=4
export STOCKADE_STATE_DIR=$dir/state
stockade=$STOCKADE_BUILD/stockade
fsx=$STOCKADE_BUILD/tests/fsx
config=
for pair; do config+=",\"${pair%%=*}\":${pair#*=}"; done
echo "{\"runtimes\":{\"bwrap\":{${config#,}}}}" >"$dir/config.json"

mkdir "$dir/code" "$dir/plain"
as=()      # root's sandbox shows files as their owner's, and the oracle's are to look the same
flags=(-w) # an ordinary user cannot commit what lies in a directory that is closed to it
if [ "$(id -u)" = 0 ]; then
    flags=()
    chown stockade-test: "$dir/code" "$dir/plain"
    as=(setpriv --reuid stockade-test --regid stockade-test --clear-groups)
fi
trap '"$stockade" destroy box >/dev/null' EXIT
"$stockade" create --config "$dir/config.json" --delta --start --preset full-access --workspace "$dir/code" --name box
mnt=$(echo "$dir"/state/*/boxes/box/mnt)

# operate SEED SECONDS|OPSops: by the sandbox's user, who may not be on the way to the workspace.
operate() {
    (cd "$mnt" && "${as[@]}" "$fsx" "${flags[@]}" "$1" "$2" . "$dir/plain")
}

same() {
    "$fsx" 1 0ops "$1" "$2"
}

for round in $(seq $rounds); do
    rm -rf "$dir/before"
    cp -a "$dir/code" "$dir/before"
    operate $((seed + round)) "$(echo "$seconds $rounds" | awk '{ print $1 / $2 }')"
    same "$dir/code" "$dir/before"
    "$stockade" commit box >/dev/null
    same "$dir/code" "$dir/plain"
    [ -z "$("$stockade" changes box)" ]
    if [ $((round % 2)) = 0 ]; then
        "$stockade" stop box
        "$stockade" start box
        same "$mnt" "$dir/plain"
    fi
done
operate "$seed" 2000ops
"$stockade" discard box
same "$mnt" "$dir/code"
[ -z "$("$stockade" changes box)" ]
