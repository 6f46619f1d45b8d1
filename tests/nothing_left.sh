#!/usr/bin/env bash
# Fails if a process or a mount of the directory that the suites worked in is left, or a cgroup that was not there.
set -euo pipefail
. "$(dirname "$0")/cgroups.sh"
below=$1
status=0

if awk -v below="$below/" 'index($5, below) == 1 { print "mounted: " $5; found = 1 } END { exit !found }' /proc/self/mountinfo; then
    status=1
fi
for pid in /proc/[0-9]*; do
    exe=$(readlink "$pid/exe" 2>/dev/null) || continue
    case ${exe% (deleted)} in
    "$below"/build/libexec/* | */stage/agent | /run/stockade/agent)
        echo "running: ${pid#/proc/} $exe"
        status=1
        ;;
    */dockerd | */containerd* | */podman | */conmon) # of the Engines in there
        grep -qzF "$below/" "$pid/cmdline" 2>/dev/null || continue
        echo "running: ${pid#/proc/} $exe"
        status=1
        ;;
    esac
done
comm -13 "$below/cgroups.before" <(list_cgroups) | grep . && status=1
exit $status
