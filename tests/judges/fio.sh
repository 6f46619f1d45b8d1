#!/usr/bin/env bash
# fio's own verification of what it wrote, by each way to read and write, two jobs at once on files of
# their own. Run by workspace.
set -euo pipefail
cd "$WORKSPACE"
common=(--directory=. --size=24m --numjobs=2 --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0
    --group_reporting --output-format=terse --output="$PLAIN/fio.out")

for engine in sync psync pvsync mmap libaio; do
    fio --name="seq-$engine" --ioengine=$engine --rw=write --bs=64k "${common[@]}"
    fio --name="rand-$engine" --ioengine=$engine --rw=randwrite --bsrange=4k-32k "${common[@]}"
    fio --name="mixed-$engine" --ioengine=$engine --rw=randrw --bs=4k "${common[@]}"
    rm -f -- *-"$engine".*
done
fio --name=direct --ioengine=psync --direct=1 --rw=randwrite --bs=4k "${common[@]}"
fio --name=synced --ioengine=psync --fsync=32 --rw=randwrite --bs=8k "${common[@]}" --size=4m
fio --name=allocated --ioengine=psync --rw=write --bs=4k --fallocate=native "${common[@]}"
