#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that building and testing need; says nothing when all are there.
set -euo pipefail

packages=(gcc make pkg-config musl-tools libcurl4-openssl-dev libcjson-dev libfuse3-dev fuse3 libcriterion-dev
    libseccomp-dev uthash-dev bubblewrap docker.io docker-registry btrfs-progs)

# Either of the two that exclude each other will do.
[ -x /bin/busybox ] || packages+=(busybox-static)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
