// The judgement of a run: what was measured, beside its bound.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cmd/cluster/checked_load.h"
#include "cmd/cluster/job_ledger.h"
#include "cmd/cluster/latencies.h"

namespace dqueue::cmd {

struct Bounds {
  double enqueue_ratio = 4;  // p99 of enqueues beside the attackers, to that of the load alone
  double enqueue_ms = 250;   // the same p99
  double health_ms = 50;     // p99 of /health
  double turn_ms = 10;       // longest turn of a node's loop
};

struct NodeFindings {
  std::string name{};
  uint64_t peak_bytes = 0;
  uint64_t limit_bytes = 0;  // 0: the node reports none
  bool turns_known = false;
  double longest_turn_ms = 0;
  std::map<std::string, double> turns_ms;   // by kind: the longest, up to a bucket's bound
  std::map<std::string, uint64_t> refused;  // by kind and reason
};

struct Findings {
  uint64_t term_before = 0, term_after = 0;
  LoadLatencies alone, beside;
  Latencies health;
  uint64_t health_failed = 0;  // no answer within a second, or not 200
  LedgerReport ledger;
  std::vector<NodeFindings> nodes;
  std::vector<std::string> problems;  // anything else that makes the run a failure
};

struct VerdictRow {
  std::string what{}, value{}, bound{};
  bool judged = true;  // false: reported only
  bool ok = true;
};

// One row for each bound, and for each finding that is only reported.
std::vector<VerdictRow> Judge(const Findings& findings, const Bounds& bounds);
// Every judged row is OK, and nothing else went wrong.
bool Passed(const std::vector<VerdictRow>& rows);

}  // namespace dqueue::cmd
