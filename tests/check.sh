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

suites_host() {
    check "headers alone, C11 and C++17" tests/headers.sh
    check "plugins export one symbol" tests/symbols.sh
    suites_unit
    check "README's host builds and runs" tests/readme.sh
    check "many threads on one runtime" tests/threads.sh 5
    check "own unit tests inside a bwrap sandbox" tests/self.sh
    check "compare's page in a browser" tests/browser.sh
}

suites_engines() {
    suites_engine
    suites_podman
}

suites_as_either() {
    suites_bwrap
    suites_user
}

make --no-print-directory -j"$(nproc)" programs tests
stage build
staged
# Gets as far as the suites leave it time to.
chrt --idle 0 make -j"$(nproc)" sanitized >/dev/null 2>&1 &
ahead=$!
if can_be_root; then
    ordinary_user
    engine_start
    beside suites_docker
    beside suites_engines
    beside suites_as_either
fi
suites_host
await
kill "$ahead" 2>/dev/null || true
wait "$ahead" 2>/dev/null || true

make --no-print-directory -j"$(nproc)" sanitized
stage build/san-address
suites_sanitized

stage build/san-thread
check "tsan, many threads on one runtime" tests/threads.sh 10

engine_stop
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
tests/table.sh "$work/tap" || tell failed 1
totals
