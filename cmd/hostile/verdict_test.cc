// Each bound that is exceeded must fail the run.
#include "cmd/hostile/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dqueue::cmd {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;

void AddMany(Latencies* latencies, int ms) {
  for (int i = 0; i < 100; ++i) latencies->Add(milliseconds(ms));
}

Findings Good() {
  Findings findings;
  findings.term_before = findings.term_after = 3;
  AddMany(&findings.alone.enqueue, 20);
  AddMany(&findings.beside.enqueue, 80);
  AddMany(&findings.health, 50);
  findings.ledger.acknowledged = findings.ledger.completed = 10;
  NodeFindings node;
  node.name = "n1";
  node.peak_bytes = node.limit_bytes = uint64_t{100} << 20;
  node.turns_known = true;
  node.longest_turn_ms = 10;
  findings.nodes.push_back(node);
  return findings;
}

std::vector<std::string> Exceeded(const Findings& findings) {
  const std::vector<VerdictRow> rows = Judge(findings, Bounds());
  std::vector<std::string> what;
  for (const VerdictRow& row : rows) {
    if (!row.ok) what.push_back(row.what);
  }
  EXPECT_EQ(Passed(rows), what.empty());
  return what;
}

TEST(Verdict, EverythingAtItsBound) { EXPECT_THAT(Exceeded(Good()), IsEmpty()); }

TEST(Verdict, Leader) {
  Findings findings = Good();
  findings.term_after = 4;
  EXPECT_THAT(Exceeded(findings), ElementsAre("changes of leader"));
}

TEST(Verdict, EnqueueP99ByRatioAndByLimit) {
  Findings findings = Good();
  findings.beside.enqueue = {};
  AddMany(&findings.beside.enqueue, 81);
  EXPECT_THAT(Exceeded(findings), ElementsAre("enqueue p99 beside"));
  findings.alone.enqueue = findings.beside.enqueue = {};
  AddMany(&findings.alone.enqueue, 100);
  AddMany(&findings.beside.enqueue, 251);
  EXPECT_THAT(Exceeded(findings), ElementsAre("enqueue p99 beside"));
}

TEST(Verdict, NothingMeasured) {
  Findings findings = Good();
  findings.beside.enqueue = {};
  findings.health = {};
  EXPECT_THAT(Exceeded(findings),
              ElementsAre("phases without an enqueue", "runs without a /health"));
}

TEST(Verdict, Health) {
  Findings findings = Good();
  findings.health_failed = 1;
  EXPECT_THAT(Exceeded(findings), ElementsAre("/health without an answer"));
  findings.health_failed = 0;
  findings.health = {};
  AddMany(&findings.health, 51);
  EXPECT_THAT(Exceeded(findings), ElementsAre("/health p99"));
}

TEST(Verdict, Jobs) {
  Findings findings = Good();
  findings.ledger.lost = 1;
  findings.ledger.violation_count = 1;
  EXPECT_THAT(Exceeded(findings), ElementsAre("jobs lost"));
  findings.ledger.lost = 0;
  findings.ledger.outcome_twice = 1;
  EXPECT_THAT(Exceeded(findings), ElementsAre("jobs completed twice"));
  findings.ledger.violation_count = 2;
  EXPECT_THAT(Exceeded(findings), ElementsAre("jobs completed twice", "other violations"));
  findings = Good();
  findings.ledger.refused = 1;
  findings.ledger.unknown = 1;
  EXPECT_THAT(Exceeded(findings), ElementsAre("enqueues refused", "enqueues with unknown outcome"));
}

TEST(Verdict, Nodes) {
  Findings findings = Good();
  findings.nodes[0].peak_bytes += 1;
  findings.nodes[0].longest_turn_ms = 10.1;
  EXPECT_THAT(Exceeded(findings), ElementsAre("n1: memory", "n1: longest turn"));
  // A node that reports no limit and no turns is not judged by them.
  findings.nodes[0].limit_bytes = 0;
  findings.nodes[0].turns_known = false;
  EXPECT_THAT(Exceeded(findings), IsEmpty());
}

TEST(Verdict, TurnsAndRefusalsOfAllNodesAreReported) {
  Findings findings = Good();
  findings.nodes.push_back(findings.nodes[0]);
  findings.nodes[0].turns_ms = {{"apply", 2}};
  findings.nodes[1].turns_ms = {{"apply", 1}};
  findings.nodes[0].refused = {{"reads full", 3}};
  findings.nodes[1].refused = {{"reads full", 4}};
  std::vector<std::string> lines;
  for (const VerdictRow& row : Judge(findings, Bounds())) {
    if (!row.judged) lines.push_back(row.what + "=" + row.value);
  }
  EXPECT_THAT(lines, IsSupersetOf({"turns: apply=up to 2.00 ms", "refused: reads full=7"}));
}

TEST(Verdict, Problems) {
  Findings findings = Good();
  findings.problems = {"a node ended"};
  EXPECT_THAT(Exceeded(findings), ElementsAre("problem"));
}

}  // namespace
}  // namespace dqueue::cmd
