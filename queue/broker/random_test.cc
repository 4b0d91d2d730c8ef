// Random histories of a broker: random calls, refused and lost proposals, failed rounds, changes of
// leader, expiring leases. Invariants are checked after every step; at the end, every call must
// have been answered once, and truly.
#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

using raft::ProposalOutcome;

const char* const kQueues[] = {"q0", "q1", "q2"};
const char* const kTypes[] = {"t0", "t1"};

class BrokerRandomTest : public BrokerTest, public testing::WithParamInterface<int> {
 protected:
  struct WaitingLease {
    ReplyPtr<v1::LeaseJobsResponse> reply;
    std::vector<std::string> queues;
    std::vector<std::string> types;
    std::shared_ptr<std::atomic<bool>> cancelled;
    bool seen = false;
  };
  struct Held {
    std::string id;
    LeaseToken token;
  };

  uint64_t Draw(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Draw(n) == 0; }

  void Start() {
    BrokerOptions options;
    options.max_batch_commands = 1 + Draw(6);
    options.lease_timeout = 5s;
    Make(options, ++term_);
    broker_->OnGrant([this](const std::string& id, LeaseToken token) { CheckGrant(id, token); });
  }

  // A grant is of a ready job, with a token above all before, and every earlier lease of this term
  // has ended: in the log, or given back.
  void CheckGrant(const std::string& id, LeaseToken token) {
    ASSERT_EQ(LogState(id), v1::JOB_STATE_READY) << id;
    const JobView view = state_->View(state_->Find(id));
    ASSERT_LT(view.last_token, token) << id;
    ASSERT_EQ(token.term, term_);
    LeaseToken& last = last_grant_[id];
    ASSERT_LT(last, token) << id;
    if (last.term == term_) {
      ASSERT_TRUE(view.last_token >= last || released_.contains({id, last})) << id;
    }
    last = token;
  }

  Time SomeDeadline() {
    return OneIn(4) ? now_ + std::chrono::milliseconds(Draw(3000)) : Time::max();
  }

  void EnqueueSome() {
    v1::EnqueueJobsRequest request;
    const uint64_t count = 1 + Draw(4);
    std::vector<std::string> ids;
    for (uint64_t i = 0; i < count; ++i) {
      v1::JobSpec spec = Spec("j" + std::to_string(next_job_++), kQueues[Draw(3)], kTypes[Draw(2)]);
      spec.set_priority(static_cast<int>(Draw(3)));
      if (OneIn(5)) spec.mutable_delay()->set_seconds(static_cast<int64_t>(Draw(4)));
      spec.mutable_retry()->set_backoff(OneIn(2) ? v1::RetryPolicy::BACKOFF_NONE
                                                 : v1::RetryPolicy::BACKOFF_FIXED);
      ids.push_back(spec.id());
      if (spec.queue() == kQueues[0]) may_be_gone_.insert(spec.id());
      *request.add_jobs() = std::move(spec);
    }
    request.set_all_or_nothing(OneIn(3));
    const auto reply = Submit<EnqueueCall>(request, SomeDeadline());
    replies_.push_back([reply] { return reply->times; });
    enqueues_.emplace_back(reply, std::move(ids));
  }

  void LeaseSome() {
    WaitingLease wait;
    v1::LeaseJobsRequest request;
    request.set_worker_id("w" + std::to_string(Draw(3)));
    for (const char* queue : kQueues) {
      if (OneIn(2)) wait.queues.emplace_back(queue);
    }
    if (wait.queues.empty()) wait.queues.emplace_back(kQueues[Draw(3)]);
    if (OneIn(2)) wait.types.emplace_back(kTypes[Draw(2)]);
    for (const std::string& queue : wait.queues) request.add_queues(queue);
    for (const std::string& type : wait.types) request.add_types(type);
    request.set_max_jobs(static_cast<int>(1 + Draw(4)));
    if (!OneIn(4)) request.mutable_wait()->set_seconds(static_cast<int64_t>(Draw(10)));
    if (OneIn(3)) request.set_lease_request_id("r" + std::to_string(Draw(4)));
    LeaseCall call;
    call.request = std::move(request);
    call.deadline = SomeDeadline();
    if (OneIn(3)) wait.cancelled = std::make_shared<std::atomic<bool>>(false);
    call.cancelled = wait.cancelled;
    wait.reply = SubmitCall(std::move(call));
    const auto reply = wait.reply;
    replies_.push_back([reply] { return reply->times; });
    leases_.push_back(std::move(wait));
  }

  void CollectGranted() {
    for (WaitingLease& wait : leases_) {
      if (wait.seen || !wait.reply->ok()) continue;
      wait.seen = true;
      for (const v1::Job& job : wait.reply->value().jobs()) {
        held_.push_back({job.id(), TokenOf(job)});
      }
    }
  }

  void WorkSome() {
    CollectGranted();
    if (held_.empty()) return;
    const Held held = held_[held_.size() - 1 - Draw(std::min<size_t>(held_.size(), 8))];
    switch (Draw(5)) {
      case 0:
      case 1: {
        const auto reply =
            Submit<CompleteCall>(CompleteRequest(held.id, held.token), SomeDeadline());
        replies_.push_back([reply] { return reply->times; });
        completes_.emplace_back(reply, held.id);
        break;
      }
      case 2: {
        const auto reply =
            Submit<FailCall>(ItemRequest<v1::FailJobsRequest>(held.id, held.token), SomeDeadline());
        replies_.push_back([reply] { return reply->times; });
        break;
      }
      case 3: {
        const auto reply = Submit<ExtendCall>(
            ItemRequest<v1::ExtendLeasesRequest>(held.id, held.token), SomeDeadline());
        replies_.push_back([reply] { return reply->times; });
        break;
      }
      case 4: {
        released_.insert({held.id, held.token});
        const auto reply =
            Submit<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(held.id, held.token));
        replies_.push_back([reply] { return reply->times; });
        break;
      }
    }
  }

  void OperateOnAQueue() {
    const std::string queue = kQueues[Draw(3)];
    switch (Draw(5)) {
      case 0: {
        v1::PauseQueueRequest request;
        request.set_queue(queue);
        return Watch(Submit<PauseCall>(request, SomeDeadline()));
      }
      case 1: {
        v1::PurgeQueueRequest request;
        request.set_queue(kQueues[0]);
        if (OneIn(2)) request.add_states(v1::JOB_STATE_SCHEDULED);
        request.set_max_jobs(static_cast<int>(1 + Draw(3)));
        return Watch(Submit<PurgeCall>(request, SomeDeadline()));
      }
      case 2:
        return Watch(Submit<RedriveCall>({}, SomeDeadline()));
      default: {
        v1::ResumeQueueRequest request;
        request.set_queue(queue);
        return Watch(Submit<ResumeCall>(request, SomeDeadline()));
      }
    }
  }

  template <class Response>
  void Watch(const ReplyPtr<Response>& reply) {
    replies_.push_back([reply] { return reply->times; });
  }

  void CancelOrRetrySome() {
    const std::string id = "j" + std::to_string(Draw(next_job_ + 1));
    if (OneIn(3)) return OperateOnAQueue();
    if (OneIn(4)) {
      v1::DeleteJobsRequest request;
      request.add_ids(id);
      may_be_gone_.insert(id);
      deleted_.insert(id);
      return Watch(Submit<DeleteCall>(request, SomeDeadline()));
    }
    if (OneIn(2)) {
      v1::CancelJobsRequest request;
      request.add_ids(id);
      const auto reply = Submit<CancelCall>(request, SomeDeadline());
      replies_.push_back([reply] { return reply->times; });
      cancelled_.insert(id);
    } else {
      v1::RetryJobsRequest request;
      request.add_ids(id);
      const auto reply = Submit<RetryCall>(request, SomeDeadline());
      replies_.push_back([reply] { return reply->times; });
    }
  }

  // The next leader's log has all, some or none of what was in flight; what this one knows as
  // committed comes first.
  void ChangeLeader() {
    const bool step_down_first = OneIn(2);
    if (step_down_first) StepDown();
    while (!batches_.empty() && OneIn(2)) CommitOne();
    bool applied_elsewhere = true;
    while (!batches_.empty()) {
      const Batch batch = batches_.front();
      LoseOne();
      applied_elsewhere = applied_elsewhere && OneIn(2);
      if (applied_elsewhere) {
        state_->Apply(raft::Index(++index_), *batch.payload, &effects_);
        broker_->OnApplied(now_, std::nullopt, effects_);
      }
    }
    if (!step_down_first) StepDown();
    while (!rounds_.empty()) EndRound(/*confirmed=*/false);
    Lead(++term_);
  }

  void Step() {
    switch (Draw(14)) {
      case 0:
      case 1:
        return EnqueueSome();
      case 2:
      case 3:
        return LeaseSome();
      case 4:
      case 5:
        return WorkSome();
      case 6:
        return OneIn(3) ? CancelOrRetrySome() : WorkSome();
      case 7:
        Take();
        return;
      case 8:
        if (!batches_.empty()) CommitOne();
        return;
      case 9:
        // Raft refuses at once: only the newest proposals can end so.
        if (OneIn(2) && batches_.empty() && Take() > 0) {
          while (!batches_.empty()) {
            RefuseOne(OneIn(2) ? ProposalOutcome::Reason::kOverloaded
                               : ProposalOutcome::Reason::kTransferring);
          }
        }
        return;
      case 10:
        Begin();
        return;
      case 11:
        if (!rounds_.empty()) EndRound(/*confirmed=*/!OneIn(10));
        return;
      case 12:
        if (OneIn(20)) return ChangeLeader();
        for (WaitingLease& wait : leases_) {
          if (wait.cancelled && OneIn(10)) wait.cancelled->store(true);
        }
        return;
      case 13:
        Advance(std::chrono::milliseconds(Draw(1500)));
        broker_->OnTimer(now_, wall_ms_);
        return;
    }
  }

  // At rest, no call sleeps that wants a ready job.
  void CheckNoLostWakeUp() {
    Run();
    for (const WaitingLease& wait : leases_) {
      if (wait.reply->answered() || (wait.cancelled && wait.cancelled->load())) continue;
      ASSERT_FALSE(state_->HasReady(wait.queues, wait.types))
          << "a call sleeps beside a job that it wants";
    }
  }

  std::mt19937_64 random_;
  uint64_t term_ = 0;
  uint64_t next_job_ = 0;
  std::vector<std::function<int()>> replies_;
  std::vector<std::pair<ReplyPtr<v1::EnqueueJobsResponse>, std::vector<std::string>>> enqueues_;
  std::vector<std::pair<ReplyPtr<v1::CompleteJobsResponse>, std::string>> completes_;
  std::vector<WaitingLease> leases_;
  std::vector<Held> held_;
  std::map<std::string, LeaseToken> last_grant_;
  std::set<std::pair<std::string, LeaseToken>> released_;
  std::set<std::string> cancelled_;
  std::set<std::string> deleted_;
  std::set<std::string> may_be_gone_;  // deleted, or in the queue that is purged
};

TEST_P(BrokerRandomTest, KeepsItsPromises) {
  random_.seed(static_cast<uint64_t>(GetParam()));
  Start();
  for (int step = 0; step < 1500; ++step) {
    Step();
    if (HasFatalFailure()) return;
    if (step % 50 == 0) CheckNoLostWakeUp();
    if (HasFatalFailure()) return;
  }
  CheckNoLostWakeUp();
  Advance(20s);  // all waits and leases end
  Run();
  Advance(20s);
  for (int i = 0; i < 100; ++i) Run();  // purges and redrives look at a part in each turn
  for (size_t i = 0; i < replies_.size(); ++i) EXPECT_EQ(replies_[i](), 1) << "call " << i;
  const Broker::Gauges gauges = broker_->gauges();
  EXPECT_EQ(gauges.leases, 0u);
  EXPECT_EQ(gauges.waiting_leases, 0u);
  EXPECT_EQ(gauges.waiting_reads, 0u);
  EXPECT_EQ(gauges.pending_commands, 0u);
  EXPECT_EQ(gauges.pending_bytes, 0u);

  int created = 0;
  for (const auto& [reply, ids] : enqueues_) {
    for (const std::string& id : ids) {
      const bool there = LogState(id) != v1::JOB_STATE_UNSPECIFIED;
      if (reply->ok()) {
        EXPECT_TRUE(there || may_be_gone_.contains(id)) << id << " was acknowledged";
        ++created;
      } else if (reply->reason() != "COMMIT_UNKNOWN") {
        EXPECT_FALSE(there) << id << " was refused with " << reply->reason();
      }
    }
  }
  EXPECT_GT(created, 50);
  int completed = 0;
  for (const auto& [reply, id] : completes_) {
    if (ItemReason(reply) != "OK") continue;
    EXPECT_TRUE(deleted_.contains(id) || LogState(id) == v1::JOB_STATE_SUCCEEDED) << id;
    ++completed;
  }
  EXPECT_GT(completed, 5);
}

INSTANTIATE_TEST_SUITE_P(Seeds, BrokerRandomTest, testing::Range(1, 101));

}  // namespace
}  // namespace dqueue::queue
