#!/usr/bin/env bash
# check.sh [full]: builds everything and runs every suite, as root and as an ordinary user, then again with sanitizers;
# beside each other what waits for disks and clocks most of its time. Leaves nothing behind. `make check` takes less
# than 25 minutes on two CPUs, and lists what it leaves to `make check-full`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
. tests/suites.sh
full=${1:-}
export TMPDIR=$work

# In what time the suites leave to it: it says nothing unless it fails.
build_sanitized() {
    local log=$work/sanitized.build
    chrt --idle 0 make --no-print-directory -j"$(nproc)" SAN=address,undefined suites >"$log" 2>&1 &&
        chrt --idle 0 make --no-print-directory -j"$(nproc)" SAN=thread threads >>"$log" 2>&1 && return
    in_one <"$log"
    return 1
}

suites_host() {
    check "headers alone, C11 and C++17" tests/headers.sh
    check "plugins export one symbol" tests/symbols.sh
    suites_unit
    check "README's host builds and runs" tests/readme.sh
    check "many threads on one runtime" tests/threads.sh 5
    check "own unit tests inside a bwrap sandbox" tests/self.sh
    check "compare's page in a browser" tests/browser.sh
}

suites_as_either() {
    suites_bwrap
    suites_user
}

make --no-print-directory -j"$(nproc)" programs tests
stage build
staged
beside build_sanitized
if can_be_root; then
    ordinary_user
    engine_start
    beside suites_docker
    beside suites_engine
    beside suites_as_either
fi
suites_host
await

stage build/san-address
suites_sanitized

stage build/san-thread
check "tsan, many threads on one runtime" tests/threads.sh 10

engine_stop
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
tests/table.sh "$work/tap" || tell failed 1
totals
