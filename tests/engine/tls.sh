#!/usr/bin/env bash
# An Engine on TCP with TLS, by the environment and by the config, for requests and for the exec's stream; and that who
# cannot be trusted is not. Needs root.
set -euo pipefail
. "$(dirname "$0")/world.sh"

port=$("$(dirname "$0")/free_port.sh")

# authority NAME: a CA in $dir/NAME.
authority() {
    mkdir "$dir/$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
        -keyout "$dir/$1/ca-key.pem" -out "$dir/$1/ca.pem" 2>/dev/null
}

# certificate AUTHORITY NAME EXTENSIONS: cert.pem and key.pem in $dir/NAME, with the authority's ca.pem.
certificate() {
    mkdir "$dir/$2"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$dir/$2/key.pem" \
        -out "$dir/$2/request.pem" 2>/dev/null
    openssl x509 -req -in "$dir/$2/request.pem" -CA "$dir/$1/ca.pem" -CAkey "$dir/$1/ca-key.pem" -CAcreateserial \
        -days 2 -extfile <(echo "$3") -out "$dir/$2/cert.pem" 2>/dev/null
    cp "$dir/$1/ca.pem" "$dir/$2/ca.pem"
}

authority ours
authority theirs
certificate ours server "subjectAltName=IP:127.0.0.1"
certificate ours client "extendedKeyUsage=clientAuth"
certificate theirs stranger "extendedKeyUsage=clientAuth"
mkdir "$dir/deceived" "$dir/nobody"
cp "$dir/client/"{cert,key}.pem "$dir/deceived"
cp "$dir/theirs/ca.pem" "$dir/deceived"
cp "$dir/ours/ca.pem" "$dir/nobody"

STOCKADE_TEST_DOCKERD_ARGS="--host tcp://127.0.0.1:$port --tlsverify --tlscacert $dir/ours/ca.pem \
    --tlscert $dir/server/cert.pem --tlskey $dir/server/key.pem" "$here/../engine.sh" start "$dir/engine" >/dev/null

run=("$sandbox" run --image stockade-test:busybox --workspace "$dir/code" --preset full-access)

echo '{"runtime": "docker"}' >"$STOCKADE_CONFIG"
[ "$(DOCKER_HOST=tcp://127.0.0.1:$port DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$dir/client "${run[@]}" -- cat file)" = whole ] ||
    fail "not by the environment"

# where CERTIFICATES [HOST]: the keys that lead there.
where() {
    echo "\"docker_host\": \"tcp://${2:-127.0.0.1}:$port\", \"tls\": \"verify\", \"tls_cert_path\": \"$dir/$1\""
}

head -c 3000000 /dev/urandom >"$dir/code/data"
config "$(where client), \"exec_transport\": \"engine\""
"${run[@]}" -i -- sh -c 'cat; cat data >&2' <"$dir/code/data" >"$dir/out" 2>"$dir/err" || fail "not by the config"
cmp "$dir/code/data" "$dir/out" || fail "what went in and out by the exec's stream is something else"
cmp "$dir/code/data" "$dir/err" || fail "what came by the exec's stream is something else"

config "$(where deceived)"
refused "certificate" "${run[@]}" -- true
config "$(where client localhost)"
refused "certificate" "${run[@]}" -- true
for who in nobody stranger; do
    config "$(where $who)"
    refused "the Engine at tcp://127.0.0.1:$port" "${run[@]}" -- true
done
