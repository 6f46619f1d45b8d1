#!/usr/bin/env bash
# `make tsan`: many threads on one runtime, with plugins, host library and filesystem daemon under ThreadSanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
export TMPDIR=$work

make --no-print-directory -j"$(nproc)" SAN=thread threads
stage build/san-thread
check "tsan, many threads on one runtime" tests/threads.sh 30
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
totals
