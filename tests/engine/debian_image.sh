#!/usr/bin/env bash
# The image stockade-test:debian: a Debian as people work in it, with bash, python3, gcc and make. Comes from the mirror
# that apt is set up for, by debootstrap and not from a registry of images, and is kept outside of the checkout in
# $STOCKADE_TEST_CACHE (/var/cache/stockade-test), for making it takes minutes. Needs root;
# installs debootstrap.
#
#   debian_image.sh cached   succeeds if nothing needs to be fetched
#   debian_image.sh make     fetches and keeps it, unless it is there
#   debian_image.sh import   makes it, and gives it to the Engine at DOCKER_HOST
set -euo pipefail

packages=bash,python3-minimal,gcc,libc6-dev,make,libcap2-bin
. /etc/os-release
release=$VERSION_CODENAME
cache=${STOCKADE_TEST_CACHE:-/var/cache/stockade-test}
kept=$cache/$release-$(dpkg --print-architecture)-$(echo "$packages" | cksum | cut -d ' ' -f 1).tar

cached() {
    [ -s "$kept" ]
}

# Where apt has the release from.
mirror() {
    apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }'
}

make() (
    cached && return
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9 # another run may be at it
    cached && return
    "$(dirname "$0")/../install.sh" debootstrap >/dev/null
    tree=$(mktemp -d "$cache/tree.XXXXXX")
    trap 'rm -rf "$tree" "$kept.new"' EXIT
    debootstrap --variant=minbase --include="$packages" "$release" "$tree" "$(mirror)" >"$cache/log" 2>&1 </dev/null || {
        tail -n 20 "$cache/log" >&2
        exit 1
    }
    rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,man,locale}
    tar -C "$tree" --one-file-system -cf "$kept.new" .
    mv "$kept.new" "$kept"
)

import() {
    make
    docker import "$kept" stockade-test:debian >/dev/null
}

"$1"
