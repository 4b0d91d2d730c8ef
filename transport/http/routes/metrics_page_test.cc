#include "transport/http/routes/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "transport/http/routes/exposition.h"

namespace dqueue::transport {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ExpositionTest, EscapesWhatWouldBreakALine) {
  Exposition out;
  out.Family("f", Exposition::Type::kGauge, "one\nline \\ \"quoted\"");
  out.Sample(uint64_t{7}, {{"a", "x\ny\\z\"w"}, {"b", ""}});
  out.Sample(0.5);
  EXPECT_EQ(out.Take(),
            "# HELP f one\\nline \\\\ \"quoted\"\n"
            "# TYPE f gauge\n"
            "f{a=\"x\\ny\\\\z\\\"w\",b=\"\"} 7\n"
            "f 0.5\n");
}

TEST(ExpositionTest, BucketsAddUp) {
  Histogram histogram;
  for (const int us : {50, 100, 101, 200000, 400000000}) {
    histogram.Observe(std::chrono::microseconds(us));
  }
  Exposition out;
  out.Family("t_seconds", Exposition::Type::kHistogram, "Times.");
  out.Sample(histogram);
  const std::string text = out.Take();
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"1e-04\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"0.00025\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"0.1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"0.25\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"300\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"+Inf\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_sum 400.200251\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_count 5\n"));
}

TEST(MetricsPageTest, MemoryByKind) {
  node::NodeMetrics node;
  node.memory.state = {
      .live = 1, .finished = 2, .dead = 3, .ids = 4, .names = 5, .image = 6, .spare = 7};
  node.memory.log = 8;
  node.memory.calls = 9;
  node.memory.resident = 100;
  node.memory.limit = 1000;
  node.view.raft.low_memory = true;
  node.view.broker.trimmed_dead = 12;
  const std::string page = MetricsPage(node, {});
  for (const char* line :
       {"dqueue_memory_bytes{kind=\"jobs\"} 1\n", "dqueue_memory_bytes{kind=\"finished\"} 2\n",
        "dqueue_memory_bytes{kind=\"dead\"} 3\n", "dqueue_memory_bytes{kind=\"ids\"} 4\n",
        "dqueue_memory_bytes{kind=\"names\"} 5\n", "dqueue_memory_bytes{kind=\"snapshot\"} 6\n",
        "dqueue_memory_bytes{kind=\"spare\"} 7\n", "dqueue_memory_bytes{kind=\"log\"} 8\n",
        "dqueue_memory_bytes{kind=\"calls\"} 9\n", "dqueue_memory_bytes{kind=\"other\"} 55\n",
        "dqueue_memory_limit_bytes 1000\n", "dqueue_memory_low 1\n",
        "dqueue_trimmed_total{kind=\"dead\"} 12\n"}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
  node.memory.resident = 0;
  EXPECT_THAT(MetricsPage(node, {}), HasSubstr("dqueue_memory_bytes{kind=\"other\"} 0\n"));
}

node::NodeMetrics WithQueues(int queues) {
  node::NodeMetrics node;
  node.view.name = "n1";
  for (int i = 0; i < queues; ++i) {
    v1::QueueStats& queue = node.queues.queues.emplace_back();
    queue.set_queue("q" + std::to_string(i));
    queue.set_enqueued(10);
    queue.set_ready(3);
    queue.set_paused(i == 1);
    queue.mutable_oldest_ready_age()->set_seconds(1);
    queue.mutable_oldest_ready_age()->set_nanos(500000000);
  }
  node.queues.queue_count = static_cast<uint64_t>(queues);
  return node;
}

TEST(MetricsPageTest, ShowsEachQueue) {
  const std::string page = MetricsPage(WithQueues(2), ProcessMetrics());
  EXPECT_THAT(page, HasSubstr("\ndqueue_jobs_enqueued_total{queue=\"q1\"} 10\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queue_depth{queue=\"q0\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queue_oldest_ready_age_seconds{queue=\"q0\"} 1.5\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queue_paused{queue=\"q0\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queue_paused{queue=\"q1\"} 1\n"));
  EXPECT_THAT(page, Not(HasSubstr("\"_other\"")));
}

TEST(MetricsPageTest, ShowsWhichCallsWereTurnedAway) {
  ProcessMetrics process;
  process.rejections[3][1] = 7;
  const std::string page = MetricsPage(WithQueues(1), process);
  EXPECT_THAT(
      page,
      HasSubstr("\ndqueue_calls_rejected_total{kind=\"listings\",reason=\"caller_share\"} 7\n"));
  EXPECT_THAT(page,
              HasSubstr("\ndqueue_calls_rejected_total{kind=\"leases\",reason=\"full\"} 0\n"));
}

TEST(MetricsPageTest, SaysHowManyQueuesItDoesNotName) {
  node::NodeMetrics node = WithQueues(2);
  node.queues.queue_count = 7;
  node.queues.other.set_enqueued(50);
  node.queues.other.set_ready(15);
  node.forgotten_queues = 9;
  node.used_request_ids.count = 11;
  node.state_level = 1;
  node.clock_offset_ms = -1500;
  const std::string page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page, HasSubstr("\ndqueue_jobs_enqueued_total{queue=\"q1\"} 10\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_jobs_enqueued_total{queue=\"_other\"} 50\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queue_depth{queue=\"_other\"} 15\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queues 7\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queues_unnamed 5\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_queues_forgotten_total 9\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_remembered_requests 11\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_state_level 1\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_clock_offset_seconds -1.5\n"));
}

TEST(MetricsPageTest, TimesAreByQueueAndWithoutALeadershipThereAreNone) {
  node::NodeMetrics node = WithQueues(0);
  EXPECT_THAT(MetricsPage(node, ProcessMetrics()), Not(HasSubstr("dqueue_job_wait_seconds_count")));
  using std::chrono::milliseconds;
  const uint32_t mail = node.times.Number("mail");
  node.times.Dispatched(mail, milliseconds(1500));
  node.times.Ended(mail, queue::AttemptEnd::kCompleted, milliseconds(20));
  node.times.Ended(mail, queue::AttemptEnd::kExpired, std::nullopt);
  std::string page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page, HasSubstr("\ndqueue_jobs_dispatched_total{queue=\"mail\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_job_wait_seconds_bucket{queue=\"mail\",le=\"1\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_job_wait_seconds_bucket{queue=\"mail\",le=\"2.5\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_job_duration_seconds_sum{queue=\"mail\"} 0.02\n"));
  EXPECT_THAT(page,
              HasSubstr("\ndqueue_job_attempts_total{queue=\"mail\",outcome=\"completed\"} 1\n"));
  EXPECT_THAT(page,
              HasSubstr("\ndqueue_job_attempts_total{queue=\"mail\",outcome=\"rejected\"} 0\n"));
  EXPECT_THAT(page,
              HasSubstr("\ndqueue_job_attempts_total{queue=\"mail\",outcome=\"expired\"} 1\n"));
  EXPECT_THAT(page, Not(HasSubstr("\"_other\"")));
  node.times.Dispatched(0, milliseconds(1));
  page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page, HasSubstr("\ndqueue_jobs_dispatched_total{queue=\"_other\"} 1\n"));
}

TEST(MetricsPageTest, TurnsAreByKind) {
  Time now{};
  node::TurnMeter meter([&now] { return now; });
  {
    const node::TurnMeter::Span turn(&meter, node::TurnPart::kTurn);
    const node::TurnMeter::Span part(&meter, node::TurnPart::kApply);
    now += std::chrono::milliseconds(3);
  }
  { const node::TurnMeter::Span nothing(&meter, node::TurnPart::kReads); }
  node::NodeMetrics node;
  node.turns = meter.times();
  const std::string page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page,
              HasSubstr("\ndqueue_loop_turn_seconds_bucket{kind=\"turn\",le=\"0.0025\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_loop_turn_seconds_bucket{kind=\"turn\",le=\"0.005\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_loop_turn_seconds_count{kind=\"apply\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_loop_turn_seconds_count{kind=\"reads\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_loop_longest_turn_seconds 0.003\n"));
}

TEST(MetricsPageTest, RecoveryIsTimedWhenItIsOver) {
  node::NodeMetrics node = WithQueues(0);
  EXPECT_THAT(MetricsPage(node, ProcessMetrics()),
              Not(HasSubstr("dqueue_recovery_duration_seconds")));
  node.recovery_time = std::chrono::milliseconds(250);
  EXPECT_THAT(MetricsPage(node, ProcessMetrics()),
              HasSubstr("\ndqueue_recovery_duration_seconds 0.25\n"));
}

TEST(MetricsPageTest, ShowsRefusalsByReason) {
  node::NodeMetrics node = WithQueues(0);
  node.view.raft.refused_messages = {7, 0, 0, 9};
  node.snapshots_damaged = 2;
  node.snapshots_refused = 3;
  std::string page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page,
              HasSubstr("\ndqueue_peer_messages_refused_total{reason=\"other_cluster\"} 7\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_peer_messages_refused_total{reason=\"not_member\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_peer_messages_refused_total{reason=\"went_back\"} 9\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_node_excluded 0\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_snapshot_faults_total{kind=\"damaged\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_snapshot_faults_total{kind=\"refused\"} 3\n"));
  node.view.excluded = "why";
  page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page, HasSubstr("\ndqueue_node_excluded 1\n"));
}

TEST(MetricsPageTest, ALeaderShowsItsPeers) {
  node::NodeMetrics node = WithQueues(0);
  raft::View& raft = node.view.raft;
  raft.status.role = raft::Role::kLeader;
  raft.last_index = raft::Index(100);
  for (const char* name : {"n1", "n2"}) {
    raft::Member member;
    member.id = raft::NodeIdOf(name);
    member.name = name;
    raft.config.voters.push_back(member);
    raft::MemberView view;
    view.id = member.id;
    view.match = raft::Index(90);
    view.reachable = true;
    raft.members.push_back(view);
  }
  std::sort(raft.config.voters.begin(), raft.config.voters.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.id < b.id; });
  const std::string page = MetricsPage(node, ProcessMetrics());
  EXPECT_THAT(page, HasSubstr("\ndqueue_raft_is_leader 1\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_raft_peer_lag_entries{peer=\"n2\"} 10\n"));
  EXPECT_THAT(page, HasSubstr("\ndqueue_raft_peer_reachable{peer=\"n2\"} 1\n"));
  EXPECT_THAT(page, Not(HasSubstr("{peer=\"n1\"}")));
}

TEST(MetricsPageTest, TheProcessIsMeasured) {
  const ProcessMetrics process = ReadProcessMetrics();
  const double now = static_cast<double>(::time(nullptr));
  EXPECT_GT(process.start_time_seconds, now - 3600);
  EXPECT_LE(process.start_time_seconds, now + 2);
  EXPECT_GT(process.resident_bytes, 1u << 20);
  EXPECT_GE(process.open_descriptors, 3u);
  EXPECT_GT(process.max_descriptors, process.open_descriptors);
  EXPECT_GE(process.cpu_seconds, 0);
}

}  // namespace
}  // namespace dqueue::transport
