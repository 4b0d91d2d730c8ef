// Lease, extend, release, expiry: confirmation before each grant, fair waiting, repeated requests,
// and the end of leases.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

using raft::ProposalOutcome;

class BrokerLeaseTest : public BrokerTest {
 protected:
  using LeaseReply = ReplyPtr<v1::LeaseJobsResponse>;

  static std::vector<std::string> Ids(const LeaseReply& reply) {
    std::vector<std::string> ids;
    if (!reply->ok()) return {reply->reason()};
    for (const v1::Job& job : reply->value().jobs()) ids.push_back(job.id());
    return ids;
  }
  // A call that found nothing and sleeps.
  LeaseReply Sleeper(const std::string& worker, std::vector<std::string> queues = {"q"},
                     int max_jobs = 1, std::vector<std::string> types = {}) {
    v1::LeaseJobsRequest request = LeaseRequest(worker, max_jobs, std::move(queues), 30);
    for (std::string& type : types) request.add_types(std::move(type));
    const auto reply = Submit<LeaseCall>(request);
    Run();
    EXPECT_FALSE(reply->answered());
    return reply;
  }
  std::string Extend(const v1::Job& job, int seconds = 0) {
    auto request = ItemRequest<v1::ExtendLeasesRequest>(job);
    if (seconds > 0) request.mutable_lease_duration()->set_seconds(seconds);
    return Do<ExtendCall>(request);
  }
  std::string Release(const v1::Job& job) {
    return Do<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(job));
  }
  std::string Complete(const v1::Job& job) {
    return Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  }
  void ChangeLeader(uint64_t term) {
    StepDown();
    Lead(term);
  }
};

using Strings = std::vector<std::string>;

TEST_F(BrokerLeaseTest, AGrantWaitsForItsConfirmation) {
  Enqueue("a");
  const auto reply = Submit<LeaseCall>(LeaseRequest("w1"));
  EXPECT_FALSE(reply->answered());
  EXPECT_TRUE(broker_->WantsConfirmation());
  ASSERT_TRUE(Begin());
  EXPECT_FALSE(broker_->WantsConfirmation());
  EXPECT_TRUE(grants_.empty());
  EndRound();
  ASSERT_EQ(Ids(reply), Strings{"a"});
  const v1::Job& job = reply->value().jobs(0);
  EXPECT_EQ(job.state(), v1::JOB_STATE_LEASED);
  EXPECT_EQ(job.payload(), "payload");
  EXPECT_EQ(job.lease().worker_id(), "w1");
  EXPECT_EQ(job.lease().token().term(), 1u);
  EXPECT_EQ(job.lease().remaining().seconds(), 30);
  ASSERT_EQ(grants_.size(), 1u);
  EXPECT_EQ(grants_[0], (std::pair<std::string, LeaseToken>("a", TokenOf(job))));
  EXPECT_EQ(broker_->gauges().leases, 1u);
  EXPECT_EQ(Take(), 0u) << "a lease writes nothing";
}

TEST_F(BrokerLeaseTest, ARoundThatBeganEarlierDoesNotCount) {
  Enqueue("a");
  v1::GetStatsRequest stats;
  Submit<StatsCall>(stats);
  ASSERT_TRUE(Begin());
  const auto reply = Submit<LeaseCall>(LeaseRequest());
  EndRound();
  EXPECT_FALSE(reply->answered());
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_EQ(Ids(reply), Strings{"a"});
}

TEST_F(BrokerLeaseTest, WithoutConfirmationNothingIsGranted) {
  Enqueue("a");
  const auto reply = Submit<LeaseCall>(LeaseRequest());
  Begin();
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(reply->reason(), "NO_LEADER");
  EXPECT_TRUE(grants_.empty());
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerLeaseTest, WithoutJobsAndWaitTheAnswerIsEmpty) {
  const auto reply = Submit<LeaseCall>(LeaseRequest());
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().jobs_size(), 0);
}

TEST_F(BrokerLeaseTest, TakesTheBestFirstFromTheQueuesAndTypesAskedFor) {
  Enqueue("low");
  v1::JobSpec high = Spec("high");
  high.set_priority(9);
  Enqueue(high);
  Enqueue("elsewhere", "q2");
  Enqueue("othertype", "q", "u");
  EXPECT_EQ(Ids(Submit<LeaseCall>(LeaseRequest())), Strings{"WAITING"});
  Run();
  ChangeLeader(2);
  v1::LeaseJobsRequest request = LeaseRequest();
  request.add_types("t");
  const auto typed = Submit<LeaseCall>(request);
  Run();
  EXPECT_EQ(Ids(typed), (Strings{"high", "low"}));
  const auto rest = Submit<LeaseCall>(LeaseRequest("w", 10, {"q2", "q", "q2"}));
  Run();
  EXPECT_EQ(rest->value().jobs_size(), 2);
}

TEST_F(BrokerLeaseTest, NoQueueMeansTheDefaultOne) {
  v1::JobSpec spec;
  spec.set_id("a");
  Enqueue(spec);
  const auto reply = Submit<LeaseCall>(LeaseRequest("w", 1, {}));
  Run();
  EXPECT_EQ(Ids(reply), Strings{"a"});
}

TEST_F(BrokerLeaseTest, DurationOfTheCallThenOfTheJobThenOfTheNode) {
  v1::JobSpec spec = Spec("own");
  spec.mutable_lease_duration()->set_seconds(7);
  Enqueue(spec);
  EXPECT_EQ(LeaseOne().lease().remaining().seconds(), 7);
  Enqueue("node");
  EXPECT_EQ(LeaseOne().lease().remaining().seconds(), 30);
  spec.set_id("call");
  Enqueue(spec);
  v1::LeaseJobsRequest request = LeaseRequest();
  request.mutable_lease_duration()->set_seconds(9);
  const std::vector<v1::Job> jobs = Lease(request);
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].lease().remaining().seconds(), 9);
}

TEST_F(BrokerLeaseTest, AnAnswerIsLimitedInBytes) {
  for (int i = 0; i < 12; ++i) {
    v1::JobSpec spec = Spec("j" + std::to_string(i + 10));
    spec.set_payload(std::string(1 << 20, 'x'));
    Enqueue(spec);
  }
  const std::vector<v1::Job> first = Lease(LeaseRequest("w", 100));
  EXPECT_EQ(first.size(), 8u);
  EXPECT_EQ(broker_->gauges().leases, 8u);
  const std::vector<v1::Job> second = Lease(LeaseRequest("w", 100));
  ASSERT_EQ(second.size(), 4u);
  EXPECT_EQ(second[0].id(), "j18") << "given back at its old place";
}

TEST_F(BrokerLeaseTest, ManyAtOnce) {
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 500; ++i) *request.add_jobs() = Spec("j" + std::to_string(1000 + i));
  Submit<EnqueueCall>(request);
  Run();
  const std::vector<v1::Job> jobs = Lease(LeaseRequest("w", 300));
  ASSERT_EQ(jobs.size(), 300u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(jobs[i].id(), "j" + std::to_string(1000 + i));
  EXPECT_EQ(Lease(LeaseRequest("w", 300)).size(), 200u);
}

// ---- waiting ----

TEST_F(BrokerLeaseTest, AJobWakesTheOneWhoCameFirst) {
  const auto first = Sleeper("w1");
  const auto second = Sleeper("w2");
  EXPECT_EQ(broker_->gauges().waiting_leases, 2u);
  Enqueue("a");
  EXPECT_FALSE(first->answered()) << "a woken call needs a round of its own";
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_EQ(Ids(first), Strings{"a"});
  EXPECT_FALSE(second->answered());
  Enqueue("b");
  Run();
  EXPECT_EQ(Ids(second), Strings{"b"});
}

TEST_F(BrokerLeaseTest, ARoundFromBeforeTheWakeUpDoesNotCount) {
  const auto sleeper = Sleeper("w1");
  Submit<StatsCall>({});
  ASSERT_TRUE(Begin());
  Enqueue("a");
  EndRound();
  EXPECT_FALSE(sleeper->answered());
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_EQ(Ids(sleeper), Strings{"a"});
}

TEST_F(BrokerLeaseTest, AsManyAreWokenAsThereAreJobs) {
  const auto first = Sleeper("w1");
  const auto second = Sleeper("w2");
  const auto third = Sleeper("w3");
  Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b")));
  Run();
  EXPECT_EQ(Ids(first), Strings{"a"});
  EXPECT_EQ(Ids(second), Strings{"b"});
  EXPECT_FALSE(third->answered());
}

TEST_F(BrokerLeaseTest, AWokenCallThatFindsNothingKeepsItsPlace) {
  const auto first = Sleeper("w1", {"q"}, 10);
  const auto second = Sleeper("w2");
  const auto third = Sleeper("w3");
  // Both first and second are woken, but the first takes all.
  Submit<EnqueueCall>(EnqueueRequest(Spec("a"), Spec("b")));
  Run();
  EXPECT_EQ(Ids(first), (Strings{"a", "b"}));
  EXPECT_FALSE(second->answered());
  Enqueue("c");
  Run();
  EXPECT_EQ(Ids(second), Strings{"c"});
  EXPECT_FALSE(third->answered());
}

TEST_F(BrokerLeaseTest, ANewcomerDoesNotOvertakeAWokenCall) {
  const auto sleeper = Sleeper("w1");
  const auto newcomer = Submit<LeaseCall>(LeaseRequest("w2", 1));
  ASSERT_TRUE(Begin());  // the newcomer's round
  Enqueue("a");          // wakes the sleeper, whose round comes later
  EndRound();
  EXPECT_FALSE(newcomer->answered());
  Run();
  EXPECT_EQ(Ids(sleeper), Strings{"a"});
  EXPECT_EQ(Ids(newcomer), Strings{});
}

TEST_F(BrokerLeaseTest, OnlyCallsThatWantTheTypeAreWoken) {
  const auto wants_u = Sleeper("w1", {"q"}, 1, {"u"});
  const auto wants_t = Sleeper("w2", {"q"}, 1, {"v", "t"});
  const auto wants_any = Sleeper("w3");
  Enqueue("a", "q", "t");
  Run();
  EXPECT_EQ(Ids(wants_t), Strings{"a"});
  Enqueue("b", "q", "x");
  Run();
  EXPECT_EQ(Ids(wants_any), Strings{"b"});
  EXPECT_FALSE(wants_u->answered());
}

TEST_F(BrokerLeaseTest, OneCallWaitsOnSeveralQueues) {
  const auto both = Sleeper("w1", {"q1", "q2"});
  const auto one = Sleeper("w2", {"q2"});
  Enqueue("a", "q2");
  Run();
  EXPECT_EQ(Ids(both), Strings{"a"});
  Enqueue("b", "q1");
  Enqueue("c", "q2");
  Run();
  EXPECT_EQ(Ids(one), Strings{"c"});
  EXPECT_EQ(broker_->gauges().waiting_leases, 0u);
}

TEST_F(BrokerLeaseTest, AWakeUpThatIsNotUsedIsPassedOn) {
  // `both` is woken for q1's job but takes the better one of q2, which no other call wants.
  const auto both = Sleeper("w1", {"q1", "q2"});
  const auto other = Sleeper("w2", {"q1"});
  v1::JobSpec better = Spec("better", "q2");
  better.set_priority(5);
  Submit<EnqueueCall>(EnqueueRequest(Spec("a", "q1"), better));
  Run();
  EXPECT_EQ(Ids(both), Strings{"better"});
  EXPECT_EQ(Ids(other), Strings{"a"});
}

TEST_F(BrokerLeaseTest, TheEndOfTheWaitIsAnEmptyAnswer) {
  const auto reply = Sleeper("w1");
  EXPECT_LE(broker_->Deadline(now_, wall_ms_), now_ + 30s);
  Advance(29999ms);
  Run();
  EXPECT_FALSE(reply->answered());
  Advance(1ms);
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().jobs_size(), 0);
  EXPECT_EQ(broker_->gauges().waiting_leases, 0u);
  Enqueue("a");
  Run();
  EXPECT_EQ(LeaseOne().id(), "a");
}

TEST_F(BrokerLeaseTest, AfterItsDeadlineACallGetsNothing) {
  LeaseCall call;
  call.request = LeaseRequest("w1", 1, {"q"}, 30);
  call.deadline = now_ + 5s;
  const auto reply = SubmitCall(std::move(call));
  Run();
  Advance(5s);
  EXPECT_LE(broker_->Deadline(now_ - 5s, wall_ms_ - 5000), now_);
  Run();
  EXPECT_EQ(reply->reason(), "DEADLINE_PASSED");
  // Woken, but its deadline passes before its round ends: the job goes to the next.
  LeaseCall woken;
  woken.request = LeaseRequest("w2", 1, {"q"}, 30);
  woken.deadline = now_ + 5s;
  const auto late = SubmitCall(std::move(woken));
  Run();
  const auto next = Sleeper("w3");
  Enqueue("a");
  ASSERT_TRUE(Begin());
  Advance(5s);
  broker_->OnTimer(now_, wall_ms_);
  EXPECT_EQ(late->reason(), "DEADLINE_PASSED");
  EndRound();
  Run();
  EXPECT_EQ(Ids(next), Strings{"a"});
}

TEST_F(BrokerLeaseTest, NothingIsGrantedToADisconnectedCaller) {
  Enqueue("a");
  LeaseCall call;
  call.request = LeaseRequest("w1");
  call.cancelled = std::make_shared<std::atomic<bool>>(false);
  const auto gone = call.cancelled;
  const auto reply = SubmitCall(std::move(call));
  Begin();
  gone->store(true);
  EndRound();
  EXPECT_TRUE(reply->ok());
  EXPECT_TRUE(grants_.empty());
  EXPECT_EQ(LeaseOne().id(), "a");
}

TEST_F(BrokerLeaseTest, DisconnectedSleepersAreSkipped) {
  std::vector<LeaseReply> replies;
  std::vector<std::shared_ptr<std::atomic<bool>>> gone;
  for (int i = 0; i < 3; ++i) {
    LeaseCall call;
    call.request = LeaseRequest("w" + std::to_string(i), 1, {"q"}, 30);
    call.cancelled = std::make_shared<std::atomic<bool>>(false);
    gone.push_back(call.cancelled);
    replies.push_back(SubmitCall(std::move(call)));
  }
  Run();
  gone[0]->store(true);
  Enqueue("a");
  gone[1]->store(true);  // woken already, or about to be
  Run();
  EXPECT_TRUE(replies[0]->ok());
  EXPECT_EQ(Ids(replies[0]), Strings{});
  EXPECT_EQ(Ids(replies[1]), Strings{});
  EXPECT_EQ(Ids(replies[2]), Strings{"a"});
  EXPECT_EQ(broker_->gauges().waiting_leases, 0u);
}

TEST_F(BrokerLeaseTest, ScheduledJobsWakeWhenTheirTimeComes) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_delay()->set_seconds(5);
  Enqueue(spec);
  const auto reply = Sleeper("w1");
  EXPECT_LE(broker_->Deadline(now_, wall_ms_), now_ + 1s) << "the wall clock is looked at again";
  Advance(4999ms);
  Run();
  EXPECT_FALSE(reply->answered());
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 1ms);
  Advance(1ms);
  Run();
  EXPECT_EQ(Ids(reply), Strings{"a"});
}

TEST_F(BrokerLeaseTest, ScheduledJobsDoNotWaitForAWallClockThatWasSetBack) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_delay()->set_seconds(10);
  Enqueue(spec);
  wall_ms_ -= 3'600'000;
  Advance(10s);
  Run();
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_SCHEDULED) << "half as fast as real time";
  Advance(10s);
  Run();
  EXPECT_EQ(LeaseOne().id(), "a");
  // The log time also goes on if an earlier leader left it ahead of the wall clock.
  StepDown();
  Lead(2);
  spec.set_id("b");
  Enqueue(spec);
  Advance(20s);
  Run();
  EXPECT_EQ(LeaseOne().id(), "a");
  EXPECT_EQ(LeaseOne().id(), "b");
}

TEST_F(BrokerLeaseTest, ReleaseAndExpiryWakeToo) {
  Enqueue("a");
  const v1::Job job = LeaseOne("w1");
  const auto first = Sleeper("w2");
  EXPECT_EQ(Release(job), "OK");
  EXPECT_EQ(Ids(first), Strings{"a"});
  const auto second = Sleeper("w3", {"q"});
  Advance(options_.lease_timeout - 1s);
  Run();
  EXPECT_FALSE(second->answered());
  Advance(1s);
  Run();
  ASSERT_TRUE(second->answered());
}

// ---- repeated requests ----

TEST_F(BrokerLeaseTest, ARepeatedRequestGetsTheSameJobs) {
  Enqueue("a");
  Enqueue("b");
  Enqueue("c");
  v1::LeaseJobsRequest request = LeaseRequest("w1", 2);
  request.set_lease_request_id("r1");
  const std::vector<v1::Job> first = Lease(request);
  ASSERT_EQ(first.size(), 2u);
  Advance(10s);
  const std::vector<v1::Job> again = Lease(request);
  ASSERT_EQ(again.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(again[i].id(), first[i].id());
    EXPECT_EQ(TokenOf(again[i]), TokenOf(first[i]));
    EXPECT_EQ(again[i].payload(), "payload");
    EXPECT_EQ(again[i].lease().remaining().seconds(), 20);
  }
  EXPECT_EQ(grants_.size(), 2u);
  // Of another worker it is another request.
  request.set_worker_id("w2");
  const std::vector<v1::Job> other = Lease(request);
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(other[0].id(), "c");
}

TEST_F(BrokerLeaseTest, ARepeatedRequestGetsOnlyWhatIsStillHeld) {
  Enqueue("a");
  Enqueue("b");
  v1::LeaseJobsRequest request = LeaseRequest("w1", 2);
  request.set_lease_request_id("r1");
  const std::vector<v1::Job> first = Lease(request);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(Complete(first[0]), "OK");
  const std::vector<v1::Job> again = Lease(request);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].id(), "b");
  EXPECT_EQ(Complete(first[1]), "OK");
  // All gone: a new request.
  Enqueue("c");
  const std::vector<v1::Job> fresh = Lease(request);
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].id(), "c");
  EXPECT_EQ(Lease(request).size(), 1u) << "which is remembered in turn";
}

TEST_F(BrokerLeaseTest, ARepeatWhileTheFirstIsInFlightIsOneGrant) {
  Enqueue("a");
  Enqueue("b");
  v1::LeaseJobsRequest request = LeaseRequest("w1", 1);
  request.set_lease_request_id("r1");
  const auto first = Submit<LeaseCall>(request);
  const auto second = Submit<LeaseCall>(request);
  Run();
  EXPECT_EQ(Ids(first), Strings{"a"});
  EXPECT_EQ(Ids(second), Strings{"a"});
}

TEST_F(BrokerLeaseTest, RepeatedRequestsAreForgottenWithTheirLeases) {
  for (int i = 0; i < 100; ++i) {
    Enqueue("j" + std::to_string(i));
    v1::LeaseJobsRequest request = LeaseRequest("w1", 1);
    request.set_lease_request_id("r" + std::to_string(i % 7));
    const std::vector<v1::Job> jobs = Lease(request);
    ASSERT_EQ(jobs.size(), 1u);
    EXPECT_EQ(jobs[0].id(), "j" + std::to_string(i));
    EXPECT_EQ(i % 2 == 0 ? Complete(jobs[0]) : Release(jobs[0]), "OK");
    if (i % 2 == 0) continue;
    EXPECT_EQ(Complete(LeaseOne()), "OK");
  }
}

// ---- answers that are taken back ----

class BrokerTakeBackTest : public BrokerLeaseTest {
 protected:
  // A lease call that the test can repeat.
  static v1::LeaseJobsRequest Repeatable() {
    v1::LeaseJobsRequest request = LeaseRequest("w1", 1);
    request.set_lease_request_id("r1");
    return request;
  }
  // Takes back the answer that carried this job.
  std::string TakeBack(const v1::Job& job) {
    auto request = ItemRequest<v1::ReleaseJobsRequest>(job);
    request.mutable_items(0)->set_delivery(job.lease().delivery());
    return Do<ReleaseCall>(request);
  }
};

TEST_F(BrokerTakeBackTest, TheOnlyDeliveryIsTakenBack) {
  Enqueue("a");
  const v1::Job lost = LeaseOne();
  EXPECT_EQ(lost.lease().delivery(), 1u);
  EXPECT_EQ(TakeBack(lost), "OK");
  EXPECT_EQ(TakeBack(lost), "OK") << "leader and follower may both take it back";
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_READY);
}

TEST_F(BrokerTakeBackTest, ARepetitionKeepsTheLease) {
  Enqueue("a");
  const std::vector<v1::Job> lost = Lease(Repeatable());
  ASSERT_EQ(lost.size(), 1u);
  const std::vector<v1::Job> kept = Lease(Repeatable());
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(TokenOf(kept[0]), TokenOf(lost[0]));
  EXPECT_EQ(kept[0].lease().delivery(), 2u);
  EXPECT_EQ(TakeBack(lost[0]), "LEASE_STALE");
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_LEASED);
  EXPECT_EQ(Extend(kept[0]), "OK");
  EXPECT_EQ(Complete(kept[0]), "OK");
}

TEST_F(BrokerTakeBackTest, TheLastDeliveryCanBeTakenBackToo) {
  Enqueue("a");
  const std::vector<v1::Job> first = Lease(Repeatable());
  const std::vector<v1::Job> second = Lease(Repeatable());
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(TakeBack(first[0]), "LEASE_STALE");
  EXPECT_EQ(TakeBack(second[0]), "OK");
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_READY);
}

TEST_F(BrokerTakeBackTest, ALeaseThatItsHolderUsedIsNotTakenBack) {
  Enqueue("a");
  Enqueue("b");
  const v1::Job extended = LeaseOne();
  EXPECT_EQ(Extend(extended), "OK");
  EXPECT_EQ(TakeBack(extended), "LEASE_STALE");
  const v1::Job completed = LeaseOne();
  Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(completed));
  ASSERT_EQ(Take(), 1u);
  RefuseOne(ProposalOutcome::Reason::kOverloaded);
  EXPECT_EQ(TakeBack(completed), "LEASE_STALE");
  EXPECT_EQ(Complete(completed), "OK");
  EXPECT_EQ(Release(extended), "OK") << "the holder itself may release";
}

TEST_F(BrokerTakeBackTest, AnotherLeaderTakesNothingBack) {
  Enqueue("a");
  const std::vector<v1::Job> lost = Lease(Repeatable());
  const std::vector<v1::Job> kept = Lease(Repeatable());
  ASSERT_EQ(kept.size(), 1u);
  ChangeLeader(2);
  EXPECT_EQ(TakeBack(lost[0]), "LEASE_STALE") << "it cannot know whether another answer came";
  EXPECT_EQ(TakeBack(kept[0]), "LEASE_STALE");
  EXPECT_EQ(Extend(kept[0]), "OK") << "its token is not remembered as released";
  EXPECT_EQ(Get("a").lease().delivery(), 0u);
  EXPECT_EQ(TakeBack(lost[0]), "LEASE_STALE") << "adopted";
  EXPECT_EQ(Complete(kept[0]), "OK");
}

// ---- extend ----

TEST_F(BrokerLeaseTest, ExtendMovesTheEnd) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  Advance(20s);
  const auto reply = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(job));
  EXPECT_FALSE(reply->answered()) << "a deposed leader can promise nothing";
  Run();
  EXPECT_EQ(ItemReason(reply), "OK");
  EXPECT_EQ(Get("a").lease().remaining().seconds(), 30);
  Advance(29s);
  EXPECT_EQ(Take(), 0u);
  EXPECT_EQ(Extend(job, 100), "OK");
  Advance(99s);
  EXPECT_EQ(Take(), 0u);
  Advance(1s);
  EXPECT_EQ(Take(), 1u);
  CommitAll();
}

TEST_F(BrokerLeaseTest, AnUnconfirmedExtensionIsRefused) {
  Enqueue("a");
  const auto reply = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(LeaseOne()));
  Begin();
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(reply->reason(), "NO_LEADER");
}

TEST_F(BrokerLeaseTest, ExtendNeedsTheLeaseItself) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>("nobody", TokenOf(job))),
            "JOB_NOT_FOUND");
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>("a", {1, 50})), "LEASE_STALE");
  Advance(30s);
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(job)), "LEASE_STALE")
      << "over by a hair";
  Run();
  EXPECT_EQ(Extend(job), "LEASE_STALE") << "its expiry is in the log";
  const v1::Job next = LeaseOne();
  EXPECT_EQ(Extend(job), "LEASE_STALE");
  EXPECT_EQ(Complete(next), "OK");
  EXPECT_EQ(Extend(next), "INVALID_STATE");
}

TEST_F(BrokerLeaseTest, ExtendWhileItsExpiryIsInFlightIsStale) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  Advance(30s);
  ASSERT_EQ(Take(), 1u);
  const auto reply = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(job));
  Begin();
  EndRound();
  EXPECT_EQ(ItemReason(reply), "LEASE_STALE");
  CommitAll();
}

TEST_F(BrokerLeaseTest, ExtendBesideACompletionInFlight) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  const auto extend = Submit<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(job));
  Begin();
  EndRound();
  EXPECT_EQ(ItemReason(extend), "OK");
  CommitAll();
  EXPECT_EQ(ItemReason(complete), "OK");
}

TEST_F(BrokerLeaseTest, ExtendAdoptsALeaseOfAnEarlierTerm) {
  Enqueue("a");
  const v1::Job job = LeaseOne("w1");
  ChangeLeader(2);
  EXPECT_EQ(Extend(job, 60), "OK");
  EXPECT_TRUE(Lease(LeaseRequest()).empty());
  const v1::Job read = Get("a");
  EXPECT_EQ(read.state(), v1::JOB_STATE_LEASED);
  EXPECT_EQ(TokenOf(read), TokenOf(job));
  EXPECT_EQ(read.lease().remaining().seconds(), 60);
  Advance(60s);
  Run();
  EXPECT_EQ(Get("a").counters().expired(), 1);
}

TEST_F(BrokerLeaseTest, ExtendDoesNotAdoptWhatIsOver) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_retry()->set_backoff(v1::RetryPolicy::BACKOFF_NONE);
  Enqueue(spec);
  const v1::Job failed = LeaseOne();
  EXPECT_EQ(Do<FailCall>(ItemRequest<v1::FailJobsRequest>(failed)), "OK");
  const v1::Job expired = LeaseOne();
  ChangeLeader(2);
  EXPECT_EQ(Extend(failed), "LEASE_STALE") << "the log has its failure";
  EXPECT_EQ(Extend(expired), "OK");
  Advance(30s);
  Run();
  ChangeLeader(3);
  EXPECT_EQ(Extend(expired), "LEASE_STALE") << "the log has its expiry";
  const v1::Job mine = LeaseOne();
  EXPECT_EQ(Extend(expired), "LEASE_STALE");
  EXPECT_EQ(Extend(mine), "OK");
  EXPECT_EQ(Do<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>("a", {4, 1})), "LEASE_STALE");
}

// ---- release ----

TEST_F(BrokerLeaseTest, ReleaseReturnsTheJobUnchanged) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  EXPECT_EQ(Release(job), "OK");
  const v1::Job read = Get("a");
  EXPECT_EQ(read.state(), v1::JOB_STATE_READY);
  EXPECT_FALSE(read.has_lease());
  EXPECT_EQ(read.counters().expired(), 0);
  EXPECT_EQ(Release(job), "OK") << "again, because the answer was lost";
  const auto late = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Run();
  EXPECT_EQ(ItemReason(late), "LEASE_STALE") << "given back is given back";
  EXPECT_EQ(Extend(job), "LEASE_STALE");
  const v1::Job next = LeaseOne();
  EXPECT_EQ(Release(job), "LEASE_STALE");
  EXPECT_EQ(Complete(next), "OK");
  EXPECT_EQ(Release(next), "INVALID_STATE");
  EXPECT_EQ(Do<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>("nobody", {1, 1})),
            "JOB_NOT_FOUND");
}

TEST_F(BrokerLeaseTest, ReleaseOfAnEarlierTermIsRememberedToo) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  ChangeLeader(2);
  EXPECT_EQ(Release(job), "OK");
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(Complete(job), "LEASE_STALE");
  EXPECT_EQ(LeaseOne().id(), "a");
}

TEST_F(BrokerLeaseTest, ALeaseThatIsEndingInTheLogCannotBeReleased) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  Take();
  const auto release = Submit<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(job));
  Begin();
  EndRound();
  EXPECT_EQ(ItemReason(release), "LEASE_STALE");
  CommitAll();
  EXPECT_EQ(ItemReason(complete), "OK");
  Enqueue("b");
  const v1::Job b = LeaseOne();
  Advance(30s);
  const auto late = Submit<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(b));
  Run();
  EXPECT_EQ(ItemReason(late), "LEASE_STALE") << "its expiry must count";
  EXPECT_EQ(Get("b").counters().expired(), 1);
}

// ---- expiry ----

TEST_F(BrokerLeaseTest, ExpiryGoesThroughTheLog) {
  Enqueue("a");
  LeaseOne("worker-7");
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 30s);
  Advance(30s);
  ASSERT_EQ(Take(), 1u);
  EXPECT_TRUE(Lease(LeaseRequest()).empty()) << "not before the log has it";
  EXPECT_EQ(Take(), 0u) << "once";
  CommitAll();
  const v1::Job job = Get("a");
  EXPECT_EQ(job.state(), v1::JOB_STATE_READY);
  EXPECT_EQ(job.counters().expired(), 1);
  EXPECT_NE(job.last_error().find("worker-7"), std::string::npos);
  EXPECT_EQ(LeaseOne().id(), "a");
}

TEST_F(BrokerLeaseTest, ACompletionBehindItsExpiryKeepsTheJobFromOthers) {
  Enqueue("a");
  const v1::Job job = LeaseOne();
  Advance(30s);
  ASSERT_EQ(Take(), 1u);
  const auto complete = Submit<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job));
  ASSERT_EQ(Take(), 1u);
  CommitOne();
  EXPECT_TRUE(Lease(LeaseRequest()).empty()) << "the work may be done";
  CommitOne();
  EXPECT_EQ(ItemReason(complete), "OK");
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerLeaseTest, TooManyExpiriesKillTheJob) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_retry()->set_max_expirations(1);
  Enqueue(spec);
  for (int i = 0; i < 2; ++i) {
    LeaseOne();
    Advance(30s);
    Run();
  }
  EXPECT_EQ(Get("a").dead_reason(), v1::DEAD_REASON_LEASE_EXPIRED);
  EXPECT_EQ(broker_->gauges().leases, 0u);
}

TEST_F(BrokerLeaseTest, ARefusedExpiryIsProposedAgainAfterAWhile) {
  Enqueue("a");
  LeaseOne();
  Advance(30s);
  ASSERT_EQ(Take(), 1u);
  RefuseOne(ProposalOutcome::Reason::kTransferring);
  EXPECT_EQ(Take(), 0u) << "not at once";
  EXPECT_GT(broker_->Deadline(now_, wall_ms_), now_);
  EXPECT_LE(broker_->Deadline(now_, wall_ms_), now_ + 10ms);
  Advance(10ms);
  EXPECT_EQ(Take(), 1u);
  CommitAll();
  EXPECT_EQ(Get("a").counters().expired(), 1);
}

TEST_F(BrokerLeaseTest, ExpiriesDoNotStarveBesideManyCommands) {
  BrokerOptions options;
  options.max_batch_commands = 10;
  Make(options, 2);
  v1::EnqueueJobsRequest request;
  for (int i = 0; i < 25; ++i) *request.add_jobs() = Spec("j" + std::to_string(i));
  Submit<EnqueueCall>(request);
  Run();
  ASSERT_EQ(Lease(LeaseRequest("w", 25)).size(), 25u);
  Advance(30s);
  v1::EnqueueJobsRequest more;
  for (int i = 0; i < 10; ++i) *more.add_jobs() = Spec("k" + std::to_string(i));
  Submit<EnqueueCall>(more);
  ASSERT_GE(Take(), 1u);
  log::v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*batches_.front().payload));
  EXPECT_EQ(batch.commands_size(), 20) << "a full chunk and a few expiries";
  CommitAll();
  Run();
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(Get("j24").counters().expired(), 1);
}

TEST_F(BrokerLeaseTest, AJobThatDiesOfAgeWhileLeasedFreesItsLease) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_expire_time()->set_seconds(kStartMs / 1000 + 5);
  Enqueue(spec);
  const v1::Job job = LeaseOne();
  Advance(5s);
  Run();
  EXPECT_EQ(Get("a").dead_reason(), v1::DEAD_REASON_JOB_EXPIRED);
  EXPECT_EQ(broker_->gauges().leases, 0u);
  EXPECT_EQ(Complete(job), "INVALID_STATE");
}

}  // namespace
}  // namespace dqueue::queue
