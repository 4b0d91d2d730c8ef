#!/usr/bin/env bash
# Tests API keys on a cluster of three: the first key from a file, keys made over HTTP and by the
# command line, the rights of each key on each node, revocation during running streams, the audit
# log, and that no secret is stored or logged. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
keys=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-keys-XXXXXX")
trap 'status=$?; rm -rf "$keys"; cluster_end $status' EXIT

CLUSTER_HTTP=1
cluster_begin_with_keys "$keys/admin" "$bin" 3

# as KEY-FILE ARGS…: dqueue-cli with another key.
as() { DQUEUE_API_KEY_FILE=$1 cluster_cli "${@:2}"; }
# ask KEY CURL-ARGS…: requests a path (the last argument) of $node. The key is passed on standard
# input, so that it does not appear in the process list.
ask() {
  local path=${*: -1}
  printf 'header = "Authorization: Bearer %s"\n' "$1" |
    curl --config - --silent --show-error --max-time 30 --include "${@:2:$#-2}" "http://$node$path" | sed --unbuffered 's/\r$//'
}
answers() { expect 0 "^HTTP/1.1 $1 .*$2" "${@:3}"; }
field() { grep -oE "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }
new_key() { (umask 077; cluster_cli key create --name "$1" --owner team "${@:2}" 2>/dev/null >"$keys/$1"); }

# ---- the first key
expect 0 'first admin key' cluster_cli key list
DQUEUE_API_KEY_FILE= expect 6 'KEY_MISSING' cluster_cli stats
# Also of a command that asks each node.
DQUEUE_API_KEY_FILE= expect 6 ' denied .*KEY_MISSING.*no node that accepts the API key knows a leader' cluster_cli status
DQUEUE_API_KEY_FILE= expect 6 '"reachable":true,.*KEY_MISSING' cluster_cli status -o json

# ---- the rights of a key, on each node
new_key client --type client
new_key worker --type worker --queues 'mail,mail-*'
new_key scraper --type client --scopes metrics:read
for i in 1 2 3; do
  node=127.0.0.1:${CLUSTER_HTTP_PORTS[i]}
  answers 401 'WWW-Authenticate: Bearer.*KEY_MISSING' curl -si "http://$node/stats"
  answers 401 'KEY_INVALID' ask "client_000000000000" /stats
  answers 200 'OK' curl -si "http://$node/health"
  answers 200 'OK' curl -si "http://$node/ready"
  json='Content-Type: application/json'
  answers 201 '"status":"pending"' ask "$(<"$keys/client")" -X POST -H "$json" -d '{"queue":"mail"}' /tasks
  answers 201 '"status":"pending"' ask "$(<"$keys/client")" -X POST -H "$json" -d '{"queue":"other"}' /tasks
  answers 403 'SCOPE_MISSING' ask "$(<"$keys/client")" -X POST -H "$json" -d '{"worker_id":"w"}' /tasks/lease
  answers 403 'SCOPE_MISSING' ask "$(<"$keys/worker")" -X POST -H "$json" -d '{"queue":"mail"}' /tasks
  answers 403 'QUEUE_DENIED' ask "$(<"$keys/worker")" -X POST -H "$json" -d '{"worker_id":"w","queue":"other"}' /tasks/lease
  answers 200 '"state":"RUNNING"' ask "$(<"$keys/worker")" -X POST -H "$json" -d '{"worker_id":"w'$i'","queue":"mail"}' /tasks/lease
  answers 403 'SCOPE_MISSING' ask "$(<"$keys/worker")" /metrics
  # A follower answers /metrics itself, and may not have applied the new key yet.
  scraped() { ask "$(<"$keys/scraper")" /metrics | grep -c dqueue_raft_term; }
  eventually 5 scraped
  answers 403 'SCOPE_MISSING' ask "$(<"$keys/scraper")" /stats
  answers 201 '"key":"client_[A-Za-z0-9]{50}"' ask "$(<"$keys/admin")" -X POST -H "$json" \
    -d '{"name":"made over http","owner_id":"anna","type":"client"}' /admin/keys
  answers 403 'SCOPE_MISSING' ask "$(<"$keys/client")" /admin/keys
  answers 200 '"owner_id":"team"' ask "$(<"$keys/client")" /keys
  # A new key works on every node at once: for an unknown key a follower asks the leader.
  new_key "fresh-$i" --type client
  answers 200 'queues' ask "$(<"$keys/fresh-$i")" /stats
done
# Lists and counts show only the queues of the key.
expect 0 'mail' as "$keys/worker" stats
if as "$keys/worker" stats | grep other; then fail "a key for the queue mail sees the queue other"; fi
expect 6 'QUEUE_DENIED' as "$keys/worker" stats --queue other
expect 6 'SCOPE_MISSING' as "$keys/client" purge --queue mail --yes
expect 6 'SCOPE_MISSING' as "$keys/client" key create --name x --owner y

# ---- a stream shows only what its key may see, makes no refused calls, and ends with its key
node=127.0.0.1:${CLUSTER_HTTP_PORTS[1]}
refusals() { ask "$(<"$keys/scraper")" /metrics | awk '$1 == "dqueue_calls_refused_total" { print $2 }'; }
before=$(refusals)
ask "$(<"$keys/worker")" --no-buffer --max-time 5 /events >"$keys/events" 2>/dev/null || true
equal "${before:?}" "$(refusals)" "refused calls after a stream that may not see the cluster"
expect 0 'event: stats' grep 'event: stats' "$keys/events"
expect 0 '"cluster":null.*"disk_free_bytes":null' grep 'data: {"cluster"' "$keys/events"
expect 0 '"queues":\{"mail":' grep 'data: {"whole":true' "$keys/events"
if grep '"other"' "$keys/events"; then fail "a stream for mail shows other"; fi
stream_ended() { [[ -e $keys/ended ]]; }
(ask "$(<"$keys/fresh-2")" --no-buffer /events >"$keys/events" 2>/dev/null; touch "$keys/ended") &
streaming() { grep -q 'event: stats' "$keys/events"; }
eventually 10 streaming
id=$(cut -c 1-19 "$keys/fresh-2")
expect 0 'revoked' cluster_cli key revoke "$id"
eventually 5 stream_ended
for i in 1 2 3; do
  node=127.0.0.1:${CLUSTER_HTTP_PORTS[i]}
  refused() { [[ $(ask "$(<"$keys/fresh-2")" /stats) == *KEY_REVOKED* ]]; }
  eventually 5 refused
done
expect 0 "$id" cluster_cli key list --revoked
answers 200 'Key revoked successfully' ask "$(<"$keys/admin")" -X DELETE "/keys/$(cut -c 1-19 "$keys/fresh-3")"

# ---- keys survive changes of the leader and restarts
leader=$(cluster_wait_for_leader 20)
cluster_kill "$leader" || true
expect 0 '' as "$keys/client" stats --timeout 20s
expect 6 'KEY_REVOKED' as "$keys/fresh-2" stats --timeout 20s
cluster_start "$leader"
node=127.0.0.1:${CLUSTER_HTTP_PORTS[leader]}
back() { curl -sf "http://$node/ready"; }
eventually 20 back
for i in 1 2 3; do cluster_kill "$i" TERM; done
for i in 1 2 3; do cluster_start "$i"; done
again() { as "$keys/client" stats --timeout 2s; }
eventually 20 again
expect 6 'KEY_REVOKED' as "$keys/fresh-2" stats

# ---- the audit log; no secret is in a file or a command line
cluster_cli pause --queue mail >/dev/null
audited() { grep -h "audit: $1 by key $2" "$CLUSTER_DIR"/*.log; }
admin_id=$(cut -c 1-18 "$keys/admin")
expect 0 'queue: "mail".*: OK' audited PauseQueue "$admin_id"
expect 0 'owner_id: "anna".*: OK' audited CreateKey "$admin_id"
expect 0 ': OK' audited RevokeKey "$admin_id"
expect 0 'from 127.0.0.1: .*SCOPE_MISSING' audited PurgeQueue ''
grep -q 'audit: refused a call from 127.0.0.1: KEY_MISSING' "$CLUSTER_DIR"/*.log ||
  fail "refused calls are not in the log"
for name in admin client worker fresh-1 fresh-2; do
  secret=$(cut -c 20-45 "$keys/$name")
  if grep -rlF -- "$secret" "$CLUSTER_DIR"; then fail "the secret of $name is in a file of the cluster"; fi
  for pid in "${CLUSTER_PIDS[@]}"; do
    [[ -n $pid ]] || continue
    if tr '\0' '\n' <"/proc/$pid/cmdline" | grep -F -- "$secret"; then fail "the secret of $name is in a command line"; fi
  done
  PASSED=$((PASSED + 1))
done

# ---- a node without --peers prints three keys, at its first start only
node=127.0.0.1:$(cluster_free_port)
alone=("$bin/dqueue" --id dev --bootstrap --data-dir "$keys/data" --grpc-addr "127.0.0.1:$(cluster_free_port)" --http-addr "$node" --auth on)
"${alone[@]}" >"$keys/dev.out" 2>"$keys/dev.log" </dev/null &
pid=$!
CLUSTER_PIDS+=("$pid")
three() { [[ $(grep -c '^Created' "$keys/dev.out") == 3 ]]; }
eventually 20 three
for type in client worker admin; do
  secret=$(sed -nE "s/^Created $type key: (${type}_[A-Za-z0-9]{50}) \(owner: dev-$type\)$/\1/p" "$keys/dev.out")
  answers 200 'queues' ask "$secret" /stats
  if grep -rlF -- "${secret: -38}" "$keys/data" "$keys/dev.log"; then fail "the $type key is in the log or the data"; fi
done
kill -TERM "$pid"
wait "$pid" || fail "the node alone ended with $?"
# A node whose standard output is the journal prints no keys, because the journal would keep them.
: >"$keys/journal"
JOURNAL_STREAM=$(stat -c %d:%i "$keys/journal") "${alone[@]/#$keys\/data/$keys\/service}" >"$keys/journal" 2>&1 </dev/null &
CLUSTER_PIDS[-1]=$!
answering() { curl -sf "http://$node/ready"; }
eventually 20 answering
expect 0 'no API keys are made' cat "$keys/journal"
if grep '^Created' "$keys/journal"; then fail "a key is printed into the journal"; fi
expect 0 'KEY_MISSING' curl -s "http://$node/stats"
kill -TERM "${CLUSTER_PIDS[-1]}"
wait "${CLUSTER_PIDS[-1]}" || fail "the service ended with $?"
"${alone[@]}" >"$keys/dev.out" 2>>"$keys/dev.log" </dev/null &
CLUSTER_PIDS[-1]=$!
ready() { curl -sf "http://$node/ready"; }
eventually 20 ready
answers 200 'queues' ask "$secret" /stats
equal "" "$(cat "$keys/dev.out")" "what the second start prints"
finish
