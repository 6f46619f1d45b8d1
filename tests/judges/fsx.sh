#!/usr/bin/env bash
# fsx.sh SECONDS [SEED]: random operations in the workspace, a plain directory the oracle. Run by workspace.
set -euo pipefail
exec "$STOCKADE_BUILD/tests/fsx" "${2:-1}" "$1" "$WORKSPACE" "$PLAIN" "$CODEBASE"
