# Shared by the scripts here: where things go, running suites, counting, leaving nothing behind.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/stockade-check.XXXXXX")
chmod 0755 "$work"
. "$top/tests/cgroups.sh"
list_cgroups >"$work/cgroups.before"
full= # not empty: everything, as long as it takes
lanes=() # processes of beside()
fuse_mode=
engine= # the Engine's address, once it is there

# What totals() counts and lists, a line each: suites that run beside each other are of different processes.
: >"$work/told"

# tell WHAT TEXT: WHAT is passed, failed (how many), failed_suite, unsteady (passed at the second try alone) or not_run.
tell() {
    echo "$1 $2" >>"$work/told"
}

# In front of a command that needs root.
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)

# What Criterion itself leaks is not ours to mend. Below $work, for the ordinary user to read.
cp "$top/tests/lsan.supp" "$work"
export LSAN_OPTIONS=suppressions=$work/lsan.supp:print_suppressions=0
# gcc's guess at where the C library keeps a thread's variables of a dlopened plugin goes wrong, and its search for
# leaks reads there. Reports go to files, for a daemon's stderr is nobody's.
export ASAN_OPTIONS=intercept_tls_get_addr=0:log_path=$work/asan/report
mkdir -m 1777 "$work/asan"

# What workers of Criterion left that were killed in earlier runs: it stands in the way of the next with that number.
for file in /dev/shm/bxf*_*; do
    [ ! -e "$file" ] || [ -e "/proc/${file##*_}" ] || "${root[@]}" rm -f "$file"
done

# What a suite that ended badly may have left: its mounts and daemons all lie below $work.
sweep() {
    local pid exe mount
    for pid in /proc/[0-9]*; do
        exe=$(readlink "$pid/exe" 2>/dev/null) || continue
        case $exe in
        "$work"/*/permfs*) "${root[@]}" kill -9 "${pid#/proc/}" 2>/dev/null || true ;;
        esac
    done
    awk -v below="$work/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | while read -r mount; do
        "${root[@]}" umount -l "$mount" || true
    done
}

finish() {
    local status=$? lane
    for lane in $(jobs -pr); do # what it waits for, and itself
        xargs kill "$lane" 2>/dev/null <"/proc/$lane/task/$lane/children" || true
    done
    wait
    engine_stop
    sweep
    [ -z "$fuse_mode" ] || "${root[@]}" chmod "$fuse_mode" /dev/fuse
    "${root[@]}" rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# beside COMMAND...: runs it while others go on, most of which wait more than they compute.
beside() {
    "$@" &
    lanes+=($!)
}

# Waits for all that run beside; fails if one does.
await() {
    local lane
    for lane in "${lanes[@]}"; do
        wait "$lane" || return
    done
    lanes=()
}

# Several lines of one of them are not to be torn apart by the others'.
in_one() {
    flock "$work/told" cat
}

# A suite's name as that of a file.
log_name() {
    echo "$1" | tr ' /' '--' | tr -d "',"
}

# counted LOG: what Criterion's closing line says: tests, and those that passed.
counted() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" |
        awk '/Synthesis:/ { gsub(/[|:]/, " "); for (i = 1; i < NF; i++) { if ($i == "Tested") t = $(i + 1); if ($i == "Passing") p = $(i + 1) } }
             END { print t + 0, p + 0 }'
}

# again LOG COMMAND...: those tests of LOG that failed, each alone. Fails where one does so again, or many had failed.
again() {
    local log=$1 test tests arg tap= command=()
    shift
    for arg; do
        case $arg in
        --tap=*) tap=${arg#--tap=} ;; # tells of all of them
        *) command+=("$arg") ;;
        esac
    done
    mapfile -t tests < <(sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -n 's/^\[FAIL\] \([^:]*\)::\([^:]*\):.*/\1\/\2/p' | sort -u)
    [ ${#tests[@]} -gt 0 ] && [ ${#tests[@]} -le 3 ] || return 1
    for test in "${tests[@]}"; do
        timeout 600 "${command[@]}" --jobs 1 --filter "$test" </dev/null >>"$log" 2>&1 || return 1
    done
    for test in "${tests[@]}"; do
        tell unsteady "$test"
    done
    {
        printf 'AGAIN %s\n' "${tests[*]}"
        grep -v '^\[----\] *$' "$log" | head -n 40 # how it failed in the crowd
        show_reports
    } | in_one
    [ -z "$tap" ] || printf '%s\n' "${tests[@]}" | sed 's/\//::/' | while read -r test; do
        "${root[@]}" sed -i "s/^not ok - $test /ok - $test /" "$tap"
    done
}

# Criterion forks a test's process while another of its threads may be in the allocator of gcc's ASan, whose lock the
# child then waits for, and Criterion for the child. Ends such children: Criterion then gives up with SPAWN_FAILED.
SPAWN_FAILED='Could not spawn test instance'
unstick() {
    local pid exe
    trap 'kill $!; exit' TERM
    while sleep 5 & wait $!; do
        ps -eo pid=,nlwp=,etimes=,wchan:20=,args= |
            awk '$2 == 1 && $3 >= 20 && $4 ~ /^futex/ && $5 != "boxfort-worker" { print $1 }' | while read -r pid; do
            exe=$(readlink "/proc/$pid/exe") && [[ $exe == "$STOCKADE_BUILD/tests/"* ]] || continue
            "${root[@]}" kill -9 "$pid" || true
        done
    done
}

# attempt LOG COMMAND...: runs it, for half an hour at most (an hour of everything).
attempt() {
    local log=$1 status=0 unstick
    shift
    unstick &
    unstick=$!
    timeout "$((${#full} ? 3600 : 1800))" "$@" </dev/null >"$log" 2>&1 || status=$?
    kill "$unstick"
    wait "$unstick" || true
    return $status
}

# run NAME COMMAND...: one Criterion binary; its own closing line is what counts. A test that fails in the crowd, on
# however small a machine, gets a second try alone: it must pass that, and is named at the end.
run() {
    local name=$1 log status=0 tested passing began=$SECONDS
    shift
    log=$work/$(log_name "$name").log
    attempt "$log" "$@" || status=$?
    # Criterion ends a test that hangs, but may stand still itself.
    if [ "$status" = 124 ] || { [ "$status" = 134 ] && grep -q "$SPAWN_FAILED" "$log"; }; then
        tell unsteady "$name: stood still as a whole"
        status=0
        attempt "$log" "$@" || status=$?
    fi
    read -r tested passing < <(counted "$log")
    if [ "$tested" -gt "$passing" ] && again "$log" "$@"; then
        passing=$tested
        status=0
    elif [ "$tested" = "$passing" ] && grep -q 'Assertion Failed' "$log"; then
        status=99 # in a fixture's end, which Criterion does not count
    fi
    tell passed "$passing"
    tell failed "$((tested - passing))"
    if [ "$status" = 0 ] && [ "$tested" -gt 0 ] && [ "$tested" = "$passing" ]; then
        printf 'ok    %-52s %4d passed %5d s\n' "$name" "$passing" $((SECONDS - began))
        return
    fi
    [ "$tested" -gt "$passing" ] || tell failed 1
    tell failed_suite "$name"
    {
        printf 'FAIL  %-52s %4d of %d passed, exit status %d\n' "$name" "$passing" "$tested" "$status"
        tail -n 200 "$log"
        show_reports
    } | in_one
}

# What sanitizers said of any process since the last time.
show_reports() {
    local report
    for report in "$work"/asan/*; do
        [ -e "$report" ] || continue
        echo "$report:"
        head -n 60 "$report"
        "${root[@]}" rm -f "$report"
    done
}

# check NAME COMMAND...: anything that passes or fails as a whole.
check() {
    local name=$1 log status=0 began=$SECONDS
    shift
    log=$work/$(log_name "$name").log
    timeout 1800 "$@" </dev/null >"$log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        tell passed 1
        printf 'ok    %-52s             %5d s\n' "$name" $((SECONDS - began))
    else
        tell failed 1
        tell failed_suite "$name"
        {
            printf 'FAIL  %s (exit status %d)\n' "$name" "$status"
            tail -n 100 "$log"
        } | in_one
    fi
}

# An ordinary user to test as, and /dev/fuse as udev makes it.
ordinary_user() {
    local mode
    id stockade-test >/dev/null 2>&1 || "${root[@]}" useradd --system --no-create-home --shell /usr/sbin/nologin stockade-test
    mode=$(stat -c %a /dev/fuse)
    # What the suites do to it is undone at the end, whatever happens.
    if [ "$mode" != 666 ]; then
        fuse_mode=$mode
        "${root[@]}" chmod 0666 /dev/fuse
    fi
    [ -d "$work/user" ] || "${root[@]}" install -d -o stockade-test "$work/user"
}

engine_start() {
    [ -n "$engine" ] || engine=$("${root[@]}" env STOCKADE_TEST_DOCKER_HOST="${STOCKADE_TEST_DOCKER_HOST:-}" \
        "$top/tests/engine.sh" start "$work/engine")
}

# Both Engines, docker's and Podman's.
engine_stop() {
    local dir
    for dir in "$work/engine" "$work/podman"; do
        [ ! -d "$dir" ] || "${root[@]}" env STOCKADE_TEST_DOCKER_HOST="${STOCKADE_TEST_DOCKER_HOST:-}" \
            "$top/tests/engine.sh" stop "$dir" || true
    done
    engine=
}

# stage BUILD: copies a build out of the checkout, for an ordinary user need not be able to read where that lies.
stage() {
    local part
    export STOCKADE_BUILD=$work/$(echo "$1" | tr / -)
    mkdir -p "$STOCKADE_BUILD"
    for part in stockade libstockade.so lib libexec tests; do
        [ ! -e "$1/$part" ] || cp -a "$1/$part" "$STOCKADE_BUILD"/
    done
    chmod -R go+rX "$STOCKADE_BUILD"
}

# told WHAT [TITLE]: its lines, under a title.
told() {
    grep -q "^$1 " "$work/told" || return 0
    [ $# = 1 ] || printf '\n%s:\n' "$2"
    sed -n "s/^$1 /${2:+  }/p" "$work/told"
}

sum() {
    awk '{ n += $1 } END { print n + 0 }'
}

totals() {
    local failed
    failed=$(told failed | sum)
    told not_run "Not run"
    told unsteady "Failed at first, passed alone"
    told failed_suite "Failed"
    printf '\n%d passed, %d failed\n' "$(told passed | sum)" "$failed"
    [ "$failed" = 0 ]
}
