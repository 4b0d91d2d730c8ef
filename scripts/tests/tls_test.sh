#!/usr/bin/env bash
# Tests TLS on three nodes with certificates made by the commands of docs/tls.md: accepted and
# refused clients and peers, and the renewal of certificates. Argument: the directory of the
# programs.
# shellcheck disable=SC2016 # variables are for the shells that the test starts
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
command -v openssl >/dev/null || fail "openssl is not installed"
certs=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-tls-XXXXXX")
others=()
end() {
  local status=$? pid
  for pid in "${others[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$certs"
  cluster_end "$status"
}
trap end EXIT

# make_ca NAME
make_ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=dqueue peers" -keyout "$certs/$1.key" -out "$certs/$1.crt" 2>/dev/null
}
# issue FILE NAME DAYS [CA]: issues a key and a certificate for the node NAME on loopback. Replaces
# the key first: a node uses the new files only when key and certificate match.
issue() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
    -addext "subjectAltName=DNS:$2,DNS:localhost,IP:127.0.0.1" \
    -keyout "$certs/$1.key.new" -out "$certs/$1.csr" 2>/dev/null
  openssl x509 -req -in "$certs/$1.csr" -CA "$certs/${4:-ca}.crt" -CAkey "$certs/${4:-ca}.key" \
    -CAcreateserial -days "$3" -copy_extensions copy -out "$certs/$1.crt.new" 2>/dev/null
  mv "$certs/$1.key.new" "$certs/$1.key"
  mv "$certs/$1.crt.new" "$certs/$1.crt"
}
make_ca ca
make_ca foreign
for i in 1 2 3; do issue "n$i" "n$i" 90; done
issue n9 n9 90
issue expired n1 -1
issue foreign-n3 n3 90 foreign

# ---- Certificates with which a node refuses to start (all cases: transport/listeners/tls_test.cc).
# start CERT KEY CA
start() {
  timeout 10 "$bin/dqueue" --id n1 --bootstrap --data-dir "$certs/data" --http-addr off \
    --grpc-addr "127.0.0.1:$(cluster_free_port)" --tls-cert "$certs/$1" --tls-key "$certs/$2" --tls-ca "$certs/$3"
}
expect 78 '--tls-cert .*/expired.crt: the certificate has expired' start expired.crt expired.key ca.crt
expect 78 '--tls-key .*/n2.key: the key does not fit' start n1.crt n2.key ca.crt
expect 78 '--tls-cert .*/n2.crt: the certificate does not name this node, "n1"' start n2.crt n2.key ca.crt
expect 78 'does not come from --tls-ca .*/foreign.crt' start n1.crt n1.key foreign.crt
expect 78 '--tls-ca .*/n1.key: there is no certificate in PEM' start n1.crt n1.key n1.key
chmod 644 "$certs/n1.key"
expect 78 '--tls-key .*/n1.key: others than its owner have access to it \(mode 0644\)' \
  start n1.crt n1.key ca.crt
chmod 600 "$certs/n1.key"
[[ ! -e $certs/data ]] || fail "a node that did not start has made its data directory"

CLUSTER_TLS=$certs
CLUSTER_HTTP=1
cluster_begin "$bin" 3

# ---- Clients.
node1=127.0.0.1:${CLUSTER_PORTS[1]}
cli() { "$bin/dqueue-cli" --timeout 2s "$@"; }
expect 0 '^[0-9a-f-]+$' cluster_cli enqueue --type t
expect 0 'total' cli stats --server "https://$node1" --ca "$certs/ca.crt"
expect 0 'total' cli stats --server "$node1" --tls --ca "$certs/ca.crt" --server-name n1
expect 5 'does the server want TLS' cli stats --server "$node1"
expect 5 'does not come from a CA that this client trusts' cli stats --server "$node1" --ca "$certs/foreign.crt"
expect 5 'does not have the name that was dialled' cli stats --server "$node1" --ca "$certs/ca.crt" --server-name n2
expect 2 'asks for plain text' cli stats --server "http://$node1" --ca "$certs/ca.crt"
# Every node accepts calls. Followers forward them over TLS.
for i in 1 2 3; do
  expect 0 '^[0-9a-f-]+$' cli enqueue --type t --server "https://127.0.0.1:${CLUSTER_PORTS[i]}" --ca "$certs/ca.crt"
done
expect 0 'follower' cluster_cli status

# ---- HTTP.
curl_node() { curl --silent --show-error --max-time 20 "${@:2}" "https://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}$1"; }
expect 0 '^OK' curl_node /health --cacert "$certs/ca.crt"
expect 0 'strict-transport-security: max-age=31536000' \
  bash -c 'curl -si --cacert "$0" "$1" | tr A-Z a-z' "$certs/ca.crt" "https://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}/stats"
expect 60 'certificate' curl_node /health --cacert "$certs/foreign.crt"
plain=0
curl -s --max-time 20 "http://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}/health" >/dev/null 2>&1 || plain=$?
((plain != 0)) || fail "plain HTTP is answered at a TLS port"

# ---- Versions and ciphers, of gRPC and of HTTP.
# hello PORT FLAG…: makes a TLS handshake with openssl.
hello() {
  openssl s_client -connect "127.0.0.1:$1" -CAfile "$certs/ca.crt" -verify_return_error \
    -alpn h2,http/1.1 "${@:2}" </dev/null | tr -d '\0'
}
for port in "${CLUSTER_PORTS[1]}" "${CLUSTER_HTTP_PORTS[1]}"; do
  expect 0 'TLSv1.3' hello "$port"
  expect 0 'TLSv1.3' hello "$port" -tls1_3
  expect 0 'Cipher is ECDHE-ECDSA-AES' hello "$port" -tls1_2
  expect 1 '' hello "$port" -tls1_1 -cipher DEFAULT@SECLEVEL=0
  expect 1 '' hello "$port" -tls1 -cipher DEFAULT@SECLEVEL=0
  expect 1 '' hello "$port" -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA
  expect 1 '' hello "$port" -tls1_2 -cipher AES128-GCM-SHA256
done
# A client certificate must be valid. (With TLS 1.2: in TLS 1.3 the client sees the refusal only
# after the handshake.)
expect 1 '' hello "${CLUSTER_PORTS[1]}" -tls1_2 -cert "$certs/expired.crt" -key "$certs/expired.key"
expect 1 '' hello "${CLUSTER_PORTS[1]}" -tls1_2 -cert "$certs/foreign-n3.crt" -key "$certs/foreign-n3.key"
expect 0 '' hello "${CLUSTER_PORTS[1]}" -tls1_2 -cert "$certs/n2.crt" -key "$certs/n2.key"

# ---- Peers that are not members.
# stranger ID CERT CA PEERS
stranger() {
  "$bin/dqueue" --id "$1" --bootstrap --data-dir "$certs/data-$1" --http-addr off --peers "$4" \
    --grpc-addr "127.0.0.1:$strange_port" --tls-cert "$certs/$2.crt" --tls-key "$certs/$2.key" \
    --tls-ca "$certs/$3.crt" >"$certs/$1.log" 2>&1 </dev/null &
  others+=($!)
}
term() { cluster_cli status | awk '$3 == "leader" { print $4 }'; }
cluster_wait_for_leader 20 >/dev/null
term_before=$(term)
strange_port=$(cluster_free_port)
stranger n9 n9 ca "$CLUSTER_PEERS,n9=127.0.0.1:$strange_port"
refused() { grep -q 'refused .* as a peer: the caller.*s certificate names n9' "$CLUSTER_DIR/$1.log"; }
eventually 20 refused n1
eventually 20 refused n2
eventually 20 refused n3
# A node with a certificate of another CA takes the address of n3.
cluster_kill 3 || true
kill -KILL "${others[0]}"
wait "${others[0]}" 2>/dev/null || true
strange_port=${CLUSTER_PORTS[3]}
stranger n3 foreign-n3 foreign "$CLUSTER_PEERS"
no_way() { grep -q "no connection to peer $1 " "$certs/n3.log"; }
eventually 20 no_way n1
eventually 20 no_way n2
expect 0 '^[0-9a-f-]+$' cluster_cli enqueue --type t
expect 1 '' grep 'connected to peer' "$certs/n3.log"
kill -KILL "${others[1]}"
wait "${others[1]}" 2>/dev/null || true
others=()
cluster_start 3
three() { [[ $(cluster_cli status | grep -cE 'leader|follower') == 3 ]]; }
eventually 20 three
(($(term) <= term_before + 3)) || fail "strangers have raised the term from $term_before to $(term)"

# ---- Renewed certificates are used without a restart and without a failed call.
serial() { hello "$1" 2>/dev/null | openssl x509 -noout -serial; }
before=$(serial "${CLUSTER_PORTS[1]}")
count=100000
[[ $(sanitized "$bin") != libtsan ]] || count=2000
cluster_cli enqueue --queue renewed --type t --count "$count" >"$CLUSTER_DIR/renewed" 2>&1 &
enqueue=$!
stop=$certs/stop
# Each call is a new connection.
(
  n=0
  until [[ -e $stop ]]; do
    cluster_cli enqueue --queue single --type t >/dev/null || exit 1
    curl_node /health --cacert "$certs/ca.crt" >/dev/null || exit 1
    n=$((n + 1))
  done
  echo "$n"
) >"$CLUSTER_DIR/single" 2>&1 &
single=$!
# First a bad certificate: the node keeps the old one.
cp "$certs/n1.crt" "$certs/n1.good"
cp "$certs/expired.crt" "$certs/n1.crt"
kept() { grep -q 'cannot be used, the old certificate stays: --tls-cert' "$CLUSTER_DIR/n1.log"; }
eventually 20 kept
equal "$before" "$(serial "${CLUSTER_PORTS[1]}")" "serial number after a bad set"
cp "$certs/n1.good" "$certs/n1.crt"
for i in 1 2 3; do issue "n$i" "n$i" 90; done
renewed() {
  local port=$1 want
  want=$(openssl x509 -noout -serial -in "$certs/n$2.crt")
  [[ $(serial "$port") == "$want" ]]
}
for i in 1 2 3; do
  eventually 20 renewed "${CLUSTER_PORTS[i]}" "$i"
  eventually 20 renewed "${CLUSTER_HTTP_PORTS[i]}" "$i"
done
[[ $(serial "${CLUSTER_PORTS[1]}") != "$before" ]] || fail "the node still uses the old certificate"
wait "$enqueue" || fail "an enqueue failed while certificates were renewed: $(cat "$CLUSTER_DIR/renewed")"
touch "$stop"
wait "$single" || fail "a call failed while certificates were renewed: $(cat "$CLUSTER_DIR/single")"
equal "$count" "$(cluster_cli stats --queue renewed | awk '$1 == "renewed" { print $3 }')" "enqueued meanwhile"
equal "$(cat "$CLUSTER_DIR/single")" \
  "$(cluster_cli stats --queue single | awk '$1 == "single" { print $3 }')" "enqueued one by one"
# Members connect with the new certificates.
leader=$(cluster_wait_for_leader 20)
cluster_kill "$leader" || true
cluster_wait_for_leader 20 >/dev/null
cluster_start "$leader"
eventually 20 three

# ---- A separate port for clients (--client-addr).
peer_port=$(cluster_free_port)
client_port=$(cluster_free_port)
"$bin/dqueue" --id n1 --bootstrap --data-dir "$certs/data-solo" --http-addr off \
  --grpc-addr "127.0.0.1:$peer_port" --client-addr "127.0.0.1:$client_port" --tls-cert "$certs/n1.crt" \
  --tls-key "$certs/n1.key" --tls-ca "$certs/ca.crt" >"$certs/solo.log" 2>&1 </dev/null &
others+=($!)
solo() { cli stats --ca "$certs/ca.crt" --server "127.0.0.1:$1"; }
eventually 20 solo "$client_port"
expect 1 'PEERS_ONLY' solo "$peer_port"
finish
