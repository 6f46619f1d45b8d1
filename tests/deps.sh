#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that building and testing need; says nothing when all are there.
set -euo pipefail

packages=(gcc make pkg-config musl-tools libcurl4-openssl-dev libcjson-dev libfuse3-dev fuse3 libcriterion-dev
    libseccomp-dev uthash-dev bubblewrap docker.io docker-registry btrfs-progs)

# Either of the two that exclude each other will do.
[ -x /bin/busybox ] || packages+=(busybox-static)

"$(dirname "$0")/install.sh" "${packages[@]}"
