#!/usr/bin/env bash
# Prints a port of 127.0.0.1 that nobody listens at, of those that the kernel gives no connection by itself.
set -euo pipefail

port=$((20000 + RANDOM % 10000))
while (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((20000 + RANDOM % 10000))
done
echo "$port"
