#!/usr/bin/env bash
# The Engine that tests run on: the one that STOCKADE_TEST_DOCKER_HOST names, or a private one with its own root, socket
# and network, nothing of it outside of DIR. Needs root.
#
#   engine.sh start DIR [podman]   starts it, or Podman's service in its place, makes the images, prints its address; its
#                                  log is DIR/log. STOCKADE_TEST_DOCKERD_ARGS: further arguments of dockerd
#   engine.sh again DIR            starts one that was killed, as it was
#   engine.sh stop DIR             ends it with all its containers, and removes DIR
#
# Images, made without a network, all of the name stockade-test:
#   busybox   busybox, its libraries if it is not the static one, and its links
#   empty     an empty file
#   wilful    busybox with an ENTRYPOINT, a USER, VOLUMEs and more that must not count
# engine/debian_image.sh adds a Debian, which takes a network once.
set -euo pipefail

action=$1
dir=$2
kind=$(cat "$dir/kind" 2>/dev/null || echo "${3:-docker}")
[ "$kind" = docker ] || unset STOCKADE_TEST_DOCKER_HOST # another one's
export DOCKER_HOST=${STOCKADE_TEST_DOCKER_HOST:-unix://$dir/docker.sock}
images=(stockade-test:busybox stockade-test:empty stockade-test:wilful)

reachable() {
    timeout 60 docker ps -q >/dev/null 2>&1
}

# Waits for the daemon that has just been started, $1.
await() {
    for _ in $(seq 1200); do
        reachable && return
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    echo "$kind did not come up:" >&2
    tail -n 20 "$dir/log" >&2
    return 1
}

start_docker() {
    rm -f "$dir/pid" "$dir/exec/containerd/containerd.pid" # of one that was killed, and its child with it
    # No network of its own: the machine's firewall and bridges stay as they are.
    dockerd --data-root "$dir/root" --exec-root "$dir/exec" --pidfile "$dir/pid" --host "$DOCKER_HOST" \
        --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        ${STOCKADE_TEST_DOCKERD_ARGS:-} \
        >"$dir/log" 2>&1 </dev/null &
    await $!
}

# Where Podman and its OCI runtime write whatever they are told.
podman_places() {
    local place
    for place in /run/containers/networks /run/containers /run/runc /var/lib/containers/cache/blob-info-cache-v1.boltdb \
        /var/lib/containers/cache /var/lib/containers /sys/fs/cgroup/libpod_parent /sys/fs/cgroup/*/libpod_parent; do
        [ ! -e "$place" ] || echo "$place"
    done
}

# Podman's own limits of open files and processes are beyond what some machines allow: root need not have CAP_SYS_RESOURCE.
# Of a limit in its config the service takes the soft one for the hard one, so both are the same; and it gives up its own
# right to more than 32768 processes. Nobody but cgroupfs and a file is there to keep its cgroups and events. Locks in
# shared memory would be shared with the machine's own Podman. crun, its default, refuses a machine with both versions of
# cgroups in use. This machine's registries are asked without TLS, as dockerd does by itself.
configure_podman() {
    local files processes
    files=$(ulimit -Hn)
    processes=$(ulimit -Hu)
    [ "$processes" != unlimited ] && [ "$processes" -lt 32768 ] || processes=32768
    cat >"$dir/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
netns = "none"
log_driver = "k8s-file"
cgroups = "no-conmon"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
lock_type = "file"
events_logger = "file"
events_logfile_path = "$dir/events"
tmp_dir = "$dir/tmp"
END
    printf '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n' >"$dir/registries.conf"
    podman_places >"$dir/before"
}

start_podman() {
    [ -e "$dir/containers.conf" ] || configure_podman
    # In there, for conmon leaves files where it is started.
    cd "$dir"
    TMPDIR=$dir CONTAINERS_CONF=$dir/containers.conf CONTAINERS_REGISTRIES_CONF=$dir/registries.conf podman --root "$dir/root" --runroot "$dir/run" \
        system service --time 0 "$DOCKER_HOST" >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    await $!
}

make_busybox() {
    local tree=$dir/busybox applet library health=()
    mkdir -p "$tree"/{bin,sbin,usr/bin,usr/sbin,etc,tmp,root,proc,sys,dev,var}
    cp /bin/busybox "$tree/bin/busybox"
    for library in $(ldd /bin/busybox 2>/dev/null | grep -o '/[^ ]*' || true); do
        cp -L --parents "$library" "$tree"
    done
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -sf /bin/busybox "$tree/bin/$applet"
    done
    printf 'root:x:0:0::/root:/bin/sh\n' >"$tree/etc/passwd"
    printf 'root:x:0:\n' >"$tree/etc/group"
    tar -C "$tree" -c . | docker import - stockade-test:busybox >/dev/null
    [ "$kind" = podman ] || health=(--change 'HEALTHCHECK --interval=1s CMD false') # which it does not take here
    tar -C "$tree" -c . | docker import --change 'ENTRYPOINT ["/bin/false"]' --change 'CMD ["mischief"]' \
        --change 'USER 12345' --change 'VOLUME /data' --change 'VOLUME /tmp' --change 'VOLUME /workspace' \
        --change 'WORKDIR /nowhere' --change 'ENV EVIL=1' "${health[@]}" - stockade-test:wilful >/dev/null
    rm -rf "$tree"
}

make_empty() {
    : >"$dir/nothing"
    tar -C "$dir" -c nothing | docker import - stockade-test:empty >/dev/null
}

start() {
    mkdir -p "$dir"
    echo "$kind" >"$dir/kind"
    if [ -n "${STOCKADE_TEST_DOCKER_HOST:-}" ]; then
        :
    else
        "start_$kind"
    fi
    make_busybox
    make_empty
    echo "$DOCKER_HOST"
}

again() {
    "start_$kind"
}

# Processes of this directory's daemon, but for that itself: of dockerd its shims, of Podman its monitors and the
# programs that tidy up behind a container.
helpers() {
    local pid
    for pid in /proc/[0-9]*; do
        grep -qzF -e "$dir/exec/containerd/containerd.sock" -e "$dir/root" "$pid/cmdline" 2>/dev/null && echo "${pid#/proc/}"
    done || true
}

# What an Engine left that was killed while it made a container: it waits to be started for ever, and no Engine knows.
half_made() {
    local pid
    for pid in $(pgrep -fx '(/.*/)?runc init'); do
        grep -qF "=$dir/root/overlay" "/proc/$pid/mountinfo" 2>/dev/null && echo "$pid"
    done || true
}

end_half_made() {
    half_made | xargs -r kill -9 2>/dev/null || true
}

# Of Podman: containers that it did not end itself, and what it left in other places where that was not before.
podman_tidy() {
    local place until=$((SECONDS + 60))
    end_half_made # their monitors wait for them
    for place in "$dir"/root/overlay-containers/*/; do
        runc delete --force "$(basename "$place")" 2>/dev/null || true
    done
    while [ -n "$(helpers)" ] && [ "$SECONDS" -lt "$until" ]; do
        sleep 0.1
    done
    podman_places | while read -r place; do
        grep -qxF "$place" "$dir/before" || rmdir "$place" 2>/dev/null || rm -f "$place" 2>/dev/null || true
    done
}

# Ends the daemon and what runs in it: its containers first, so that their processes end before their mounts go.
stop_private() {
    local pid mount
    if reachable; then
        docker ps -aq | timeout 120 xargs -r docker rm -fv >/dev/null || true
    fi
    if pid=$(cat "$dir/pid" 2>/dev/null) && kill -TERM "$pid" 2>/dev/null; then
        for _ in $(seq 1200); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    [ "$kind" != podman ] || podman_tidy
    helpers | xargs -r kill -9 2>/dev/null || true
    end_half_made
    awk -v below="$dir/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | while read -r mount; do
        umount -l "$mount" 2>/dev/null || true # one that was below another is gone with it
    done
}

stop() {
    if [ -n "${STOCKADE_TEST_DOCKER_HOST:-}" ]; then
        docker image rm "${images[@]}" >/dev/null
    else
        stop_private
    fi
    rm -rf "$dir"
}

"$action"
