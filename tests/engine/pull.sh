#!/usr/bin/env bash
# Pulling from a registry: an image that is missing comes, by its tag or its digest, with its progress in the log; a tag
# or digest that is missing, a layer that is missing, content that is not the digest's and a registry that is gone are
# named. Needs root; DOCKER_HOST is the Engine.
set -euo pipefail

dir=$(mktemp -d)
port=$("$(dirname "$0")/free_port.sh")
image=127.0.0.1:$port/stockade/pulled
finish() {
    [ -z "${registry:-}" ] || kill "$registry" 2>/dev/null || true
    docker image rm -f "$image:1" "$image:2" "$image@${digest:-none}" >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap finish EXIT

fail() {
    echo "$*"
    exit 1
}

mkdir "$dir/code" "$dir/store"
cat >"$dir/registry.yml" <<YAML
version: 0.1
storage: { filesystem: { rootdirectory: $dir/store }, delete: { enabled: true } }
http: { addr: "127.0.0.1:$port" }
YAML
docker-registry serve "$dir/registry.yml" >"$dir/registry.log" 2>&1 &
registry=$!
for _ in $(seq 1200); do
    (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
done

# push TAG: busybox and a layer of its own, which is not in the Engine then, but in the registry, by $digest too.
push() {
    head -c 8000000 /dev/urandom >"$dir/ballast"
    tar -C "$dir" -c ballast | docker import - "$image:$1" >/dev/null
    docker push -q "$image:$1" >/dev/null
    digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$image:$1")
    digest=${digest#*@}
    docker image rm "$image:$1" >/dev/null
}

export STOCKADE_STATE_DIR=$dir/state STOCKADE_CONFIG=$dir/config.json
echo '{ "log_level": "info" }' >"$STOCKADE_CONFIG"
run() {
    "$STOCKADE_BUILD/stockade" run --runtime docker --image "$1" --workspace "$dir/code" -- "${@:2}" 2>"$dir/err"
}

push 1
code=0
run "$image:1" /no-such-program || code=$?
[ "$code" = 127 ] || fail "exit code $code, not the command's own: $(cat "$dir/err")"
grep -q "pulling $image:1" "$dir/err" || fail "no progress: $(cat "$dir/err")"

run "$image:no-such-tag" true && fail "a tag that is missing was pulled"
grep -q "no-such-tag" "$dir/err" || fail "the tag is not named: $(cat "$dir/err")"

docker image rm "$image:1" >/dev/null
for reference in "$image@$digest" "$image:1@$digest"; do
    code=0
    run "$reference" /no-such-program || code=$?
    [ "$code" = 127 ] || fail "$reference: exit code $code, not the command's own: $(cat "$dir/err")"
done
docker image rm "$image@$digest" >/dev/null

missing=sha256:$(printf '%064d' 7)
for reference in "$image@$missing" "$image:1@$missing"; do
    run "$reference" true && fail "a digest that is missing was pulled"
    grep -q "pull $reference: .*manifest" "$dir/err" || fail "the digest is not named: $(cat "$dir/err")"
done

echo >>"$dir/store/docker/registry/v2/blobs/sha256/${digest:7:2}/${digest:7}/data"
run "$image@$digest" true && fail "what is not of that digest was pulled"
grep -q "pull $image@$digest: " "$dir/err" || fail "the pull is not named: $(cat "$dir/err")"

push 2
find "$dir/store" -name data -size +4M -exec truncate -s 1000000 {} +
run "$image:2" true && fail "an image whose layer is cut was pulled"
grep -q "pull $image:2: " "$dir/err" || fail "the pull is not named: $(cat "$dir/err")"

kill "$registry"
wait "$registry" 2>/dev/null || true
run "$image:3" true && fail "pulled from nowhere"
grep -q "connection refused" "$dir/err" || fail "the reason is not told: $(cat "$dir/err")"
[ "$(docker ps -aq --filter "ancestor=$image:1" | wc -l)" = 0 ] || fail "a container is left"
