#!/usr/bin/env bash
# Tests the routes of docs/http.md with curl on each node of a cluster of three: the leader and the
# followers give the same answers. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT
CLUSTER_HTTP=1
cluster_begin "$bin" 3

json='Content-Type: application/json'
node=
# ask CURL-ARGS…: requests a path (the last argument) of $node. Prints the status, the headers and
# the body.
ask() {
  local path=${*: -1}
  curl --silent --show-error --max-time 30 --include "${@:1:$#-1}" "http://$node$path" | tr -d '\r'
}
post() { ask -X POST -H "$json" -d "$2" "${@:3}" "$1"; }
# field NAME: prints a field of the JSON on standard input; a string without its quotes.
field() { grep -oE "\"$1\":(\"[^\"]*\"|[^,}]*)" | head -n 1 | sed -E "s/^\"$1\"://; s/^\"(.*)\"\$/\1/"; }
# answers STATUS REGEX COMMAND…
answers() { expect 0 "^HTTP/1.1 $1 .*$2" "${@:3}"; }

# The first example of docs/http.md.
shown() {
  local id
  answers 201 '"state":"READY"' \
    post /tasks '{"type":"email","payload":{"to":"user@example.com"},"priority":10,"max_retries":3}'
  id=$(post /tasks/lease '{"worker_id":"worker-1"}' | field id)
  answers 200 '"state":"ACKED"' post "/tasks/$id/ack" '{"worker_id":"worker-1"}'
  answers 200 '"status":"done"' ask "/tasks/$id"
  answers 200 '"queues":' ask /stats
}

# The routes under /tasks. Each node is tested with a queue of its own.
tasks() {
  local queue=$1 id
  answers 201 "\"type\":\"email\".*\"payload\":\{\"to\":\"user@example.com\"\}.*\"status\":\"pending\"" \
    post /tasks '{"type":"email","payload":{"to":"user@example.com"},"priority":10,"max_retries":3,"idempotency_key":"'"$queue"'","queue":"'"$queue"'"}'
  answers 200 'Idempotent-Replayed: true' \
    post /tasks '{"type":"email","payload":{"to":"user@example.com"},"priority":10,"max_retries":3,"idempotency_key":"'"$queue"'","queue":"'"$queue"'"}'
  id=$(post /tasks/lease '{"worker_id":"worker-1","queue":"'"$queue"'"}' | field id)
  answers 200 '"state":"RUNNING"' ask "/tasks/$id"
  answers 204 '' post /tasks/lease '{"worker_id":"worker-1","queue":"'"$queue"'"}'
  answers 409 'LEASE_STALE' post "/tasks/$id/ack" '{"worker_id":"worker-2"}'
  answers 200 '"status":"failed"' post "/tasks/$id/nack" '{"worker_id":"worker-1","reason":"database connection failed"}'
  answers 200 '"error":"database connection failed"' ask "/tasks/$id"
  leased_again() { post /tasks/lease '{"worker_id":"worker-1","queue":"'"$queue"'"}' | grep -q "$id"; }
  eventually 30 leased_again
  answers 200 '"status":"done"' post "/tasks/$id/ack" '{"worker_id":"worker-1"}'
}

jobs() {
  local key=$1 id token
  answers 404 'NO_JOB_READY' ask -X POST /jobs/lease
  answers 201 '"job_id":"[0-9a-z-]+".*"priority":7' \
    post /jobs '{"type":"report","priority":7,"payload":{"n":1}}' -H "Idempotency-Key: $key"
  answers 200 'Idempotent-Replayed: true.*"job_id"' \
    post /jobs '{"type":"report","priority":7,"payload":{"n":1}}' -H "Idempotency-Key: $key"
  answers 422 'IDEMPOTENCY_MISMATCH' \
    post /jobs '{"type":"report","priority":7,"payload":{"n":2}}' -H "Idempotency-Key: $key"
  ask -X POST /jobs/lease >"$CLUSTER_DIR/leased"
  id=$(field job_id <"$CLUSTER_DIR/leased")
  token=$(field lease_token <"$CLUSTER_DIR/leased")
  answers 200 '"payload":\{"n":1\}.*"attempt":1.*"lease_until":"20' cat "$CLUSTER_DIR/leased"
  answers 200 '"state":"ACKED".*"result":"sent"' post "/jobs/$id/ack" '{"result":"sent"}'
  answers 200 '"state":"ACKED".*"attempts":1' ask "/jobs/$id"
  answers 200 '"state":"ACKED"' post "/jobs/$id/ack" '{"lease_token":"'"$token"'","result":"sent"}'
  # A failure is retried, or with max_retries 0 the job is dead.
  post /jobs '{"payload":"text","max_retries":0}' >/dev/null
  id=$(ask -X POST /jobs/lease | field job_id)
  answers 200 '"status":"dlq".*"result_error":"boom"' post "/jobs/$id/ack" '{"result_error":"boom"}'
  answers 201 '"run_at":"2030-04-16T12:34:00Z"' post /jobs '{"payload":"text","run_at":"2030-04-16T12:34:00Z"}'
  answers 201 '"payload":"text"' post /jobs '{"payload":"text","delay_ms":600000}'
  answers 404 'JOB_NOT_FOUND' ask /jobs/unheard-of
}

v1() {
  local queue=$1 token
  answers 200 '"created":true' post /v1/jobs '{"jobs":[{"id":"'"$queue"'-1","queue":"'"$queue"'"},{"id":"'"$queue"'-2","queue":"'"$queue"'"}]}'
  answers 201 '"created":true' post /v1/jobs '{"id":"'"$queue"'-3","queue":"'"$queue"'","payload":{}}'
  answers 200 '"state":"JOB_STATE_READY"' ask "/v1/jobs/$queue-1"
  answers 200 "$queue-1.*$queue-2" ask "/v1/jobs?queue=$queue&page_size=2"
  post /v1/leases '{"worker_id":"w","queues":["'"$queue"'"],"max_jobs":1}' >"$CLUSTER_DIR/leased"
  token=$(grep -oE '"token":\{[^}]*\}' "$CLUSTER_DIR/leased")
  item='{"items":[{"id":"'"$queue"'-1",'"$token"'}]}'
  answers 200 '"code":0' post /v1/leases:extend "$item"
  answers 200 '"code":0' post /v1/leases:release "$item"
  answers 200 'LEASE_STALE' post /v1/leases:complete "$item"
  answers 200 'LEASE_STALE' post /v1/leases:fail "$item"
  answers 200 '"code":0' post /v1/jobs:cancel '{"ids":["'"$queue"'-1"]}'
  answers 200 '"code":0' post /v1/jobs:retry '{"ids":["'"$queue"'-1"]}'
  answers 200 '"ready":"3"' ask "/v1/stats?queue=$queue"
  answers 200 '"members":\[' ask /v1/cluster
}

# Operations on queues, the event stream and the dashboard page.
rest() {
  local queue=$1
  answers 200 '"paused":true' post "/v1/queues/$queue:pause" '{}'
  answers 201 'READY' post /tasks '{"queue":"'"$queue"'"}'
  answers 204 '' post /tasks/lease '{"worker_id":"w","queue":"'"$queue"'"}'
  answers 200 '"paused":false' post "/v1/queues/$queue:resume" '{}'
  answers 200 '"purged":"1"' post "/v1/queues/$queue:purge" '{}'
  answers 200 '"redriven":' post /v1/jobs:redrive '{"queue":"'"$queue"'"}'
  answers 200 '"results":' post /v1/jobs:delete '{"ids":["unheard-of"]}'
  answers 400 'must be in a body' post '/v1/jobs:cancel?ids=a' '{}'
  # The stream does not end, so curl stops at its time limit.
  ask -H 'Last-Event-ID: 1' --max-time 2 /events >"$CLUSTER_DIR/events" 2>/dev/null || true
  answers 200 'text/event-stream.*retry: 1000.*event: stats.id: [0-9]+.data: \{"whole":true.*"'"$queue"'":\{' \
    cat "$CLUSTER_DIR/events"
  expect 0 'event: cluster.*"leader_id":"n[123]".*"auth":"off"' cat "$CLUSTER_DIR/events"
  answers 400 'INVALID_FIELD' ask -H 'Last-Event-ID: x' /events
  answers 200 "default-src 'self'.*<title>dqueue</title>" ask /
  answers 200 'text/javascript' ask /dashboard/app.js
}

for i in 1 2 3; do
  node=127.0.0.1:${CLUSTER_HTTP_PORTS[i]}
  ready() { [[ $(ask /ready) == *OK ]]; }
  eventually 20 ready
  answers 200 'OK' ask /health
  answers 200 'dqueue_raft_leader_known 1' ask /metrics
  shown
  tasks "tasks-$i"
  jobs "key-$i"
  v1 "v1-$i"
  rest "rest-$i"
  # Errors are the same on every node.
  answers 400 '"reason":"INVALID_FIELD","details":\{"field":"priority"' post /tasks '{"priority":256}'
  answers 400 '"reason":"INVALID_JSON"' post /jobs '{"a":1,}'
  answers 415 'Content-Type: application/json' ask -X POST -d '{}' /tasks
  answers 405 'Allow: GET, HEAD, OPTIONS' ask -X DELETE /jobs/a
  answers 404 '"reason":"NOT_FOUND"' ask /nothing/here
done
expect_sum

# The cluster works after its leader dies. A node without a majority reports NOT_READY.
leader=$(cluster_wait_for_leader 20)
cluster_kill "$leader" || true
node=127.0.0.1:${CLUSTER_HTTP_PORTS[leader % 3 + 1]}
answers 201 '"status":"pending"' post /tasks '{"type":"after"}'
cluster_kill $(((leader + 1) % 3 + 1)) || true
alone() { [[ $(ask /ready) == *'"reason":"NOT_READY"'* ]]; }
eventually 20 alone
answers 503 'Retry-After: 1.*"reason":"(NO_LEADER|COMMIT_UNKNOWN)"' ask /jobs/unheard-of
answers 200 'OK' ask /health
finish
