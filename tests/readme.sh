#!/usr/bin/env bash
# The host that README.md shows is examples/host.c, word for word; it is built against an installed Stockade, and runs.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
make --no-print-directory install DESTDIR="$dir" PREFIX=/usr >/dev/null
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$dir/host.c"
diff "$dir/host.c" examples/host.c
gcc -std=c11 -Wall -Wextra -Werror -I"$dir/usr/include" "$dir/host.c" -o "$dir/host" -L"$dir/usr/lib" -lstockade
mkdir "$dir/project"
echo 'API_KEY=secret' >"$dir/project/.env"
echo 'int main(void) { return 0; }' >"$dir/project/main.c"
export STOCKADE_STATE_DIR=$dir/state
output=$(cd "$dir/project" && LD_LIBRARY_PATH="$dir/usr/lib" "$dir/host")
echo "$output"
case $output in
*main.c*) ;;
*) exit 1 ;;
esac
case $output in
*.env*) exit 1 ;;
esac
