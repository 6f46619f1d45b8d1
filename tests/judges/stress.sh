#!/usr/bin/env bash
# stress.sh SECONDS: stress-ng's stressors of filesystems, but for those that go over every mount of the machine, with
# its own verification, SECONDS each. What fails in the workspace has to fail on the plain directory too: then it is
# not the workspace's. Run by workspace.
set -euo pipefail
seconds=$1
stressors=(access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl fiemap file-ioctl
    filename flock fpunch fstat getdent hdd inode-flags inotify io iomix lease link locka lockf lockofd metamix mknod
    mmap msync open pidfd readahead rename revio seek sendfile splice symlink sync-file tee touch truncate unlink utime
    xattr)
status=0
elsewhere=0

# stressor NAME DIR: alone, two of it.
stressor() {
    (cd "$2" && timeout 120 stress-ng --"$1" 2 --timeout "$seconds" --verify --temp-path . --no-rand-seed \
        --hdd-bytes 16m --iomix-bytes 16m --fallocate-bytes 16m --readahead-bytes 16m --seek-size 16m \
        --copy-file-bytes 128m --sync-file-bytes 8m --revio-bytes 8m --mmap-bytes 16m --mmap-file \
        --dentries 500 --quiet 2>&1)
}

for name in "${stressors[@]}"; do
    if out=$(stressor "$name" "$WORKSPACE"); then
        continue
    elif stressor "$name" "$PLAIN" >/dev/null; then
        echo "$name fails in the workspace alone: $out"
        status=1
    else
        echo "$name fails on the plain directory too"
        elsewhere=$((elsewhere + 1))
    fi
done
rm -rf "${WORKSPACE:?}"/*
[ $elsewhere -lt 10 ] || status=1 # else stress-ng itself does not work
exit $status
