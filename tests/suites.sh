# The suites, in parts that check.sh and the others put together. Each runs the build that was staged last.
#
# What takes long is in Criterion suites whose names end in _full, and runs with $full alone. Of the rest `make check`
# leaves out where another backend or user has just run the same code; part() lists that.

jobs=$((2 * $(nproc))) # most tests wait more than they compute
owners='@(workspace|rules*|sharing|isolation|exec)/*'     # what may depend on whose the codebase is
# What depends on how a command's streams, its end and its host's end reach each other.
transport='@(streams/!(X10_a_gib*)|exec/@(X1|X12)_*|exec_tree/N3_*|load/X11_*|sessions/@(S6|S9|S10)_*|ttl/*|recovery/R1_*|deaths/*|exhaustion/R5_few_fds|abi/A5_no_fds*)'
mkdir -m 1777 "$work/tap"

# part FILTER [WHAT...]: of the next suite `make check` runs FILTER alone; WHAT says what it leaves to `make check-full`.
part() {
    filters=()
    [ -z "$full" ] || return 0
    filters=(--filter "$1")
    shift
    [ $# = 0 ] || tell not_run "$* (make check-full)"
}

# The build that is staged, as root and as the ordinary user.
staged() {
    tests=$STOCKADE_BUILD/tests
    bwrap=$STOCKADE_BUILD/lib/stockade/bwrap.so
    docker=$STOCKADE_BUILD/lib/stockade/docker.so
    as_root=("${root[@]}" env STOCKADE_BUILD="$STOCKADE_BUILD" TMPDIR="$work" LSAN_OPTIONS="$LSAN_OPTIONS"
        ASAN_OPTIONS="$ASAN_OPTIONS")
    as_user=("${root[@]}" env -i PATH="$PATH" TMPDIR="$work/user" HOME="$work/user" STOCKADE_BUILD="$STOCKADE_BUILD"
        LSAN_OPTIONS="$LSAN_OPTIONS" setpriv --reuid stockade-test --regid stockade-test --clear-groups)
}

# Whatever needs root: without it, and without sudo, that is said and left.
can_be_root() {
    "${root[@]}" true 2>/dev/null && return 0
    tell not_run "permfs, conformance and command: no root, no sudo"
    return 1
}

# contract NAME COLUMN COMMAND...: the conformance suite; its results are a column of the table at the end.
contract() {
    local name=$1 column=$2
    shift 2
    run "$name" "$@" --jobs "$jobs" "${filters[@]}" --tap="$work/tap/$column.tap"
}

suites_unit() {
    local unit
    staged
    for unit in "$tests"/unit/*; do
        run "${1:-}unit: $(basename "$unit")" "$unit" --jobs "$jobs" --tap="$work/tap/common-$(basename "$unit").tap"
    done
}

suites_bwrap() {
    part '!(*_full)/*'
    run "permfs as root" "${as_root[@]}" "$tests/fs" --jobs "$jobs" "${filters[@]}" --tap="$work/tap/common-permfs.tap"
    contract "conformance: bwrap as root" bwrap-root "${as_root[@]}" "$tests/conformance" --plugin "$bwrap"
    part "$owners"
    contract "conformance: bwrap as root, for another user" bwrap-owner "${as_root[@]}" "$tests/conformance" \
        --plugin "$bwrap" --owner "$(id -u stockade-test)"
    part '!(*_full)/*'
    run "command as root" "${as_root[@]}" "$tests/e2e" --jobs "$jobs" "${filters[@]}" --tap="$work/tap/common-command.tap"
    check "judges of the workspace's filesystem, in short" tests/check_fs.sh short
    check "chaos, in short" "${as_root[@]}" tests/chaos.sh short
}

suites_docker() {
    on_docker=(--plugin "$docker" --image stockade-test:busybox --config "{\"docker_host\":\"$engine\"}")
    part '!(*_full|load|badinput|rules_*|workspace|sharing|delta_commit)/*' \
        "conformance on docker: load, bad input, rules, sharing, commits"
    contract "conformance: docker as root" docker-agent "${as_root[@]}" "$tests/conformance" "${on_docker[@]}"
    part 'workspace/*'
    contract "conformance: docker as root, for another user" docker-owner "${as_root[@]}" "$tests/conformance" \
        "${on_docker[@]}" --owner "$(id -u stockade-test)"
    run "docker: images, deaths and faults of the Engine" "${as_root[@]}" "$tests/engine" "${on_docker[@]}" --jobs "$jobs" \
        --filter '!(faults)/*' # which kill the Engine
    if [ -n "$full" ]; then
        check "docker: work in a Debian" "${as_root[@]}" DOCKER_HOST="$engine" "$top/tests/engine/debian.sh"
    else
        tell not_run "docker: work in a Debian, whose image takes minutes to make (make check-full)"
    fi
    check "one word of the config swaps the runtime" "${as_root[@]}" DOCKER_HOST="$engine" "$top/tests/swap.sh"
}

# By its own exec, and what Engines do to it.
suites_engine() {
    on_engine=(--plugin "$docker" --image stockade-test:busybox
        --config "{\"docker_host\":\"$engine\",\"exec_transport\":\"engine\"}"
        --lacks "$top/tests/conformance/lacks/docker-engine")
    part "$transport" "conformance on docker by the Engine's exec: what is not the transport's own"
    contract "conformance: docker by the Engine's exec, as root" docker-engine "${as_root[@]}" "$tests/conformance" \
        "${on_engine[@]}"
    check "docker by the Engine's exec: many threads" "${as_root[@]}" "$top/tests/threads.sh" 5 docker \
        "{\"docker_host\":\"$engine\",\"exec_transport\":\"engine\",\"default_image\":\"stockade-test:busybox\"}"
    check "docker: pulling" "${as_root[@]}" DOCKER_HOST="$engine" "$top/tests/engine/pull.sh"
    check "docker: an Engine that is killed and comes back" "${as_root[@]}" "$top/tests/engine/restart.sh"
    run "docker: an Engine that fails in the middle of things" "${as_root[@]}" "$top/tests/engine/faults.sh" docker
    part '@(lifecycle/*|escape/N2_proc_and_sys)' "docker on an Engine that remaps users: isolation, and the other escapes"
    [ -z "$full" ] || filters=(--filter '@(lifecycle|isolation|escape)/*')
    run "docker: an Engine that remaps users" "${as_root[@]}" "$top/tests/engine/remap.sh" --jobs "$jobs" "${filters[@]}"
    check "docker: an Engine that does not see the workspace" "${as_root[@]}" "$top/tests/engine/elsewhere.sh"
    check "docker: TLS" "${as_root[@]}" "$top/tests/engine/tls.sh"
}

# Podman's service in the Engine's place. Podman is no package that building needs.
suites_podman() {
    local why
    if ! why=$("$top/tests/install.sh" podman 2>&1); then
        tell not_run "conformance on Podman's service: it cannot be installed: $(tail -n 1 <<<"$why")"
        return 0
    fi
    if dpkg --compare-versions "$(podman --version | grep -o '[0-9.]*$')" lt 4; then
        tell not_run "conformance on Podman's service: its API is older than 1.41: $(podman --version)"
        return 0
    fi
    check "Podman's service starts" "${root[@]}" "$top/tests/engine.sh" start "$work/podman" podman
    [ -S "$work/podman/docker.sock" ] || return 0
    on_podman=(--plugin "$docker" --image stockade-test:busybox
        --config "{\"docker_host\":\"unix://$work/podman/docker.sock\"}")
    part '@(lifecycle|exec|streams|isolation|escape)/*' \
        "conformance on Podman's service: all but lifecycle, exec, streams, isolation, escape"
    contract "conformance: docker on Podman's service, as root" docker-podman "${as_root[@]}" "$tests/conformance" \
        "${on_podman[@]}"
    part 'isolation/*'
    [ -z "$full" ] || filters=(--filter "$owners")
    contract "conformance: docker on Podman's service, for another user" podman-owner "${as_root[@]}" \
        "$tests/conformance" "${on_podman[@]}" --owner "$(id -u stockade-test)"
    part '!(broken|faults)/*' "Podman's service: one that fails at any request"
    [ -z "$full" ] || filters=(--filter '!(faults)/*') # which kill an Engine
    run "Podman's service: images and deaths" "${as_root[@]}" "$tests/engine" "${on_podman[@]}" --jobs "$jobs" \
        "${filters[@]}"
    if [ -n "$full" ]; then
        run "Podman's service that fails in the middle of things" "${as_root[@]}" "$top/tests/engine/faults.sh" podman
    else
        tell not_run "Podman's service that fails in the middle of things (make check-full)"
    fi
}

suites_user() {
    part '!(*_full|*_plain)/*' "permfs as an ordinary user: again with each fast path off"
    run "permfs as an ordinary user" "${as_user[@]}" "$tests/fs" --jobs "$jobs" "${filters[@]}"
    part '!(*_full)/*'
    contract "conformance: bwrap as an ordinary user" bwrap-user "${as_user[@]}" "$tests/conformance" --plugin "$bwrap"
    run "command as an ordinary user" "${as_user[@]}" "$tests/e2e" --jobs "$jobs" "${filters[@]}"
}

# The same code with ASan and UBSan: not again what only differs in who runs it and whose the codebase is.
suites_sanitized() {
    if can_be_root; then
        ordinary_user
        engine_start
        staged
        beside sanitized_workspaces
        beside sanitized_hosts
    fi
    suites_unit "asan, "
    await
}

sanitized_workspaces() {
    part '!(*_full|matrix)/*' "permfs under ASan: call by call on the fast paths, whose data passes the daemon by"
    run "asan, permfs as root" "${as_root[@]}" "$tests/fs" --jobs "$jobs" "${filters[@]}"
    part '!(*_full/*|load/X2_five_gib*)' "X2's five GiB under ASan"
    run "asan, conformance: bwrap as root" "${as_root[@]}" "$tests/conformance" --plugin "$bwrap" --jobs "$jobs" \
        "${filters[@]}"
}

sanitized_hosts() {
    on_docker=(--plugin "$docker" --image stockade-test:busybox --config "{\"docker_host\":\"$engine\"}")
    part '@(lifecycle|abi)/*' # what is docker's alone
    run "asan, conformance: docker's lifecycle as root" "${as_root[@]}" "$tests/conformance" "${on_docker[@]}" \
        --jobs "$jobs" "${filters[@]}"
    part '!(*_full)/*'
    run "asan, command as root" "${as_root[@]}" "$tests/e2e" --jobs "$jobs" "${filters[@]}"
}
