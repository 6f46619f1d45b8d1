#!/usr/bin/env bash
# threads.sh SECONDS [PLUGIN [CONFIG]]: the stress program on the staged build's bwrap, or another plugin; under
# ThreadSanitizer if that was built so. There the start of bubblewrap, by clone(CLONE_VM), looks like a fork in this very
# process: die_after_fork.
set -euo pipefail

export TSAN_OPTIONS="halt_on_error=1 die_after_fork=0 suppressions=$(dirname "$0")/tsan.supp print_suppressions=0"
exec "$STOCKADE_BUILD/tests/stress" "$STOCKADE_BUILD/lib/stockade/${2:-bwrap}.so" "$1" ${3:+"$3"}
