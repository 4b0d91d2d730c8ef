// Tests of the simulator's parts, and of its determinism.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/checkers/job_model.h"
#include "sim/clock.h"
#include "sim/event_queue.h"
#include "sim/mutants.h"
#include "sim/profile.h"
#include "sim/random_stream.h"
#include "sim/seed_pool.h"
#include "sim/simulation.h"
#include "sim/trace.h"
#include "storage/log/mutants.h"

namespace dqueue::sim {
namespace {

TEST(RandomTest, StreamsAreIndependent) {
  RandomStream a(1, "network"), again(1, "network"), b(1, "disk"), c(2, "network");
  const uint64_t first = a.Next();
  EXPECT_EQ(first, again.Next());
  EXPECT_NE(first, b.Next());
  EXPECT_NE(first, c.Next());
}

TEST(RandomTest, StaysWithinItsBounds) {
  RandomStream random(3, "bounds");
  bool low = false, high = false;
  for (int i = 0; i < 2000; ++i) {
    const int64_t x = random.Between(-2, 2);
    ASSERT_GE(x, -2);
    ASSERT_LE(x, 2);
    low |= x == -2;
    high |= x == 2;
    ASSERT_LE(random.Exponential(1ms), 20ms);
    ASSERT_FALSE(random.Chance(0));
    ASSERT_TRUE(random.Chance(1));
  }
  EXPECT_TRUE(low && high);
}

TEST(NodeClockTest, TrueTimeIsTheFirstAtWhichTheLocalTimeIsReached) {
  for (const int ppm : {-50000, -1, 0, 3, 50000}) {
    NodeClock clock;
    clock.Restart(Time(7s), Time(100s));
    clock.SetDrift(Time(7s), ppm);
    for (const Duration d : {0us, 1us, 999us, 12345678us, 3600000000us}) {
      const Time local = Time(100s) + d;
      const Time at = clock.TrueTime(local);
      EXPECT_GE(clock.Local(at), local) << ppm;
      if (d > 0us) {
        EXPECT_LT(clock.Local(at - 1us), local) << ppm;
      }
    }
  }
}

TEST(NodeClockTest, WallJumpsDoNotTouchTheMonotonicClock) {
  NodeClock clock;
  const int64_t before = clock.WallMs(Time(1s));
  clock.JumpWall(-10s);
  EXPECT_EQ(clock.WallMs(Time(1s)), before - 10000);
  EXPECT_EQ(clock.Local(Time(1s)), Time(1s));
}

TEST(EventQueueTest, ByTimeAndThenInOrder) {
  EventQueue queue;
  std::string order;
  for (const char c : {'c', 'd'}) queue.AddClosure(Time(2s), [&order, c] { order += c; });
  for (const char c : {'a', 'b'}) queue.AddClosure(Time(1s), [&order, c] { order += c; });
  while (!queue.empty()) queue.TakeClosure(queue.Pop().id)();
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(queue.now(), Time(2s));
}

TEST(TraceTest, FormatsEvents) {
  raft::Message append;
  append.term = raft::Term(2);
  raft::AppendRequest request;
  request.prev_index = raft::Index(2);
  request.prev_term = raft::Term(1);
  request.commit = raft::Index(2);
  request.entries.resize(3);
  append.body = request;
  Trace trace(false);
  trace.AddMessage(Time(1234567us), 1, 2, append);
  raft::AppendResponse refused;
  refused.rejected_prev = raft::Index(9);
  refused.hint_index = raft::Index(4);
  refused.hint_term = raft::Term(1);
  append.body = refused;
  trace.AddMessage(Time(2s), 2, 1, append);
  trace.Add({.at = Time(3s), .kind = TraceKind::kGrant, .node = 1, .a = 7, .b = 2, .c = 5});
  trace.Add({.at = Time(3s),
             .kind = TraceKind::kCall,
             .node = 3,
             .sub = 2,
             .a = 11,
             .b = 4,
             .c = 7,
             .d = uint64_t{2} << 32 | 5});
  trace.Add({.at = Time(4s), .kind = TraceKind::kLink, .node = 1, .peer = 2});
  trace.Add({.at = Time(5s), .kind = TraceKind::kDown, .node = 2, .text = "killed"});
  EXPECT_EQ(trace.Tail(100),
            "[  1.234567] n2 > append 3..5 prev 2^1 commit 2 [term 2] from n1\n"
            "[  2.000000] n1 > append refused, prev 9 hint 4^1 [term 2] from n2\n"
            "[  3.000000] n1 grants j7 token 2.5\n"
            "[  3.000000] n3 ? complete #11 of c4 j7 token 2.5\n"
            "[  4.000000] n1 -> n2 cut\n"
            "[  5.000000] n2 down: killed\n");
  EXPECT_EQ(trace.Tail(1), "[  5.000000] n2 down: killed\n");
}

TEST(TraceTest, KeepsTheNewestAndHashesAll) {
  Trace a(false), b(false);
  for (uint64_t i = 0; i < 10000; ++i) {
    a.Add({.kind = TraceKind::kNote, .a = i + 1, .text = "x"});
    b.Add({.kind = TraceKind::kNote, .a = i == 5 ? 77 : i + 1, .text = "x"});
  }
  EXPECT_EQ(a.Tail(2), "[  0.000000] x 9999\n[  0.000000] x 10000\n");
  EXPECT_EQ(a.events(), 10000u);
  EXPECT_NE(a.hash(), b.hash()) << "the event that differs is no longer in the ring";
}

TEST(SeedsTest, ValidAndInvalidRanges) {
  EXPECT_EQ(ParseSeeds("7")->last, 7u);
  EXPECT_EQ(ParseSeeds("1..500")->first, 1u);
  EXPECT_EQ(ParseSeeds("1..500")->last, 500u);
  for (const char* bad : {"", "x", "1..", "..3", "5..4", "1-3", "1..2..3", "-1", "1 "}) {
    EXPECT_FALSE(ParseSeeds(bad).has_value()) << bad;
  }
}

TEST(ProfileTest, EveryDrawIsValid) {
  for (const std::string_view name : ProfileNames()) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      Profile profile = *MakeProfile(name, seed);
      profile.node.name = "n1";
      profile.node.data_dir = "/data";
      EXPECT_EQ(profile.node.Problem(), "") << name << " " << seed;
      EXPECT_EQ(profile.Summary(), MakeProfile(name, seed)->Summary());
    }
  }
  EXPECT_FALSE(MakeProfile("none such", 1).has_value());
}

TEST(MutantsTest, NamesAreUniqueAndThisProgramHasNoMutants) {
  for (const Mutant* const mutant : AllMutants()) {
    EXPECT_EQ(FindMutant(mutant->name), mutant);
  }
  EXPECT_EQ(FindMutant("kNone"), nullptr);
  EXPECT_FALSE(Activate(&storage::mutants::kSyncSkipped));
}

// ---- The model of the jobs

class JobModelTest : public testing::Test {
 protected:
  log::v1::Command* Add() { return batch_.add_commands(); }
  log::v1::Enqueue::Job* AddJob(const std::string& id, uint64_t number) {
    log::v1::Enqueue::Job* job = Add()->mutable_enqueue()->add_jobs();
    job->set_id(id);
    job->set_queue("q");
    job->set_payload(std::to_string(number) + ":");
    job->set_max_retries(1);
    job->set_max_expirations(1);
    job->set_retention_ms(1000);
    return job;
  }
  template <class C>
  static void Set(C* command, const std::string& id, uint64_t sequence) {
    command->set_id(id);
    command->mutable_token()->set_term(1);
    command->mutable_token()->set_sequence(sequence);
  }
  void Apply(int64_t time_ms) {
    batch_.set_time_ms(time_ms);
    model_.Apply(raft::Index(++index_), batch_);
    batch_.Clear();
  }
  std::string Show(const std::string& id) const {
    const ModelJob* job = model_.Find(id);
    if (job == nullptr) return "none";
    if (job->now.gone) return "gone";
    return v1::JobState_Name(job->now.state).substr(10) + " " + std::to_string(job->now.delivered) +
           "/" + std::to_string(job->now.failed) + "/" + std::to_string(job->now.expired);
  }

  JobModel model_{queue::BrokerOptions()};
  log::v1::CommandBatch batch_;
  uint64_t index_ = 0;
};

TEST_F(JobModelTest, FailureExpiryAndLateCompletion) {
  AddJob("a", 1)->set_run_time_ms(150);
  Apply(100);
  EXPECT_EQ(Show("a"), "SCHEDULED 0/0/0");
  Apply(150);
  EXPECT_EQ(Show("a"), "READY 0/0/0");
  Set(Add()->mutable_fail(), "a", 1);
  Apply(160);
  EXPECT_EQ(Show("a"), "READY 1/1/0");
  Set(Add()->mutable_complete(), "a", 1);
  Apply(170);
  EXPECT_EQ(Show("a"), "READY 1/1/0") << "this lease already ended by a failure";
  Set(Add()->mutable_expire(), "a", 2);
  Apply(180);
  EXPECT_EQ(Show("a"), "READY 2/1/1");
  Set(Add()->mutable_complete(), "a", 2);
  Apply(190);
  EXPECT_EQ(Show("a"), "SUCCEEDED 2/1/1") << "a late completion counts";
  EXPECT_TRUE(model_.Ended(*model_.Find("a"), {1, 2}, LeaseEnd::kExpired, raft::Index(index_)));
  EXPECT_TRUE(model_.Ended(*model_.Find("a"), {1, 2}, LeaseEnd::kCompleted, raft::Index(index_)));
  EXPECT_FALSE(model_.Ended(*model_.Find("a"), {1, 2}, LeaseEnd::kCompleted, raft::Index(5)));
  Apply(1190);
  EXPECT_EQ(Show("a"), "gone");
  EXPECT_EQ(model_.FindAt("a", raft::Index(2))->At(raft::Index(2))->state, v1::JOB_STATE_READY);
  EXPECT_EQ(model_.FindAt("a", raft::Index(index_)), nullptr);
  EXPECT_EQ(model_.queues().at("q").purged, 1u);
}

TEST_F(JobModelTest, DeathAndRetry) {
  AddJob("a", 1);
  Apply(100);
  for (uint64_t i = 1; i <= 2; ++i) {
    Set(Add()->mutable_fail(), "a", i);
    Apply(100);
  }
  EXPECT_EQ(Show("a"), "DEAD 2/2/0");
  Add()->mutable_retry()->set_id("a");
  Apply(100);
  EXPECT_EQ(Show("a"), "READY 2/0/0");
  Add()->mutable_cancel()->set_id("a");
  Apply(100);
  EXPECT_EQ(Show("a"), "CANCELLED 2/0/0");
  EXPECT_THAT(model_.live(), testing::IsEmpty());
}

TEST_F(JobModelTest, RepetitionsAndConflicts) {
  AddJob("a", 1)->set_idempotency_key("k");
  batch_.mutable_commands(0)->mutable_enqueue()->mutable_jobs(0)->set_idempotency_window_ms(500);
  Apply(100);
  AddJob("a", 1);                            // the same job
  AddJob("a", 2);                            // another job with the same id
  AddJob("b", 3)->set_idempotency_key("k");  // another job with the same idempotency key
  Apply(200);
  EXPECT_THAT(model_.jobs(), testing::SizeIs(1));
  AddJob("b", 3)->set_idempotency_key("k");  // the window of the key has ended
  Apply(600);
  EXPECT_EQ(Show("b"), "READY 0/0/0");
  log::v1::Command* both = Add();  // all or nothing
  for (const auto& [id, number] : {std::pair("c", 4), std::pair("a", 5)}) {
    log::v1::Enqueue::Job* job = both->mutable_enqueue()->add_jobs();
    job->set_id(id);
    job->set_queue("q");
    job->set_payload(std::to_string(number) + ":");
  }
  Apply(700);
  EXPECT_EQ(Show("c"), "none");
}

TEST(PayloadTest, Numbers) {
  EXPECT_EQ(JobNumberOf("12:abc"), 12u);
  for (const char* bad : {"", "12", ":", "x:", "-1:"}) EXPECT_EQ(JobNumberOf(bad), UINT64_MAX);
}

// ---- Whole runs

TEST(SimulationTest, ASeedAlwaysRunsTheSame) {
  for (const uint64_t seed : {3, 11}) {
    const RunReport a = RunSeed(seed, {});
    const RunReport b = RunSeed(seed, {});
    EXPECT_EQ(a.trace_hash, b.trace_hash) << seed;
    EXPECT_EQ(a.simulated, b.simulated);
    EXPECT_FALSE(a.violation.has_value()) << a.violation->text;
    EXPECT_GT(a.acknowledged, 0u);
  }
  EXPECT_NE(RunSeed(3, {}).trace_hash, RunSeed(4, {}).trace_hash);
}

TEST(SimulationTest, SeveralProcessesRunTheSameAsOne) {
  PoolOptions options;
  options.seeds = {1, 6};
  const PoolResult one = RunSeeds(options, nullptr);
  options.jobs = 3;
  const PoolResult three = RunSeeds(options, nullptr);
  EXPECT_EQ(one.seeds, 6u);
  EXPECT_EQ(one.trace_hash, three.trace_hash);
  EXPECT_EQ(one.simulated, three.simulated);
}

}  // namespace
}  // namespace dqueue::sim
