#!/usr/bin/env bash
# build.sh SOURCES: a part of this project, whose sources are the archive SOURCES, built in the workspace and on the
# plain directory, has to come out byte by byte the same, and is not built a second time. Run by workspace.
set -euo pipefail
sources=$1
targets=(build/libstockade.a build/libstockade.so build/libexec/stockade/permfs build/tests/fsx)

build() {
    mkdir "$1"
    tar -xf "$sources" -C "$1"
    make -C "$1" -s -j2 CC=cc CFLAGS='-O1 -g0' "${targets[@]}"
    make -C "$1" -q CC=cc CFLAGS='-O1 -g0' "${targets[@]}"
}

build "$PLAIN/project"
build "$WORKSPACE/project"
for dir in "$WORKSPACE" "$CODEBASE"; do
    diff -r --no-dereference "$PLAIN/project" "$dir/project"
done
