# shellcheck shell=bash
# To be sourced: runs nodes on loopback as children of the script that sources it.
#
#   source cluster.sh
#   trap cluster_end EXIT
#   cluster_begin BIN 3            # a temporary directory, ports, three nodes, a leader
#   cluster_kill "$(cluster_leader)"
#   cluster_cli stats              # dqueue-cli --server with all nodes
#
# With CLUSTER_HTTP=1 set before the cluster begins, node I serves HTTP at CLUSTER_HTTP_PORTS[I].
# With CLUSTER_TLS=DIR they speak TLS: node I has DIR/nI.crt and DIR/nI.key, and DIR/ca.crt is the CA.
# Nodes are counted from 1. Only processes that were started here are ever signalled, by their id.

CLUSTER_DIR=
CLUSTER_BIN=
CLUSTER_SERVERS=
CLUSTER_PEERS=
CLUSTER_PORTS=()
CLUSTER_HTTP=
CLUSTER_HTTP_PORTS=()
CLUSTER_TLS=
CLUSTER_PIDS=()
CLUSTER_FLAGS=()

# cluster_begin BIN COUNT [FLAG…]: the flags are given to every node.
cluster_begin() {
  CLUSTER_BIN=$1
  local count=$2 i
  shift 2
  CLUSTER_FLAGS=("$@")
  CLUSTER_PORTS=() CLUSTER_HTTP_PORTS=() CLUSTER_PIDS=()
  CLUSTER_PEERS='' CLUSTER_SERVERS=''
  CLUSTER_DIR=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-cluster-XXXXXX")
  for ((i = 1; i <= count; i++)); do
    CLUSTER_PORTS[i]=$(cluster_free_port)
    [[ -z $CLUSTER_HTTP ]] || CLUSTER_HTTP_PORTS[i]=$(cluster_free_port)
    CLUSTER_PEERS+=${CLUSTER_PEERS:+,}n$i=127.0.0.1:${CLUSTER_PORTS[i]}
    CLUSTER_SERVERS+=${CLUSTER_SERVERS:+,}127.0.0.1:${CLUSTER_PORTS[i]}
  done
  for ((i = 1; i <= count; i++)); do cluster_start "$i"; done
  cluster_wait_for_leader 20 >/dev/null
}

# cluster_begin_with_keys FILE BIN COUNT [FLAG…]: the same, where only who has a key gets in. FILE is made, with an
# admin's key, which cluster_cli uses from then on.
cluster_begin_with_keys() {
  local file=$1
  shift
  (umask 077; "$1/dqueue-cli" key generate >"$file")
  export DQUEUE_API_KEY_FILE=$file
  cluster_begin "$@" --auth on --admin-key-file "$file"
  # The key is taken in by whoever leads first.
  local end=$((SECONDS + 20))
  until cluster_cli key list >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "the key of $file is not taken after 20 s" >&2
      return 1
    fi
    sleep 0.05
  done
}

# A port that nobody listens on, below those that the kernel gives to outgoing connections.
cluster_free_port() {
  local port
  while :; do
    port=$((15000 + (RANDOM << 1 ^ RANDOM) % 16000))
    [[ " ${CLUSTER_PORTS[*]} ${CLUSTER_HTTP_PORTS[*]} " == *" $port "* ]] && continue
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# cluster_start NODE
cluster_start() {
  local i=$1
  local peers=() tls=() http=off
  ((${#CLUSTER_PORTS[@]} > 1)) && peers=(--peers "$CLUSTER_PEERS")
  [[ -z $CLUSTER_HTTP ]] || http=127.0.0.1:${CLUSTER_HTTP_PORTS[i]}
  [[ -z $CLUSTER_TLS ]] || tls=(--tls-cert "$CLUSTER_TLS/n$i.crt" --tls-key "$CLUSTER_TLS/n$i.key"
    --tls-ca "$CLUSTER_TLS/ca.crt")
  "$CLUSTER_BIN/dqueue" --id "n$i" "${peers[@]}" --bootstrap --data-dir "$CLUSTER_DIR/n$i" \
    --grpc-addr "127.0.0.1:${CLUSTER_PORTS[i]}" --http-addr "$http" "${tls[@]}" "${CLUSTER_FLAGS[@]}" \
    >>"$CLUSTER_DIR/n$i.log" 2>&1 </dev/null &
  CLUSTER_PIDS[i]=$!
}

# cluster_kill NODE [SIGNAL]: KILL if none is given; waits for its end. Returns its exit status.
cluster_kill() {
  local i=$1 signal=${2:-KILL} status=0
  kill "-$signal" "${CLUSTER_PIDS[i]}"
  wait "${CLUSTER_PIDS[i]}" 2>/dev/null || status=$?
  CLUSTER_PIDS[i]=
  return "$status"
}

# cluster_cli ARGS…: with an environment, so that ARGS may begin with a command.
cluster_cli() {
  DQUEUE_ENDPOINT=$CLUSTER_SERVERS DQUEUE_CA=${CLUSTER_TLS:+$CLUSTER_TLS/ca.crt} \
    "$CLUSTER_BIN/dqueue-cli" "$@"
}

# The number of the node that leads; fails if none is known.
cluster_leader() {
  local leader
  leader=$(cluster_cli status --timeout 1s 2>/dev/null |
    awk '$3 == "leader" && $4 > term { term = $4; node = $1 } END { print substr(node, 2) }')
  [[ -n $leader ]] && echo "$leader"
}

# cluster_wait_for_leader SECONDS: prints it.
cluster_wait_for_leader() {
  local end=$((SECONDS + $1))
  until cluster_leader; do
    if ((SECONDS >= end)); then
      echo "no leader after $1 s; the nodes said last:" >&2
      tail -n 5 "$CLUSTER_DIR"/*.log >&2
      return 1
    fi
    sleep 0.05
  done
}

# Ends what was started and removes what was made. For `trap cluster_end EXIT`. The directory stays
# if the script failed and CLUSTER_KEEP is set. Returns the status that it was called with (or is given).
cluster_end() {
  local status=${1:-$?} pid
  for pid in "${CLUSTER_PIDS[@]}"; do
    [[ -n $pid ]] || continue
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if ((status != 0)) && [[ -n ${CLUSTER_KEEP:-} ]]; then
    echo "the nodes' data and logs are in $CLUSTER_DIR" >&2
  elif [[ -n $CLUSTER_DIR ]]; then
    rm -rf "$CLUSTER_DIR"
  fi
  return "$status"
}
