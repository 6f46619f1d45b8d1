#!/usr/bin/env bash
# `make tsan`: many threads on one runtime, with plugins, host library and filesystem daemon under ThreadSanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh

make --no-print-directory -j"$(nproc)" SAN=thread programs build/san-thread/tests/stress
stage build/san-thread
# Starting bubblewrap by clone(CLONE_VM) looks to it like a fork in this process.
check "tsan, many threads on bwrap" as_root env TSAN_OPTIONS="halt_on_error=1 die_after_fork=0" \
    "$STOCKADE_BUILD/tests/stress" "$STOCKADE_BUILD/lib/stockade/bwrap.so" 20
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
totals
