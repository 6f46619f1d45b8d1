#!/usr/bin/env bash
# A private Engine for tests: its own root, socket and network, nothing of it outside of DIR. Needs root.
#
#   engine.sh start DIR     starts one; its address is unix://DIR/docker.sock, its log DIR/log
#   engine.sh images DIR    makes the images below, without a network
#   engine.sh stop DIR      ends it with all its containers, and removes DIR
#
# Images: stockade-test:busybox, a static busybox and its links.
set -euo pipefail

action=$1
dir=$2
export DOCKER_HOST=unix://$dir/docker.sock

reachable() {
    docker version >/dev/null 2>&1
}

start() {
    mkdir -p "$dir"
    # No network of its own: the machine's firewall and bridges stay as they are.
    dockerd --data-root "$dir/root" --exec-root "$dir/exec" --pidfile "$dir/pid" --host "$DOCKER_HOST" \
        --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        >"$dir/log" 2>&1 </dev/null &
    for _ in $(seq 300); do
        reachable && return
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    echo "dockerd did not come up:" >&2
    tail -n 20 "$dir/log" >&2
    return 1
}

images() {
    local tree=$dir/busybox
    mkdir -p "$tree"/{bin,sbin,usr/bin,usr/sbin,etc,tmp,root,proc,sys,dev,var}
    cp /bin/busybox "$tree/bin/busybox"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -sf /bin/busybox "$tree/bin/$applet"
    done
    printf 'root:x:0:0::/root:/bin/sh\n' >"$tree/etc/passwd"
    printf 'root:x:0:\n' >"$tree/etc/group"
    tar -C "$tree" -c . | docker import - stockade-test:busybox >/dev/null
    rm -rf "$tree"
}

# Its own containers, by its own exec root: nobody else's.
stop() {
    local pid mount
    if reachable; then
        docker ps -aq | xargs -r docker rm -fv >/dev/null
    fi
    if pid=$(cat "$dir/pid" 2>/dev/null) && kill -TERM "$pid" 2>/dev/null; then
        for _ in $(seq 300); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    awk -v below="$dir/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | while read -r mount; do
        umount -l "$mount"
    done
    rm -rf "$dir"
}

"$action"
