// Compares the state machine with the plain model and with another replica, over random histories.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"
#include "queue/state/testing/queue_model.h"
#include "queue/state/testing/workload.h"

namespace dqueue::queue {
namespace {

using google::protobuf::util::MessageDifferencer;

std::string Text(const CommandResult& result) {
  std::string text = std::to_string(static_cast<int>(result.code)) + " " +
                     v1::JobState_Name(result.state) + " " + std::to_string(result.failed_item) +
                     " " + result.existing_id;
  for (const auto& [item, id] : result.existing) text += " " + std::to_string(item) + "=" + id;
  if (result.key != nullptr) text += " " + ToProto(*result.key).ShortDebugString();
  return text;
}

size_t HoldsEnded(const Effects& effects) {
  return static_cast<size_t>(std::count_if(
      effects.events.begin(), effects.events.end(),
      [](const StateEvent& event) { return std::holds_alternative<HoldEnded>(event); }));
}

void CompareAll(const StateMachine& machine, const QueueModel& model) {
  ASSERT_EQ(machine.job_count(), model.jobs().size());
  for (const auto& [id, expected] : model.jobs()) {
    const JobRef ref = machine.Find(id);
    ASSERT_NE(ref, JobRef{}) << id;
    v1::Job job;
    machine.FillJob(ref, true, &job);
    machine.FillAttempts(ref, &job);
    const v1::Job shown = model.Shown(expected);
    ASSERT_TRUE(MessageDifferencer::Equals(job, shown))
        << "is " << job.DebugString() << "should be " << shown.DebugString();
    const JobView view = machine.View(ref);
    ASSERT_EQ(view.held, expected.held) << id;
    ASSERT_EQ(view.last_token, expected.last_token) << id;
    ASSERT_EQ(view.failed, static_cast<uint32_t>(expected.failed));
    ASSERT_EQ(view.expired, static_cast<uint32_t>(expected.expired));
  }
}

void CompareKeys(const StateMachine& machine, const QueueModel& model) {
  v1::ListKeysResponse shown;
  ASSERT_TRUE(machine.ListKeys({.revoked = true}, &shown).ok());
  std::vector<const KeyRecord*> expected;
  for (const auto& [id, key] : model.api_keys()) expected.push_back(&key);
  std::stable_sort(expected.begin(), expected.end(), [](const auto* a, const auto* b) {
    return a->create_time_ms < b->create_time_ms;
  });
  ASSERT_EQ(static_cast<size_t>(shown.keys_size()), expected.size());
  const KeyTablePtr table = machine.api_keys();
  ASSERT_EQ(table->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(MessageDifferencer::Equals(shown.keys(static_cast<int>(i)), ToProto(*expected[i])))
        << shown.keys(static_cast<int>(i)).DebugString();
    const KeyRecord* const key = table->Find(expected[i]->id);
    ASSERT_NE(key, nullptr);
    ASSERT_EQ(key->digest, expected[i]->digest);
    ASSERT_EQ(key->revoked(), expected[i]->revoked());
  }
}

void CompareStats(const StateMachine& machine, const QueueModel& model) {
  v1::GetStatsResponse all;
  ASSERT_TRUE(machine.Stats("", &all).ok());
  ASSERT_EQ(static_cast<size_t>(all.queues_size()), model.events().size());
  uint64_t enqueued = model.forgotten_enqueued();
  int at = 0;
  for (const auto& [name, events] : model.events()) {
    const v1::QueueStats expected = model.StatsOf(name);
    v1::GetStatsResponse one;
    ASSERT_TRUE(machine.Stats(name, &one).ok());
    ASSERT_TRUE(MessageDifferencer::Equals(one.queues(0), expected))
        << "is " << one.queues(0).DebugString() << "should be " << expected.DebugString();
    ASSERT_TRUE(MessageDifferencer::Equals(all.queues(at++), expected));
    enqueued += expected.enqueued();
  }
  const v1::QueueStats& total = all.total();
  ASSERT_EQ(total.enqueued(), enqueued);
  ASSERT_EQ(total.scheduled() + total.ready() + total.leased() + total.succeeded() + total.dead() +
                total.cancelled() + total.purged(),
            total.enqueued());
}

// In parts of about so many microseconds.
void ApplyInParts(StateMachine& machine, const std::string& bytes, uint64_t us) {
  machine.BeginApply(machine.applied_index().Next(), bytes, nullptr);
  for (bool applied = false; !applied;) {
    WorkBudget budget(Duration(static_cast<int64_t>(us) + 1));
    applied = machine.ContinueApply(&budget);
  }
}

// One history: every answer, every hold, and at intervals everything, is the model's.
void RunAgainstModel(uint64_t seed, int batches, int max_commands) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Workload workload(seed);
  StateMachine machine;  // with holds, as on a leader
  StateMachine replica;  // without
  QueueModel model;
  Effects effects;
  for (int i = 0; i < batches; ++i) {
    const BatchBuilder batch = workload.Batch(max_commands);
    std::vector<JobRef> held_before;
    for (const auto& [id, job] : model.jobs()) {
      if (job.held) held_before.push_back(machine.Find(id));
    }
    machine.Apply(machine.applied_index().Next(), batch.Bytes(), &effects);
    const std::vector<CommandResult>& results = effects.results;
    ApplyInParts(replica, batch.Bytes(), static_cast<uint64_t>(i) % 20);
    const std::vector<CommandResult> expected = model.Apply(batch.batch());
    ASSERT_EQ(results.size(), expected.size());
    for (size_t r = 0; r < results.size(); ++r) {
      ASSERT_EQ(Text(results[r]), Text(expected[r]))
          << batch.batch().commands(static_cast<int>(r)).DebugString();
    }
    ASSERT_EQ(machine.time_ms(), model.time_ms());
    ASSERT_EQ(machine.NextTickMs(), model.NextTickMs());
    ASSERT_EQ(machine.Digest(), replica.Digest());
    ASSERT_EQ(machine.used_request_ids().count, model.requests());
    size_t still_held = 0;
    for (const auto& [id, job] : model.jobs()) still_held += job.held ? 1 : 0;
    ASSERT_EQ(HoldsEnded(effects), held_before.size() - still_held);

    // The actions of a leader between entries.
    if (workload.Chance(40)) {
      std::vector<std::string> queues;
      for (uint64_t n = 1 + workload.Below(3); n > 0; --n) queues.push_back(workload.Queue());
      std::vector<std::string> types;
      for (uint64_t n = workload.Chance(50) ? workload.Below(3) : 0; n > 0; --n) {
        types.push_back(workload.Type());
      }
      const size_t max = workload.Below(8);
      const bool has_ready = machine.HasReady(queues, types);
      const std::vector<std::string> taken = model.Take(queues, types, max);
      ASSERT_EQ(TakeIds(machine, queues, max, types), taken);
      if (max > 0) {
        ASSERT_EQ(has_ready, !taken.empty());
      }
    }
    if (workload.Chance(20)) {
      const std::string id = workload.Id();
      const JobRef job = machine.Find(id);
      ASSERT_EQ(job != JobRef{}, model.jobs().contains(id));
      if (job != JobRef{}) {
        if (machine.View(job).held) {
          machine.Release(job);
          model.Release(id);
        } else {
          ASSERT_EQ(machine.Hold(job), model.Hold(id));
        }
      }
    }
    if (workload.Chance(2)) {
      machine.ReleaseAll();
      model.ReleaseAll();
    }
    if (i % 16 == 0) CompareStats(machine, model);
    if (i % 16 == 0) CompareKeys(machine, model);
    if (i % 64 == 0 || i == batches - 1) {
      CompareAll(machine, model);
      ASSERT_EQ(machine.CheckConsistency(), "");
      ASSERT_EQ(machine.RecomputeDigest(), machine.Digest());
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
}

class ModelTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(ModelTest, SmallBatches) { RunAgainstModel(GetParam(), 3000, 6); }
TEST_P(ModelTest, LargeBatches) { RunAgainstModel(1000 + GetParam(), 120, 200); }

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range<uint64_t>(0, 24));

}  // namespace
}  // namespace dqueue::queue
