#!/usr/bin/env bash
# check.sh [full]: builds everything and runs every suite, as root and as an ordinary user, then again with sanitizers.
# Leaves nothing behind. `make check` takes less than 25 minutes on two CPUs, and lists what it leaves to
# `make check-full`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
. tests/suites.sh
full=${1:-}
export TMPDIR=$work

make --no-print-directory -j"$(nproc)" programs tests
stage build
check "headers alone, C11 and C++17" tests/headers.sh
check "plugins export one symbol" tests/symbols.sh
suites_unit
check "README's host builds and runs" tests/readme.sh
check "many threads on one runtime" tests/threads.sh 5
check "own unit tests inside a bwrap sandbox" tests/self.sh
check "compare's page in a browser" tests/browser.sh
if can_be_root; then
    ordinary_user
    engine_start
    suites_bwrap
    suites_docker
    suites_user
fi

make --no-print-directory -j"$(nproc)" SAN=address,undefined suites
stage build/san-address
suites_sanitized

make --no-print-directory -j"$(nproc)" SAN=thread threads
stage build/san-thread
check "tsan, many threads on one runtime" tests/threads.sh 10

engine_stop
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
tests/table.sh "$work/tap" || failed=$((failed + 1))
totals
