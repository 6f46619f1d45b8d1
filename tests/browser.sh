#!/usr/bin/env bash
# The page of `stockade compare --html`, in a headless Chromium: browser.sh [SHOTS_DIR]. STOCKADE_BUILD says which
# build's. Installs chromium and node where they are not, which takes a minute or two, so it is not among the packages
# that building needs.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${STOCKADE_BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
shots=${1:-$dir}

packages=()
command -v chromium >/dev/null || packages+=(chromium)
command -v node >/dev/null || packages+=(nodejs)
tests/install.sh "${packages[@]}"

# A runtime without processes is enough for a page: it has figures that are there and others that are not. The name of
# the workload is one that a careless page would run.
printf '{"name": "</script><img src=x onerror=alert(1)>&amp;", "command": "true"}' >"$dir/hostile.json"
mkdir "$dir/plugins"
cp "$build/tests/plugins/mock.so" "$dir/plugins"
STOCKADE_PLUGIN_PATH=$dir/plugins "$build/stockade" compare --runtimes mock --runs 3 --workload "$dir/hostile.json" \
    --only life,exec,stdin,fs_stat,workload --bare --html "$dir/report.html" >/dev/null
timeout 300 node tests/browser/page.mjs "$(command -v chromium)" "$dir/report.html" "$shots"
