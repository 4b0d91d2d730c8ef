#!/usr/bin/env bash
# Runs command lines from the documents of other queues, unchanged, on each node of a cluster
# without keys and of a cluster with keys. Only addresses, keys and ids are replaced. Argument: the
# directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-lines-XXXXXX")
trap 'status=$?; rm -rf "$work"; cluster_end $status' EXIT
printf 'silent\nshow-error\nfail-with-body\nmax-time = 30\n' >"$work/.curlrc"
export CURL_HOME=$work
node= id=

# prints REGEX <<'LINES': runs the lines in a shell and checks that their output matches.
prints() {
  local lines
  lines=$(sed -E "s#http://(localhost|192\.168\.1\.100):80(80|81)#http://$node#; s#550e8400-e29b-41d4-a716-446655440000|<job_id>#$id#; s#client_abc123\.\.\.#${REVOKED:-}#")
  expect 0 "$1" bash -c "$lines"
}
job_of() { jq -r .job_id; }

without_keys() {
  prints '^OK' <<'LINES'
curl http://localhost:8081/health
LINES
  prints '"type":"email".*"payload":\{"to":"user@example.com"\}' <<'LINES'
curl -X POST http://localhost:8081/tasks \
  -H "Content-Type: application/json" \
  -d '{"type":"email","payload":{"to":"user@example.com"}}'
LINES
  curl -X POST "http://$node/tasks/lease" -H 'Content-Type: application/json' -d '{"worker_id":"worker-1"}' >/dev/null
  prints '"total_workers":[1-9]' <<'LINES'
curl http://localhost:8080/workers
LINES
  prints '"total_workers":[1-9]' <<'LINES'
curl http://192.168.1.100:8080/workers
LINES
  prints '"machines"' <<'LINES'
curl http://localhost:8080/workers | jq '.'
LINES
  prints '^[1-9][0-9]*$' <<'LINES'
curl http://localhost:8080/workers | jq '.total_workers'
LINES
  prints '^\[.*"host"' <<'LINES'
curl http://localhost:8080/workers | jq '.machines'
LINES
  prints '"job_id":.*"type":"cleanup_temp_files","queue":"default","priority":0,"payload":\{"directory": "/tmp"\}' <<'LINES'
curl -X POST http://localhost:8080/jobs \
  -H "Content-Type: application/json" \
  -d '{
    "type": "cleanup_temp_files",
    "priority": 0,
    "payload": {"directory": "/tmp"}
  }'
LINES
  prints '"job_id":.*"priority":3' <<'LINES'
curl -X POST http://localhost:8080/jobs \
  -H "Content-Type: application/json" \
  -d '{
    "type": "resize_image",
    "priority": 3,
    "payload": {"image_url": "cat.png", "width": 640}
  }'
LINES
  prints '"job_id":.*"priority":7' <<'LINES'
curl -X POST http://localhost:8080/jobs \
  -H "Content-Type: application/json" \
  -d '{
    "type": "send_welcome_email",
    "priority": 7,
    "payload": {"user_id": 123, "email": "user@example.com"}
  }'
LINES
  prints '"job_id":.*"priority":10' <<'LINES'
curl -X POST http://localhost:8080/jobs \
  -H "Content-Type: application/json" \
  -d '{
    "type": "fraud_alert",
    "priority": 10,
    "payload": {"transaction_id": "tx_456", "risk_score": 0.95}
  }'
LINES
  # Delivered in the order that the document states.
  local type
  for type in fraud_alert send_welcome_email resize_image; do
    expect 0 "\"type\":\"$type\"" curl -X POST "http://$node/jobs/lease"
  done
}

with_keys() {
  prints '"job_id":"[0-9a-z-]+"' <<'LINES'
curl -X POST http://localhost:8080/jobs \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer $CLIENT_KEY" \
  -d '{"payload":"process this data","max_retries":3}'
LINES
  id=$(curl -X POST "http://$node/jobs/lease" -H "Authorization: Bearer $WORKER_KEY" | job_of)
  prints '"job_id":.*"state":"ACKED"' <<'LINES'
curl -X POST http://localhost:8080/jobs/550e8400-e29b-41d4-a716-446655440000/ack \
  -H "Authorization: Bearer $WORKER_KEY" \
  -H "Content-Type: application/json" \
  -d '{"result":"processed successfully"}'
LINES
  # Any authenticated key with jobs:read scope can check status
  prints '"state":"ACKED".*"attempts":1.*"max_retries":3.*"created_at":.*"result":"processed successfully"' <<'LINES'
curl http://localhost:8080/jobs/550e8400-e29b-41d4-a716-446655440000 \
  -H "Authorization: Bearer $CLIENT_KEY"
LINES
  prints '"job_id":' <<'LINES'
curl -X POST http://localhost:8080/jobs \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer $CLIENT_KEY" \
  -d '{"payload":"test","max_retries":3}'
LINES
  prints '"job_id":.*"payload":"test".*"attempt":1.*"lease_until":"20' <<'LINES'
curl -X POST http://localhost:8080/jobs/lease \
  -H "Authorization: Bearer $WORKER_KEY" | tee $CURL_HOME/leased
LINES
  id=$(job_of <"$work/leased")
  prints '"result_error":"processing failed"' <<'LINES'
curl -X POST http://localhost:8080/jobs/550e8400-e29b-41d4-a716-446655440000/ack \
  -H "Authorization: Bearer $WORKER_KEY" \
  -H "Content-Type: application/json" \
  -d '{"result_error":"processing failed"}'  
LINES
  prints '"max_retries":3' <<'LINES'
curl http://localhost:8080/jobs/<job_id> \
  -H "Authorization: Bearer $CLIENT_KEY"
LINES
  # Otherwise the retry of this job would disturb the test of the next node.
  expect 0 '"code":0' curl -X POST "http://$node/v1/jobs:cancel" -H "Authorization: Bearer $ADMIN_KEY" \
    -H 'Content-Type: application/json' -d '{"ids":["'"$id"'"]}'
  prints '"key":"worker_[0-9A-Za-z]+".*"name":"Production Worker","owner_id":"prod-team","type":"worker","scopes":\["jobs:read","jobs:lease","jobs:ack","keys:read"\].*"created_at"' <<'LINES'
curl -X POST http://localhost:8080/admin/keys \
  -H "Authorization: Bearer $ADMIN_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "Production Worker",
    "owner_id": "prod-team",
    "type": "worker"
  }'
LINES
  prints '^\[\{"key":"client_[0-9A-Za-z]+"' <<'LINES'
curl http://localhost:8080/keys \
  -H "Authorization: Bearer $CLIENT_KEY"
LINES
  prints '^\[\{"key":.*"owner_id":"prod-team"' <<'LINES'
curl http://localhost:8080/admin/keys \
  -H "Authorization: Bearer $ADMIN_KEY"
LINES
  REVOKED=$(key_of client)
  prints '"message":"Key revoked successfully","key":"client_[0-9A-Za-z]+","revoked_at":"20' <<'LINES'
curl -X DELETE http://localhost:8080/keys/client_abc123... \
  -H "Authorization: Bearer $ADMIN_KEY"
LINES
}

# key_of TYPE: creates a key and prints it.
key_of() {
  curl -X POST "http://$node/admin/keys" -H "Authorization: Bearer $ADMIN_KEY" -H 'Content-Type: application/json' \
    -d '{"name":"a user","owner_id":"team","type":"'"$1"'"}' | jq -r .key
}
# each FUNCTION: calls the function for each node, with $node set.
each() {
  local i
  for i in 1 2 3; do
    node=127.0.0.1:${CLUSTER_HTTP_PORTS[i]}
    ready() { curl "http://$node/ready" >/dev/null 2>&1; }
    eventually 20 ready
    "$1"
  done
}

CLUSTER_HTTP=1
cluster_begin "$bin" 3
each without_keys
cluster_end 0

cluster_begin_with_keys "$work/admin" "$bin" 3
ADMIN_KEY=$(<"$work/admin")
node=127.0.0.1:${CLUSTER_HTTP_PORTS[1]}
keys_work() { curl "http://$node/admin/keys" -H "Authorization: Bearer $ADMIN_KEY" >/dev/null 2>&1; }
eventually 20 keys_work
CLIENT_KEY=$(key_of client)
WORKER_KEY=$(key_of worker)
export ADMIN_KEY CLIENT_KEY WORKER_KEY
each with_keys
finish
