# Sandboxes' cgroups on this machine, sorted.
list_cgroups() {
    find /sys/fs/cgroup/stockade /sys/fs/cgroup/unified/stockade -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort
}
