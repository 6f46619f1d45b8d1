# Sandboxes' cgroups on this machine, sorted.
list_cgroups() {
    local base
    for base in /sys/fs/cgroup/stockade /sys/fs/cgroup/*/stockade; do
        [ ! -d "$base" ] || find "$base" -mindepth 1 -maxdepth 1 -type d
    done | sort
}
