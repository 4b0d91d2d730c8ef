# shellcheck shell=bash
# Library: runs nodes on loopback as children of the script that sources this file.
#
#   source cluster.sh
#   trap cluster_end EXIT
#   cluster_begin BIN 3            # a temporary directory, ports, three nodes, a leader
#   cluster_kill "$(cluster_leader)"
#   cluster_cli stats              # dqueue-cli --server with all nodes
#
# Variables of the environment that begin with DQUEUE_ are unset, except DQUEUE_BIN.
#
# Set before cluster_begin:
#   CLUSTER_HTTP=1     node I serves HTTP on port CLUSTER_HTTP_PORTS[I]
#   CLUSTER_TLS=DIR    nodes use TLS: node I has DIR/nI.crt and DIR/nI.key; DIR/ca.crt is the CA
# Nodes are numbered from 1. The functions signal only processes that they started, by process id.

# Settings of the user must not change the nodes and commands of scripts.
for CLUSTER_VARIABLE in $(compgen -e DQUEUE_); do
  [[ $CLUSTER_VARIABLE == DQUEUE_BIN ]] || unset "$CLUSTER_VARIABLE"
done

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

# cluster_begin BIN COUNT [FLAG…]: starts COUNT nodes, each with these flags, and waits for a
# leader.
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

# cluster_begin_with_keys FILE BIN COUNT [FLAG…]: the same with API keys required. Writes an admin
# key to FILE. cluster_cli uses that key from then on.
cluster_begin_with_keys() {
  local file=$1
  shift
  (umask 077; "$1/dqueue-cli" key generate >"$file")
  export DQUEUE_API_KEY_FILE=$file
  cluster_begin "$@" --auth on --admin-key-file "$file"
  # The first leader adds the key to the replicated state.
  local end=$((SECONDS + 20))
  until cluster_cli key list >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "the key of $file is not accepted after 20 s" >&2
      return 1
    fi
    sleep 0.05
  done
}

# Prints an unused port below the range of the kernel's ephemeral ports.
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

# cluster_kill NODE [SIGNAL]: sends SIGNAL (default KILL) and waits until the process ends. Returns
# its exit status.
cluster_kill() {
  local i=$1 signal=${2:-KILL} status=0
  kill "-$signal" "${CLUSTER_PIDS[i]}"
  wait "${CLUSTER_PIDS[i]}" 2>/dev/null || status=$?
  CLUSTER_PIDS[i]=
  return "$status"
}

# cluster_cli ARGS…: dqueue-cli for this cluster. The servers are passed in the environment, so ARGS
# can start with a command.
cluster_cli() {
  DQUEUE_SERVER=$CLUSTER_SERVERS DQUEUE_CA=${CLUSTER_TLS:+$CLUSTER_TLS/ca.crt} \
    "$CLUSTER_BIN/dqueue-cli" "$@"
}

# Prints the number of the leader. Fails if there is none.
cluster_leader() {
  local leader
  leader=$(cluster_cli status --timeout 1s 2>/dev/null |
    awk '$3 == "leader" && $4 > term { term = $4; node = $1 } END { print substr(node, 2) }')
  [[ -n $leader ]] && echo "$leader"
}

# cluster_wait_for_leader SECONDS: waits for a leader and prints its number.
cluster_wait_for_leader() {
  local end=$((SECONDS + $1))
  until cluster_leader; do
    if ((SECONDS >= end)); then
      echo "no leader after $1 s; last log lines of the nodes:" >&2
      tail -n 5 "$CLUSTER_DIR"/*.log >&2
      return 1
    fi
    sleep 0.05
  done
}

# cluster_end [STATUS]: kills all nodes and removes their directory. For `trap cluster_end EXIT`.
# Keeps the directory if STATUS (default: the current exit status) is not 0 and CLUSTER_KEEP is set.
# Returns STATUS.
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
