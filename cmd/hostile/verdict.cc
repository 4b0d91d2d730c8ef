#include "cmd/hostile/verdict.h"

#include <algorithm>
#include <cstdio>

namespace dqueue::cmd {
namespace {

std::string Ms(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f ms" : "%.0f ms", value);
  return text;
}

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

VerdictRow AtMost(std::string what, double value, double bound) {
  return {.what = std::move(what), .value = Ms(value), .bound = Ms(bound), .ok = value <= bound};
}

VerdictRow Zero(std::string what, uint64_t value) {
  return {.what = std::move(what), .value = std::to_string(value), .bound = "0", .ok = value == 0};
}

VerdictRow Reported(std::string what, std::string value) {
  return {.what = std::move(what), .value = std::move(value), .judged = false};
}

std::string Summary(const Latencies& latencies) {
  return "p50 " + Ms(latencies.Percentile(0.5)) + ", p99 " + Ms(latencies.Percentile(0.99)) +
         ", max " + Ms(latencies.Percentile(1.0));
}

void JudgeLatencies(const Findings& findings, const Bounds& bounds, std::vector<VerdictRow>* rows) {
  const double alone = findings.alone.enqueue.Percentile(0.99);
  const double beside = findings.beside.enqueue.Percentile(0.99);
  // A call that ends in less than a millisecond may take a few: clocks and schedulers are not
  // finer.
  const double bound = std::min(bounds.enqueue_ms, bounds.enqueue_ratio * std::max(alone, 1.0));
  rows->push_back(Reported("enqueue alone", Summary(findings.alone.enqueue)));
  rows->push_back(Reported("enqueue beside", Summary(findings.beside.enqueue)));
  rows->push_back(AtMost("enqueue p99 beside", beside, bound));
  if (findings.beside.enqueue.count() == 0 || findings.alone.enqueue.count() == 0) {
    rows->push_back(Zero("phases without an enqueue", 1));
  }
  rows->push_back(Reported("delivery alone", Summary(findings.alone.delivery)));
  rows->push_back(Reported("delivery beside", Summary(findings.beside.delivery)));
  rows->push_back(Reported("complete alone", Summary(findings.alone.complete)));
  rows->push_back(Reported("complete beside", Summary(findings.beside.complete)));
  rows->push_back(AtMost("/health p99", findings.health.Percentile(0.99), bounds.health_ms));
  rows->push_back(Zero("/health without an answer", findings.health_failed));
  if (findings.health.count() == 0) rows->push_back(Zero("runs without a /health", 1));
}

void JudgeNode(const NodeFindings& node, const Bounds& bounds, std::vector<VerdictRow>* rows) {
  VerdictRow memory = {.what = node.name + ": memory", .value = MiB(node.peak_bytes)};
  memory.judged = node.limit_bytes != 0;
  memory.bound = memory.judged ? MiB(node.limit_bytes) : "";
  memory.ok = !memory.judged || node.peak_bytes <= node.limit_bytes;
  rows->push_back(memory);
  if (node.turns_known) {
    rows->push_back(AtMost(node.name + ": longest turn", node.longest_turn_ms, bounds.turn_ms));
  }
}

// Of all nodes together: the longest turns by kind, and the refused calls.
void ReportNodes(const Findings& findings, std::vector<VerdictRow>* rows) {
  std::map<std::string, double> turns;
  std::map<std::string, uint64_t> refused;
  for (const NodeFindings& node : findings.nodes) {
    for (const auto& [kind, ms] : node.turns_ms) turns[kind] = std::max(turns[kind], ms);
    for (const auto& [reason, count] : node.refused) refused[reason] += count;
  }
  for (const auto& [kind, ms] : turns)
    rows->push_back(Reported("turns: " + kind, "up to " + Ms(ms)));
  for (const auto& [reason, count] : refused) {
    rows->push_back(Reported("refused: " + reason, std::to_string(count)));
  }
}

}  // namespace

std::vector<VerdictRow> Judge(const Findings& findings, const Bounds& bounds) {
  std::vector<VerdictRow> rows;
  rows.push_back(Zero("changes of leader", findings.term_after - findings.term_before));
  JudgeLatencies(findings, bounds, &rows);
  const LedgerReport& ledger = findings.ledger;
  rows.push_back(Reported("jobs acknowledged", std::to_string(ledger.acknowledged)));
  rows.push_back(Reported("jobs completed", std::to_string(ledger.completed)));
  rows.push_back(Zero("jobs lost", ledger.lost));
  rows.push_back(Zero("jobs completed twice", ledger.outcome_twice));
  rows.push_back(Zero("other violations",
                      ledger.violation_count -
                          std::min(ledger.violation_count, ledger.lost + ledger.outcome_twice)));
  rows.push_back(Zero("enqueues refused", ledger.refused));
  rows.push_back(Zero("enqueues with unknown outcome", ledger.unknown));
  for (const NodeFindings& node : findings.nodes) JudgeNode(node, bounds, &rows);
  ReportNodes(findings, &rows);
  for (const std::string& problem : findings.problems) {
    rows.push_back({.what = "problem", .value = problem, .bound = "none", .ok = false});
  }
  return rows;
}

bool Passed(const std::vector<VerdictRow>& rows) {
  return std::all_of(rows.begin(), rows.end(), [](const VerdictRow& row) { return row.ok; });
}

}  // namespace dqueue::cmd
