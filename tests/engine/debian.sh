#!/usr/bin/env bash
# Real work in a real distribution's image (debian_image.sh): compilers, scripts, sessions, with both transports of
# commands. Needs root. DOCKER_HOST is an Engine; without it a private one is started.
set -euo pipefail
engine=${DOCKER_HOST:-}
. "$(dirname "$0")/world.sh"

[ -n "$engine" ] || engine=$("$here/../engine.sh" start "$dir/engine")
DOCKER_HOST=$engine "$here/debian_image.sh" import

# is WANTED COMMAND...: the command in the sandbox prints that, and exits with 0.
is() {
    local wanted=$1 got
    shift
    got=$("$sandbox" exec box -- "$@" 2>&1) || fail "exit $?: $*: $got"
    [ "$got" = "$wanted" ] || fail "$*: '$got', not '$wanted'"
}

# exits CODE COMMAND...
exits() {
    local wanted=$1 code=0
    shift
    "$sandbox" exec box -- "$@" >"$dir/out" 2>&1 || code=$?
    [ "$code" = "$wanted" ] || fail "$*: exit $code, not $wanted: $(cat "$dir/out")"
}

write_sources() {
    cat >"$dir/code/main.c" <<'C'
#include <stdio.h>
int square(int n);
int main(void) { return printf("%d\n", square(12)) < 0; }
C
    echo 'int square(int n) { return n * n; }' >"$dir/code/square.c"
    printf 'square: main.o square.o\n\t$(CC) -o $@ $^\nclean:\n\trm -f *.o square\n' >"$dir/code/Makefile"
    cat >"$dir/code/sum.py" <<'PYTHON'
import os, subprocess, sys
with open("sum.out", "w") as out:
    out.write(str(sum(map(int, sys.stdin))))
os.rename("sum.out", "sum.txt")
print(subprocess.run(["cat", "sum.txt"], capture_output=True, text=True).stdout)
PYTHON
}

work_compiler() {
    exits 0 make -j2 square
    is 144 ./square
    [ "$("$dir/code/square")" = 144 ] || fail "what was built is not in the codebase"
    exits 0 make clean
    [ ! -e "$dir/code/square" ] || fail "what was removed is still in the codebase"
    exits 2 make nothing
}

work_python() {
    local got
    got=$(seq 100 | "$sandbox" exec -i box -- python3 sum.py) || fail "sum.py: exit $?"
    [ "$got" = 5050 ] || fail "sum.py: '$got'"
    [ "$(cat "$dir/code/sum.txt")" = 5050 ] || fail "what Python renamed is not in the codebase"
    exits 3 python3 -c 'raise SystemExit(3)'
}

work_bash() {
    is '3 b' bash -c 'a=(a b "c d"); echo "${#a[@]} ${a[1]}"'
    is 2 bash -c 'wc -l < <(printf "x\ny\n")'
    exits 127 bash -c no-such-command
    exits 143 bash -c 'kill -TERM $$'
    "$sandbox" session create --name s --shell /bin/bash box >/dev/null
    "$sandbox" session exec box s 'declare -A colour=([sky]=blue); cd /tmp; export N=7' || fail "a session's command"
    [ "$("$sandbox" session exec box s 'echo "${colour[sky]} $N $PWD"')" = 'blue 7 /tmp' ] || fail "a session forgets"
    "$sandbox" session destroy box s
}

# As apt and daemons do: root gives up its rights, and these are gone.
work_setuid() {
    is '65534 65534' setpriv --reuid 65534 --regid 65534 --clear-groups bash -c 'echo "$(id -u) $(id -g)"'
    exits 1 setpriv --reuid 65534 --regid 65534 --clear-groups bash -c 'echo x >/workspace/denied'
    exits 0 bash -c 'echo x >/tmp/f && chown 65534:65534 /tmp/f && [ "$(stat -c %u /tmp/f)" = 65534 ]'
    is $'CapEff:\t0000000000000000' setpriv --reuid 65534 --regid 65534 --clear-groups grep CapEff /proc/self/status
    exits 1 bash -c 'echo x >/usr/denied'
}

for transport in agent engine; do
    echo "by the $transport"
    config "\"docker_host\": \"$engine\", \"exec_transport\": \"$transport\", \"pull\": \"never\""
    write_sources
    "$sandbox" create --name box --workspace "$dir/code" --preset full-access --image stockade-test:debian --start
    work_compiler
    work_python
    work_bash
    work_setuid
    "$sandbox" destroy box
done
[ -d "$dir/engine" ] || DOCKER_HOST=$engine docker image rm stockade-test:debian >/dev/null # somebody's
