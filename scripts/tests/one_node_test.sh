#!/usr/bin/env bash
# Tests the output and exit status of every dqueue-cli command on one node. Argument: the directory
# of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT
cluster_begin "$bin" 1 --lease-timeout 20s
cli=cluster_cli

# ---- enqueue, get, list, stats.
id=$($cli enqueue -type email -queue mail -payload '{"to":"user@example.com"}' --priority 7)
expect 0 'state: *READY' $cli get "$id"
expect 0 '"payload":\{"to":"user@example.com"\},"priority":7,' $cli get "$id" -o json
expect 3 'NOT_FOUND' $cli get no-such-job
expect 0 "$id +READY +mail +email +7" $cli list --queue mail
expect 0 '"jobs":\[\],"more":false' $cli list --state dead -o json
expect 0 'mail +0 +1 +0 +0 +0 +0 +0 +1 ' $cli stats
expect 2 'INVALID' $cli enqueue --queue '../x' --type t
expect 0 '^own-1$' $cli enqueue --id own-1 --type t --queue q --payload a
expect 0 'there already' $cli enqueue --id own-1 --type t --queue q --payload a
expect 4 'DUPLICATE_JOB' $cli enqueue --id own-1 --type t --queue q --payload b
expect 0 '"id":"own-1","created":false' $cli enqueue --id own-1 --type t --queue q --payload a -o json
first=$($cli enqueue --type t --queue q --idempotency-key k --payload 1)
second=$($cli enqueue --type t --queue q --idempotency-key k --payload 1 2>/dev/null)
equal "$first" "$second" "id of a repeated idempotency key"
expect 4 'IDEMPOTENCY_MISMATCH' $cli enqueue --type t --queue q --idempotency-key k --payload 2
later=$($cli enqueue --type t --queue late --delay 1h)
expect 0 "$later +SCHEDULED" $cli list --state scheduled --queue late

# Payloads from a file and from standard input, and binary payloads.
printf '\xff\x00' >"$CLUSTER_DIR/bytes"
binary=$($cli enqueue --queue bytes --type t --payload @"$CLUSTER_DIR/bytes")
expect 0 '"state":"READY","payload_base64":"/wA=",' $cli get "$binary" -o json
piped=$(echo -n piped | $cli enqueue --queue bytes --type t --payload -)
expect 0 'payload: *piped' $cli get "$piped"

# ---- lease, ack, nack, extend, release.
take() { $cli lease --queue "$1" --wait 5s | awk 'NR == 2 { print $1, $2 }'; }
expect 0 'no job is ready' $cli lease --queue empty
read -r got token <<<"$(take mail)"
equal "$id" "$got" "leased job"
expect 0 'worker: *dqueue-cli' $cli get "$id"
expect 0 'extended' $cli extend "$id" --token "$token" --lease-duration 1m
expect 0 'lease ends in: *(1m|5[0-9]s)' $cli get "$id"
expect 0 'released' $cli release "$id" --token "$token"
expect 4 'LEASE_STALE' $cli ack "$id" --token "$token"
read -r got newer <<<"$(take mail)"
[[ $newer > $token ]] || fail "the token $newer is not greater than $token"
expect 0 'failed' $cli nack "$id" --token "$newer" --reason 'database connection failed' --delay 0s
expect 0 'last error: *database connection failed' $cli get "$id"
read -r got token <<<"$(take mail)"
expect 0 'succeeded' $cli ack "$id" --token "$token" --result '{"sent":true}'
expect 0 'result: *\{"sent":true\}' $cli get "$id"
expect 0 'succeeded' $cli ack "$id" --token "$token" --result '{"sent":true}'
expect 4 'LEASE_STALE|INVALID_STATE' $cli nack "$id" --token "$newer"
expect 0 'SUCCEEDED' $cli wait "$id"

# ---- Dead jobs: cancel, retry, wait.
dead=$($cli enqueue --queue dead --type t)
read -r got token <<<"$(take dead)"
expect 0 'rejected' $cli nack "$dead" --token "$token" --reject --reason 'bad data'
expect 8 'state: *DEAD' $cli wait "$dead"
expect 4 'INVALID_STATE' $cli cancel "$dead"
expect 0 "$dead ready" $cli retry "$dead"
expect 0 "$dead cancelled" $cli cancel "$dead"
expect 8 'CANCELLED' $cli wait "$dead"
expect 3 'no-such: ' $cli cancel "$later" no-such
expect 3 '"id":"no-such","code":"NOT_FOUND","reason":"JOB_NOT_FOUND"' $cli retry no-such -o json
waiting=$($cli enqueue --queue waits --type t)
expect 7 '' $cli wait "$waiting" --timeout 2s

# ---- Pause, resume, delete, redrive and purge.
held=$($cli enqueue --queue ops --type t)
read -r got token <<<"$(take ops)"
equal "$held" "$got" "leased job"
expect 0 '^ops paused$' $cli pause --queue ops
ready=$($cli enqueue --queue ops --type t)
expect 0 'no job is ready' $cli lease --queue ops
expect 0 'ops +0 +1 +1 .* yes' $cli stats --queue ops
expect 0 '"paused":true,"refuses_enqueues":false' $cli stats --queue ops -o json
expect 4 'LEASED' $cli delete "$held"
expect 0 'succeeded' $cli ack "$held" --token "$token"
expect 0 "$held deleted" $cli delete "$held"
expect 3 'JOB_NOT_FOUND' $cli delete "$held"
expect 0 'refuses jobs' $cli pause --queue ops --refuse-enqueues
expect 4 'QUEUE_PAUSED' $cli enqueue --queue ops --type t
expect 0 'ops .* yes, refuses jobs' $cli stats
expect 0 '"queue":"ops",.*"paused":false' $cli resume --queue ops -o json
expect 3 'QUEUE_NOT_FOUND' $cli resume --queue unheard-of
expect 0 '^unheard-of paused$' $cli pause --queue unheard-of
expect 0 '^unheard-of resumed$' $cli resume --queue unheard-of
read -r got token <<<"$(take ops)"
equal "$ready" "$got" "job of a resumed queue"
expect 0 'rejected' $cli nack "$ready" --token "$token" --reject --reason 'connection refused: db1'
expect 0 'attempt: *1 REJECTED at .* after .*: connection refused: db1' $cli get "$ready"
expect 0 '"attempts":\[\{"number":1,"end":"REJECTED"' $cli get "$ready" -o json
expect 0 '1 +ops +t +REJECTED +[0-9a-f]{16} .* '"$ready"' +connection refused: db1' $cli dead --queue ops
expect 0 '"groups":\[\],"more":false' $cli dead --queue ops --type other -o json
fingerprint=$($cli dead --queue ops -o json | sed -nE 's/.*"error_fingerprint":"([0-9a-f]{16})".*/\1/p')
expect 2 'error_fingerprint' $cli redrive --fingerprint 12
expect 0 '^0 jobs redriven$' $cli redrive --queue ops --fingerprint 0123456789abcdef
expect 0 '^1 jobs redriven$' $cli redrive --fingerprint "$fingerprint"
read -r got token <<<"$(take ops)"
equal "$ready" "$got" "redriven job"
expect 0 'LAST CALL.*' $cli workers
expect 0 '"leased":1,' $cli workers -o json
expect 0 'rejected' $cli nack "$ready" --token "$token" --reject --reason 'connection refused: db1'
expect 0 '^0 jobs redriven$' $cli redrive --queue ops --error timeout
expect 0 '^0 jobs redriven$' $cli redrive --type other
expect 0 '^1 jobs redriven$' $cli redrive --queue ops --type t --error 'refused: db'
expect 0 '"purged":0' $cli purge --queue ops --state dead,cancelled --yes -o json
expect 3 'QUEUE_NOT_FOUND' $cli purge --queue typo --yes
$cli enqueue --queue ops --type t --count 25000 >/dev/null
expect 0 '^25,001 jobs purged$' $cli purge --queue ops --yes
expect 0 'ops +0 +0 +0 +0 +0 +0 +25002 +25002 ' $cli stats --queue ops
# On a terminal purge asks for confirmation.
$cli enqueue --queue ops --type t >/dev/null
on_terminal() {
  script -qec "$bin/dqueue-cli purge --queue ops --server $CLUSTER_SERVERS" /dev/null <<<"$1"
}
if command -v script >/dev/null; then
  answer=$(on_terminal n) && fail "purge went on: $answer"
  [[ $answer =~ 'Delete all SCHEDULED and READY jobs of queue "ops"? [y/N]'.*'nothing was deleted' ]] ||
    fail "purge did not ask: $answer"
  [[ $(on_terminal y) =~ '1 jobs purged' ]] || fail "purge did not go on"
fi

# ---- Files.
expect 0 '^3 jobs: 3 created, 0 there already, 0 failed' $cli enqueue --queue file --file "$here/sample-jobs.json"
expect 0 '"payload":\{ +"task": "process_data", +"value": 42 +\}' $cli list --queue file --full -o json
seq 1 25000 | sed 's/.*/{"id":"line-&","payload":{"n":&}}/' >"$CLUSTER_DIR/lines"
expect 0 '^25,000 jobs: 25,000 created' $cli enqueue --queue lines --type t --file "$CLUSTER_DIR/lines"
expect 0 '^25,000 jobs: 0 created, 25,000 there already' $cli enqueue --queue lines --type t --file "$CLUSTER_DIR/lines"
equal 25000 "$($cli list --queue lines --all | grep -c '^line-')" "jobs listed"
equal 'line-1 line-2 line-3' "$(head -n 3 "$CLUSTER_DIR/lines" | sed 's/line/row/; s/"t"/"u"/' |
  $cli enqueue --queue rows --type t --file - --print-ids 2>/dev/null | sed 's/row/line/' | xargs)" "printed ids"
expect 0 'there are more' $cli list --queue lines
equal 10 "$($cli list --queue lines --limit 10 2>/dev/null | grep -c '^line-')" "a limited list"
printf '[{"id":"fresh-1"},{"id":"line-1","payload":"other"}]' >"$CLUSTER_DIR/half"
expect 4 'line-1|item 1|nothing was created' $cli enqueue --queue lines --type t --file "$CLUSTER_DIR/half" --all-or-nothing
expect 3 'NOT_FOUND' $cli get fresh-1
expect 4 '^dqueue-cli: item 1: ' $cli enqueue --queue lines --type t --file "$CLUSTER_DIR/half"
expect 0 'READY' $cli get fresh-1
expect 0 '^500 jobs: 500 created' $cli enqueue --queue copies --type t --count 500
expect_sum

# ---- Status and shutdown.
expect 0 'n1 +127.0.0.1:[0-9]+ +leader' $cli status
expect 0 '"leader_id":"n1","digests_agree":true' $cli status -o json
expect 5 'unreachable' "$bin/dqueue-cli" status --server 127.0.0.1:1 --timeout 300ms
status=0
cluster_kill 1 TERM || status=$?
equal 0 "$status" "exit status after SIGTERM"
finish
