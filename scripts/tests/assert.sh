# shellcheck shell=bash
# Library of assertions for the tests over real processes. The first failed assertion ends the test.

PASSED=0

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# expect STATUS REGEX COMMAND…: checks the exit status, and that standard output and standard error
# together match the regex. An empty regex matches everything.
expect() {
  local status=$1 regex=$2 output code=0
  shift 2
  output=$("$@" 2>&1 </dev/null) || code=$?
  if ((code == status)) && [[ $output =~ $regex ]]; then
    PASSED=$((PASSED + 1))
    return
  fi
  printf '%s\n' "$output" >&2
  ((code == status)) || fail "exit status $code, not $status, of: $*"
  fail "the output does not match '$regex': $*"
}

# equal WANT GOT WHAT
equal() {
  [[ $1 == "$2" ]] || fail "$3: wanted '$1', got '$2'"
  PASSED=$((PASSED + 1))
}

# eventually SECONDS COMMAND…: repeats the command until it succeeds.
eventually() {
  local limit=$1 end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "no success after $limit s: $*"
    sleep 0.05
  done
  PASSED=$((PASSED + 1))
}

# count COLUMN: prints a column of the total line of `dqueue-cli stats`, by its title.
count() {
  cluster_cli stats | awk -v title="$1" '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == title) column = i }
    $1 == "(total)" { print $column }'
}

# Checks that the counts of all states add up to the number of jobs ever enqueued.
expect_sum() {
  local sum
  sum=$(cluster_cli stats | awk '$1 == "(total)" { print $2 + $3 + $4 + $5 + $6 + $7 + $8 - $9 }')
  equal 0 "$sum" "sum of the states minus enqueued"
}

# sanitized BIN: prints the library of the sanitizer that the programs are built with (libasan or
# libtsan), or nothing. The thread sanitizer slows some tests down a lot; they then do less.
sanitized() {
  readelf -dW "$1/dqueue" | grep -oE 'lib[at]san' || true
}

finish() {
  echo "passed: $PASSED checks"
}
