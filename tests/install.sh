#!/usr/bin/env bash
# install.sh PACKAGE...: installs those of these Debian or Ubuntu packages that are missing; says nothing when all are
# there.
set -euo pipefail

missing=()
for package; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

exec 9<"$0"
flock 9 # suites that run beside each other may want something, too
sudo=()
if [ "$(id -u)" != 0 ]; then
    sudo=(sudo)
    [ -t 0 ] || sudo+=(-n) # nobody is there to be asked
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
