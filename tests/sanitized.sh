#!/usr/bin/env bash
# `make asan`, `make tsan`: every suite with sanitized plugins, host library, filesystem daemon and command.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh

make --no-print-directory -j"$(nproc)" SAN="$1" programs tests
stage "build/san-${1%%,*}"
suites "$1, "
check "nothing is left running or mounted" tests/nothing_left.sh "$work"
totals
