#!/usr/bin/env bash
# Tests the errors of the programs for bad command lines and unusual environments. Argument: the
# directory of the programs.
# shellcheck disable=SC2016 # variables are for the shells that the tests start
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
bin=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# ---- The node. Exit status 2: usage; 78: settings that cannot work.
node=$bin/dqueue
expect 2 '^dqueue: --id is required' "$node"
expect 2 'unknown flag --dat-dir; did you mean --data-dir\?' "$node" --id=a --dat-dir=x
expect 2 '--id needs a value' "$node" --id
expect 2 '--id has an empty value' "$node" --id=
expect 2 'given twice with different values: "a" and "b"' "$node" --id=a --id=b
expect 2 'has a bad port; it must be 1 to 65535' "$node" --id=a --grpc-addr=:65536
expect 2 'has no unit; the units are ms, s, m and h' "$node" --id=a --lease-timeout=10
expect 2 'unknown unit "parsecs"' "$node" --id=a --lease-timeout=10parsecs
expect 2 'is out of range; it must be 1MiB to' "$node" --id=a --reserve-bytes=0B
expect 2 'is out of range; it must be 128MiB to' "$node" --id=a --memory-limit=100MiB
expect 2 'must be 0 to 1000000000' "$node" --id=a --keep-finished=-1
expect 2 'unexpected argument "serve"' "$node" --id=a serve
expect 78 'does not name this node' "$node" --id=a --peers=b=h:1,c=h:2
expect 78 'a comma at the end' "$node" --id=a --peers=a=h:1,
expect 78 'has white space' "$node" --id=a "--peers=a=h:1, b=h:2"
expect 78 'is there twice' "$node" --id=a --peers=a=h:1,a=h:2
expect 78 'has no port' "$node" --id=a --peers=a=h
expect 78 'IPv6 address without brackets' "$node" --id=a --peers=a=::1:9090
expect 78 'means every interface' "$node" --id=a --peers=a=0.0.0.0:9090
expect 78 'grpc-addr :9090 is reached by other machines' "$node" --id=a --grpc-addr=:9090
expect 78 'http-addr 0.0.0.0:1 is reached by other machines' "$node" --id=a --http-addr=0.0.0.0:1
expect 78 'client-addr \[::\]:1 is reached by other machines' "$node" --id=a '--client-addr=[::]:1'
expect 78 '"a" at 10.0.0.1:9090 is on another machine' "$node" --id=a --peers=a=10.0.0.1:9090
expect 78 'tls-cert nothing: No such file' "$node" --id=a --tls-cert=nothing --tls-key=nothing
expect 2 'heartbeat: "1ms" is out of range; it must be 5ms to 10m' "$node" --id=a --heartbeat=1ms
expect 2 'election-timeout: "11m" is out of range' "$node" --id=a --election-timeout=11m
expect 78 'must be at least 4 times --heartbeat' "$node" --id=a --heartbeat=100ms --election-timeout=200ms
expect 78 'DQUEUE_MAX_RETRIES: "many" is not a whole number' env DQUEUE_MAX_RETRIES=many "$node" --id=a
expect 78 'open files are needed, the limit is 16' \
  bash -c 'ulimit -n 16; exec "$0" --id=a --data-dir=d --bootstrap' "$node"

# --help and --version take precedence over all other flags.
for program in dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos dqueue-hostile; do
  expect 0 'usage: ' "$bin/$program" --help
  expect 0 'usage: ' "$bin/$program" --zzz=1 -help
  expect 0 "^$program [0-9]+\.[0-9]+\.[0-9]+$" "$bin/$program" --version
  expect 2 'unknown flag --sevrer' "$bin/$program" --sevrer=x
  # No crash when standard streams are closed.
  expect 0 '' bash -c '"$0" --help >&-' "$bin/$program"
  expect 0 '' bash -c '"$0" --help 0<&- 1>&- 2>&-' "$bin/$program"
  expect 0 '' env -i LANG=C TZ=garbage "$bin/$program" --help
  for flag in --help --version; do
    expect 74 'cannot write to standard output' bash -c '"$0" "$1" >/dev/full' "$bin/$program" "$flag"
  done
done

# ---- dqueue-cli: errors are reported before anything is sent.
cli=$bin/dqueue-cli
export DQUEUE_ENDPOINT=127.0.0.1:1
expect 2 'usage: dqueue-cli COMMAND' "$cli"
expect 2 'unknown command "enqeue"; did you mean enqueue\?' "$cli" enqeue
expect 2 '"log" needs another word' "$cli" log
expect 2 'get needs ID' "$cli" get
expect 2 'unexpected argument "b"' "$cli" get a b
expect 2 '--server: "nowhere" has no port' "$cli" stats --server nowhere
expect 2 'asks for plain text, and --tls for TLS' "$cli" stats --tls --server http://h:1
expect 2 '--ca "nowhere": No such file' "$cli" stats --ca nowhere
echo key >key && chmod 644 key
expect 2 'others than its owner have access to it \(mode 0644\)' "$cli" stats --api-key-file key
expect 2 '--output: "xml" is not one of table, json' "$cli" stats -o xml
expect 78 'DQUEUE_OUTPUT: "xml" is not one of' env DQUEUE_OUTPUT=xml "$cli" stats
expect 78 'DQUEUE_TLS: "1" is neither true nor false' env DQUEUE_TLS=1 "$cli" stats
expect 78 '--server: "h" has no port; write host:port \(DQUEUE_ENDPOINT sets --server\)' env DQUEUE_ENDPOINT=h "$cli" stats
expect 78 '--ca "nowhere": No such file or directory \(DQUEUE_CA sets --ca\)' env DQUEUE_CA=nowhere "$cli" stats
expect 2 'exclude each other' "$cli" enqueue --delay 1s --run-at 2026-01-02T03:04:05Z
expect 2 'the copies would be one job' "$cli" enqueue --id x --count 2
expect 2 'cannot read "/no/such": No such file' "$cli" enqueue --payload @/no/such
expect 2 'cannot read "/": Is a directory' "$cli" enqueue --file /
expect 2 '--file and --payload exclude' "$cli" enqueue --file /dev/null --payload x
expect 2 '/dev/null:1:1: is empty' "$cli" enqueue --file /dev/null
expect 2 'is not an RFC 3339 time' "$cli" enqueue --run-at tomorrow
expect 2 'is out of range; it must be 0 to 255' "$cli" enqueue --priority 256
head -c 1048577 /dev/zero >big
expect 2 'more than 1048576 bytes' "$cli" enqueue --payload @big
expect 2 'more than 1048576 bytes' bash -c '"$0" enqueue --payload - <big' "$cli"
printf '[{"id":"a","priority":"high"}]' >bad.json
expect 2 'bad.json:1:2: item 0: priority: must be a whole number, not a string; nothing was sent' \
  "$cli" enqueue --all-or-nothing --file bad.json
expect 2 '--token is required' "$cli" ack ID
for command in pause resume purge; do expect 2 '--queue is required' "$cli" "$command"; done
expect 2 '--state: "leased" is not one of scheduled, ready' "$cli" purge --queue q --state dead,leased
expect 2 'delete needs ID' "$cli" delete
expect 0 'dqueue-cli pause --queue mail --refuse-enqueues' "$cli" pause --help
expect 2 'is not a token' "$cli" ack ID --token 12
expect 5 'UNAVAILABLE' "$cli" stats --timeout 1500ms
expect 5 '127.0.0.1:1' "$cli" get x --timeout 1500ms
# The cause names the address, which is printed once.
expect 5 'dqueue-cli: 127.0.0.1:1: connection refused: .*CONNECTION_REFUSED\); --server ' "$cli" status
expect 3 '' "$cli" log verify /no/such
expect 0 '"version":"' "$cli" version -o json
expect 74 'cannot write to standard output' bash -c '"$0" version >/dev/full' "$cli"
expect 74 'cannot write to standard output' bash -c '"$0" completion bash >/dev/full' "$cli"
expect 0 '' bash -c '"$0" --help | head -n 1' "$cli"

# Completion.
complete_with() {
  bash -c 'source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dqueue_cli
    echo "${COMPREPLY[*]}"' "$cli" "$@"
}
expect 0 '^enqueue$' complete_with dqueue-cli enq
expect 0 '^dump verify$' complete_with dqueue-cli log ''
expect 0 '^--idempotency-key --id$|^--id --idempotency-key$' complete_with dqueue-cli enqueue --id
expect 0 '^--refuse-enqueues$' complete_with dqueue-cli pause --r
expect 0 '^table json$' complete_with dqueue-cli stats -o ''
expect 2 'is not available; bash is' "$cli" completion fish

# Commands that call no server need no key file; one of them creates it.
offline() { DQUEUE_API_KEY_FILE=/no/such "$cli" "$@"; }
expect 0 '^admin_[A-Za-z0-9]{50}$' offline key generate
expect 0 '^[0-9]+\.[0-9]+' offline version
expect 0 'complete' offline completion bash
expect 3 '/no/such: list: No such file' offline log verify /no/such
expect 78 'api-key-file "/no/such": No such file or directory \(DQUEUE_API_KEY_FILE sets' offline stats

# ---- The other programs.
expect 2 'unexpected argument "x"' "$bin/dqueue-worker" x
expect 2 'it must be 1 to 1000' "$bin/dqueue-worker" --concurrency 0
expect 2 'unknown mode "e2"; did you mean e2e\?' "$bin/dqueue-bench" e2
expect 2 'failover kills nodes' "$bin/dqueue-bench" failover --server h:1
expect 2 'is out of range; it must be 100ms to 24h' "$bin/dqueue-chaos" --duration 1ms
expect 1 '/no/such' "$bin/dqueue-chaos" --work-dir /no/such
expect 2 'is out of range; it must be 100ms to 24h' "$bin/dqueue-hostile" --duration 1ms
expect 2 'unknown attack "x"' "$bin/dqueue-hostile" --attacks x
expect 1 '/no/such' "$bin/dqueue-hostile" --work-dir /no/such
expect 0 'usage: ' "$bin/dqueue-hostile" attack --help
expect 78 'DQUEUE_CERT sets --cert' env DQUEUE_CERT=nowhere "$bin/dqueue-hostile" attack --server h:1

# ---- Environment variables. DQUEUE_ENDPOINT is set above.
expect 78 'DQUEUE_CONCURRENCY: "many" is not a whole number' env DQUEUE_CONCURRENCY=many "$bin/dqueue-worker"
expect 78 'DQUEUE_LEASE_DURATION: "5" has no unit' env DQUEUE_LEASE_DURATION=5 "$bin/dqueue-worker"
expect 78 'DQUEUE_KEY sets --key' env DQUEUE_KEY=nowhere "$bin/dqueue-worker"
expect 78 'DQUEUE_CERT sets --cert' env DQUEUE_CERT=nowhere "$bin/dqueue-bench" e2e --server h:1
expect 78 'DQUEUE_HTTP_ADDR sets --http-addr' env DQUEUE_HTTP_ADDR=8080 "$node" --id=a
# In a command of a worker these variables describe its job.
expect 2 'unexpected argument' env DQUEUE_JOB_ID=j 'DQUEUE_QUEUE=a b' "$bin/dqueue-worker" x
expect 78 'DQUEUE_QUEUE: "a b" has white space' env 'DQUEUE_QUEUE=a b' "$bin/dqueue-worker" x

# A variable that no program has is reported by each, with the nearest.
unknown='warning: unknown environment variable DQUEUE_SERVRE has no effect; did you mean DQUEUE_SERVER\?'
expect 0 "$unknown" env DQUEUE_SERVRE=h:1 "$cli" version
expect 2 "$unknown" env DQUEUE_SERVRE=h:1 "$bin/dqueue-bench" e2
expect 1 "$unknown" env DQUEUE_SERVRE=h:1 "$bin/dqueue-chaos" --work-dir /no/such
expect 137 'warn .*unknown environment variable DQUEUE_CONCURENCY has no effect; did you mean DQUEUE_CONCURRENCY\?' \
  timeout -s KILL 1 env DQUEUE_CONCURENCY=2 "$bin/dqueue-worker"
expect 137 'info .*variables of other programs have no effect here: DQUEUE_LEASE_TIMEOUT' \
  timeout -s KILL 1 env DQUEUE_LEASE_TIMEOUT=5s "$bin/dqueue-worker"
expect 74 'warn .*unknown environment variable DQUEUE_DATADIR has no effect; did you mean DQUEUE_DATA_DIR\?' \
  env DQUEUE_DATADIR=/x "$node" --id=a --data-dir=/proc/none

# No program takes a variable of another one for an unknown one (cmd/flags/variables.cc). The name
# follows the flag's.
settings=()
for program in dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos dqueue-hostile; do
  while read -r flag variable; do
    name=DQUEUE_${flag^^}
    equal "${name//-/_}" "$variable" "the variable of --$flag of $program"
    settings+=("$variable=")
  done < <("$bin/$program" --help | awk '
    match($0, /^ +(-o, )?--[a-z-]+/) { flag = substr($0, 1, RLENGTH); sub(/.*--/, "", flag) }
    match($0, /DQUEUE_[A-Z_]+\]$/) { print flag, substr($0, RSTART, RLENGTH - 1) }')
done
((${#settings[@]} > 40)) || fail "only ${#settings[@]} variables in the help of the programs"
for setting in "${settings[@]}"; do
  expect 0 '^[0-9.]+$' env -i "$setting" "$cli" version
done

# ---- Hostile text in any flag or variable. Messages are lines of printable UTF-8 and show at most
# 80 characters of a value. Names of files are shown whole.
printf -v hostile '\xff\x1b[31m\n\r\u202e\u009b%0300d' 0
# clean COMMAND…: runs the command, which must fail, and checks what it prints. With whole=1 a value
# may be longer.
clean() {
  local output code=0
  output=$("$@" 2>&1 </dev/null) || code=$?
  ((code > 0 && code < 128)) || fail "exit status $code: $*"
  [[ -n $output ]] || fail "no message: $*"
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null || fail "not UTF-8: $*"
  # C0 and C1 controls, line separators, controls of the direction.
  if LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' <<<"$output"; then
    fail "control characters: $* printed $(cat -v <<<"$output")"
  fi
  if [[ -z ${whole:-} ]] && grep -qE '0{80}' <<<"$output"; then
    fail "a value was not cut: $* printed $output"
  fi
  PASSED=$((PASSED + 1))
}
flags_of() { "$@" --help | grep -oE '^ +(-o, )?--[a-z-]+ [A-Z<|a-z]' | grep -oE -- '--[a-z-]+'; }
for flag in $(flags_of "$node"); do clean "$node" --id=a --peers=b=h:1,c=h:2 "$flag=$hostile"; done
for flag in $(flags_of "$cli"); do clean "$cli" stats --timeout 100ms "$flag=$hostile"; done
for flag in $(flags_of "$bin/dqueue-worker"); do clean "$bin/dqueue-worker" x "$flag=$hostile"; done
for flag in $(flags_of "$bin/dqueue-bench"); do clean "$bin/dqueue-bench" e2 "$flag=$hostile"; done
for flag in $(flags_of "$bin/dqueue-chaos"); do clean "$bin/dqueue-chaos" x "$flag=$hostile"; done
for flag in $(flags_of "$bin/dqueue-hostile"); do clean "$bin/dqueue-hostile" x "$flag=$hostile"; done
for flag in $(flags_of "$bin/dqueue-hostile" attack); do
  clean "$bin/dqueue-hostile" attack x "$flag=$hostile"
done
for program in dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos dqueue-hostile; do
  clean "$bin/$program" "$hostile"
  clean "$bin/$program" "--$hostile"
done
for setting in "${settings[@]}"; do
  clean env "$setting$hostile" "$node" --id=a --peers=b=h:1,c=h:2
  clean env "$setting$hostile" "$bin/dqueue-worker" x
done
clean env "DQUEUE_ID=$hostile" "$node"
clean env "DQUEUE_$hostile=1" "$cli" get x --timeout 100ms
whole=1 clean env "DQUEUE_$hostile=1" "$node" --id=a "--data-dir=/proc/$hostile"
whole=1 clean "$node" --id=a --tls-cert="$hostile" --tls-key="$hostile"
clean "$cli" enqueue --payload "@$hostile"
clean "$cli" enqueue --file "$hostile"
clean "$cli" get --timeout 100ms "$hostile"
whole=1 clean "$cli" log verify "$hostile"
printf '[{"id":"%s"}]' "$hostile" >"hostile.json"
clean "$cli" enqueue --all-or-nothing --file hostile.json
printf '[{"%s":1}]' "$hostile" >"hostile.json"
clean "$cli" enqueue --all-or-nothing --file hostile.json
finish
