#!/usr/bin/env bash
# Stockade's own unit tests build and pass inside a Stockade sandbox on its own tree.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
export STOCKADE_STATE_DIR=$copy.state
"$STOCKADE_BUILD/stockade" run --runtime bwrap --workspace "$copy" --preset full-access --timeout 15m -- /bin/sh -ec '
    make -j"$(nproc)" CFLAGS=-O1 unit
    for test in build/tests/unit/*; do
        "$test"
    done
'
rm -rf "$copy.state"
