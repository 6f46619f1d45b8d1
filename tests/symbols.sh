#!/usr/bin/env bash
# A plugin exports its entry and nothing else.
set -euo pipefail

for plugin in "$STOCKADE_BUILD"/lib/stockade/*.so; do
    exported=$(nm -D --defined-only "$plugin" | awk '{ print $3 }')
    [ "$exported" = rt_plugin_entry ] || {
        echo "$plugin exports: $exported"
        exit 1
    }
done
