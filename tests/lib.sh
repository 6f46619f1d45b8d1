# Shared by the scripts here: where things go, running suites, counting, leaving nothing behind.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/stockade-check.XXXXXX")
chmod 0755 "$work"
. "$top/tests/cgroups.sh"
list_cgroups >"$work/cgroups.before"
passed=0
failed=0
failed_suites=()
not_run=()
fuse_mode=
engine= # the Engine's address, once it is there

# In front of a command that needs root.
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)

# What Criterion itself leaks is not ours to mend. Below $work, for the ordinary user to read.
cp "$top/tests/lsan.supp" "$work"
export LSAN_OPTIONS=suppressions=$work/lsan.supp:print_suppressions=0

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
    local status=$?
    engine_stop
    sweep
    [ -z "$fuse_mode" ] || "${root[@]}" chmod "$fuse_mode" /dev/fuse
    "${root[@]}" rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# run NAME COMMAND...: one Criterion binary; its own closing line is what counts.
run() {
    local name=$1 log status=0 tested passing
    shift
    log=$work/$(echo "$name" | tr ' /' '--').log
    timeout 900 "$@" </dev/null >"$log" 2>&1 || status=$?
    read -r tested passing < <(sed 's/\x1b\[[0-9;]*m//g' "$log" |
        awk '/Synthesis:/ { gsub(/[|:]/, " "); for (i = 1; i < NF; i++) { if ($i == "Tested") t = $(i + 1); if ($i == "Passing") p = $(i + 1) } }
             END { print t + 0, p + 0 }')
    passed=$((passed + passing))
    failed=$((failed + tested - passing))
    if [ "$status" = 0 ] && [ "$tested" -gt 0 ] && [ "$tested" = "$passing" ]; then
        printf 'ok    %-44s %4d passed\n' "$name" "$passing"
        return
    fi
    [ "$tested" -gt "$passing" ] || failed=$((failed + 1))
    failed_suites+=("$name")
    printf 'FAIL  %-44s %4d of %d passed, exit status %d\n' "$name" "$passing" "$tested" "$status"
    tail -n 200 "$log"
}

# check NAME COMMAND...: anything that passes or fails as a whole.
check() {
    local name=$1 log status=0
    shift
    log=$work/$(echo "$name" | tr ' /' '--').log
    timeout 900 "$@" </dev/null >"$log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok    %s\n' "$name"
    else
        failed=$((failed + 1))
        failed_suites+=("$name")
        printf 'FAIL  %s (exit status %d)\n' "$name" "$status"
        tail -n 100 "$log"
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

engine_stop() {
    [ -d "$work/engine" ] || return 0
    "${root[@]}" env STOCKADE_TEST_DOCKER_HOST="${STOCKADE_TEST_DOCKER_HOST:-}" \
        "$top/tests/engine.sh" stop "$work/engine" || true
    engine=
}

# stage BUILD: copies a build out of the checkout, for an ordinary user need not be able to read where that lies.
stage() {
    export STOCKADE_BUILD=$work/$(echo "$1" | tr / -)
    mkdir -p "$STOCKADE_BUILD"
    cp -a "$1"/{stockade,libstockade.so,lib,libexec,tests} "$STOCKADE_BUILD"/
    chmod -R go+rX "$STOCKADE_BUILD"
}

# suites [LABEL]: everything that is a test binary, of the staged build. With a label, which stands for a sanitizer,
# not again what only differs in who runs it and whose the codebase is.
suites() {
    local label=${1:-} unit jobs owners as_root as_user on_docker tests=$STOCKADE_BUILD/tests
    local plugin=$STOCKADE_BUILD/lib/stockade/bwrap.so docker=$STOCKADE_BUILD/lib/stockade/docker.so
    jobs=$((2 * $(nproc))) # most tests wait more than they compute
    owners='@(workspace|rules*|sharing|isolation|exec)/*' # what may depend on whose the codebase is
    as_root=("${root[@]}" env STOCKADE_BUILD="$STOCKADE_BUILD" TMPDIR="$work" LSAN_OPTIONS="$LSAN_OPTIONS")
    as_user=("${root[@]}" env -i PATH="$PATH" TMPDIR="$work/user" HOME="$work/user" STOCKADE_BUILD="$STOCKADE_BUILD"
        LSAN_OPTIONS="$LSAN_OPTIONS" setpriv --reuid stockade-test --regid stockade-test --clear-groups)
    for unit in "$tests"/unit/*; do
        run "${label}unit: $(basename "$unit")" "$unit" --jobs "$jobs"
    done
    if ! "${root[@]}" true 2>/dev/null; then
        not_run+=("${label}permfs, conformance and command, as root and as another user: no root, no sudo")
        return
    fi
    ordinary_user
    run "${label}permfs as root" "${as_root[@]}" "$tests/fs" --jobs "$jobs"
    run "${label}conformance: bwrap as root" "${as_root[@]}" "$tests/conformance" --plugin "$plugin" --jobs "$jobs"
    [ -n "$label" ] ||
        run "conformance: bwrap as root, for another user" "${as_root[@]}" "$tests/conformance" --plugin "$plugin" \
            --owner "$(id -u stockade-test)" --jobs "$jobs" --filter "$owners"
    engine_start || failed=$((failed + 1))
    on_docker=(--plugin "$docker" --image stockade-test:busybox --config "{\"docker_host\":\"$engine\"}" --jobs "$jobs")
    if [ -n "$label" ]; then
        # What is docker's alone; the rest is the common code that ran on bwrap just now.
        run "${label}conformance: docker's lifecycle as root" "${as_root[@]}" "$tests/conformance" "${on_docker[@]}" \
            --filter '@(lifecycle|abi)/*'
    else
        run "conformance: docker as root" "${as_root[@]}" "$tests/conformance" "${on_docker[@]}"
        run "conformance: docker as root, for another user" "${as_root[@]}" "$tests/conformance" "${on_docker[@]}" \
            --owner "$(id -u stockade-test)" --filter '@(workspace|sharing|isolation|exec)/*'
        run "docker: images and deaths" "${as_root[@]}" "$tests/engine" "${on_docker[@]}"
        check "docker: pulling" "${as_root[@]}" DOCKER_HOST="$engine" "$top/tests/engine/pull.sh"
        check "docker: an Engine that is killed and comes back" "${as_root[@]}" "$top/tests/engine/restart.sh"
    fi
    run "${label}command as root" "${as_root[@]}" "$tests/e2e" --jobs "$jobs"
    [ -z "$label" ] || return 0
    run "permfs as an ordinary user" "${as_user[@]}" "$tests/fs" --jobs "$jobs"
    run "conformance: bwrap as an ordinary user" "${as_user[@]}" "$tests/conformance" --plugin "$plugin" \
        --jobs "$jobs"
    run "command as an ordinary user" "${as_user[@]}" "$tests/e2e" --jobs "$jobs"
}

totals() {
    if [ ${#not_run[@]} -gt 0 ]; then
        echo
        echo "Not run here:"
        printf '  %s\n' "${not_run[@]}"
    fi
    if [ ${#failed_suites[@]} -gt 0 ]; then
        echo
        echo "Failed:"
        printf '  %s\n' "${failed_suites[@]}"
    fi
    echo
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
