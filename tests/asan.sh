#!/usr/bin/env bash
# `make asan`: every suite with plugins, host library, filesystem daemon and command under ASan and UBSan.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
. tests/suites.sh
full=yes

make --no-print-directory -j"$(nproc)" SAN=address,undefined suites
stage build/san-address
suites_sanitized
engine_stop
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
totals
