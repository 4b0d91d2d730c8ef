// Tests of the checkers: each test gives a checker a history with one error and expects the name of
// the broken rule.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/api/error_status.h"
#include "queue/broker/refusals.h"
#include "sim/checkers/violation.h"
#include "sim/scenario.h"

namespace dqueue::sim {
namespace {

// Returns the rule that `action` breaks, or an empty text if no checker throws.
std::string RuleOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Violation& violation) {
    return violation.rule;
  }
  return "";
}

class CheckersTest : public testing::Test {
 protected:
  static Profile FullyCheckedProfile() {
    Profile profile = QuietProfile(3);
    profile.durability_check = 1;
    return profile;
  }
  void SetUp() override {
    number_ = s_.WaitForLeader();
    ASSERT_NE(number_, 0);
    ASSERT_EQ(s_.Enqueue(number_, "a"), "OK");
    ASSERT_EQ(s_.Enqueue(number_, "b"), "OK");
    const std::vector<v1::Job> jobs = s_.Lease(number_, "w1");
    ASSERT_EQ(jobs.size(), 1u);
    ASSERT_EQ(jobs[0].id(), "a");
    lease_ = jobs[0];
    ASSERT_TRUE(s_.WaitUntilAllApplied());
  }
  const SimNode& leader() { return s_.world.node(number_); }
  int FollowerNumber() { return number_ == 1 ? 2 : 1; }
  ServerCall CallNow() {
    ServerCall call;
    call.id = 1;
    call.node = number_;
    call.boot = leader().boots();
    call.arrived = s_.world.now();
    call.local_arrived = leader().LocalNow();
    call.required = s_.world.ledger().last();
    return call;
  }
  template <class Request, class Response>
  std::string RuleOfAnswer(const ServerCall& call, const Request& request, Response response) {
    return RuleOf([&] {
      s_.world.answers().Answer(call, request, queue::Outcome<Response>(std::move(response)));
    });
  }
  // A call with access to this queue only.
  ServerCall CallOf(const std::string& queue) {
    ServerCall call = CallNow();
    call.access = std::make_shared<const queue::QueueAccess>(std::vector<std::string>{queue});
    return call;
  }
  template <class C>
  std::optional<queue::Outcome<typename C::ResponseType>> CallAndWait(
      typename C::RequestType request) {
    std::optional<queue::Outcome<typename C::ResponseType>> answer;
    C call;
    call.request = std::move(request);
    call.done = [&](queue::Outcome<typename C::ResponseType> outcome) {
      answer = std::move(outcome);
    };
    s_.world.node(number_).node().Submit(std::move(call));
    s_.world.RunUntil([&] { return answer.has_value(); }, 5s);
    return answer;
  }
  queue::LeaseToken Token(uint64_t sequence) { return {s_.Term(number_).value(), sequence}; }

  Scenario s_{FullyCheckedProfile()};
  int number_ = 0;
  v1::Job lease_;
};

// ---- Raft

TEST_F(CheckersTest, ADifferentEntryAtAnAppliedIndex) {
  const int follower = FollowerNumber();
  s_.world.Isolate(follower);
  ASSERT_EQ(s_.Enqueue(number_, "c"), "OK");
  raft::Entry entry;
  entry.index = s_.world.node(follower).node().state().applied_index().Next();
  entry.term = s_.world.ledger().TermAt(entry.index);
  entry.kind = raft::EntryKind::kCommand;
  entry.payload = std::make_shared<const std::string>("something else");
  EXPECT_EQ(RuleOf([&] { s_.world.ledger().AfterApply(s_.world.node(follower), entry, 0); }),
            "R5 state machine safety");
  entry.index = entry.index.Next();
  EXPECT_EQ(RuleOf([&] { s_.world.ledger().AfterApply(s_.world.node(follower), entry, 0); }),
            "R5 state machine safety")
      << "not the next index";
}

TEST_F(CheckersTest, SnapshotsWithAWrongStateOrTerm) {
  const int follower = FollowerNumber();
  s_.world.Isolate(follower);
  ASSERT_EQ(s_.Enqueue(number_, "c"), "OK");
  raft::SnapshotMeta meta;
  meta.index = s_.world.ledger().last();
  meta.term = s_.world.ledger().TermAt(meta.index);
  const uint64_t digest = leader().node().state().Digest();
  const auto restore = [&](const raft::SnapshotMeta& m, uint64_t d) {
    return RuleOf([&] { s_.world.ledger().AfterRestore(s_.world.node(follower), m, d); });
  };
  EXPECT_EQ(restore(meta, digest + 1), "R10 snapshot");
  EXPECT_EQ(restore(meta, digest), "R10 snapshot") << "a second restore does not advance the index";
  raft::SnapshotMeta stamped = meta;
  stamped.index = meta.index.Next();
  EXPECT_EQ(restore(stamped, digest), "R10 snapshot") << "no node has applied this index";
}

TEST_F(CheckersTest, TwoVotesInATerm) {
  const auto vote = [&](int to) {
    raft::Message message;
    message.from = leader().id();
    message.from_incarnation = leader().incarnation();
    message.to = s_.world.node(to).id();
    message.term = raft::Term(99);
    message.body = raft::VoteResponse{.granted = true};
    return RuleOf([&] { s_.world.elections().BeforeSend(leader(), message); });
  };
  const int first = FollowerNumber();
  EXPECT_EQ(vote(first), "");
  EXPECT_EQ(vote(first), "") << "the same vote may be sent again";
  EXPECT_EQ(vote(6 - number_ - first), "R6 one vote a term");
}

TEST_F(CheckersTest, AMessageWithAnotherIncarnation) {
  raft::Message message;
  message.from = leader().id();
  message.from_incarnation = raft::Incarnation(leader().incarnation().value() + 1);
  message.body = raft::HeartbeatResponse{};
  EXPECT_EQ(RuleOf([&] { s_.world.elections().BeforeSend(leader(), message); }), "R12 incarnation");
}

TEST_F(CheckersTest, MessagesSentBeforeTheDiskHasTheirState) {
  raft::Message message;
  message.from = leader().id();
  message.from_incarnation = leader().incarnation();
  message.term = s_.Term(number_);
  const auto rule = [&](raft::MessageBody body) {
    message.body = std::move(body);
    return RuleOf([&] { s_.world.durability().BeforeSend(leader(), message); });
  };
  raft::AppendResponse answer;
  answer.success = true;
  answer.match = s_.world.ledger().last();
  EXPECT_EQ(rule(answer), "");
  answer.match = answer.match + 50;
  EXPECT_EQ(rule(answer), "R1 durable before sent");
  message.to = s_.world.node(FollowerNumber()).id();
  EXPECT_EQ(rule(raft::VoteResponse{.granted = true}), "R1 durable before sent");
  EXPECT_EQ(rule(raft::VoteResponse{.granted = false}), "");
  message.term = message.term.Next();
  EXPECT_EQ(rule(raft::VoteResponse{.granted = false}), "R1 durable before sent")
      << "a rejection also requires a durable term";
}

// ---- Leases

TEST_F(CheckersTest, Grants) {
  const auto grant = [&](const std::string& id, queue::LeaseToken token) {
    return RuleOf([&] { s_.world.grants().OnGrant(leader(), id, token); });
  };
  EXPECT_EQ(grant("nobody", Token(100)), "J2 phantom");
  EXPECT_EQ(grant("a", Token(100)), "J24 duplicate delivery");
  EXPECT_EQ(grant("b", {s_.Term(number_).value() + 1, 1}), "J5 tokens");
  EXPECT_EQ(grant("b", Token(101)), "");
  ASSERT_EQ(s_.Complete(number_, lease_), "OK");
  EXPECT_EQ(grant("a", Token(102)), "J3 delivery");
}

TEST_F(CheckersTest, LeaseAnswers) {
  v1::LeaseJobsRequest request;
  request.set_worker_id("w2");
  request.set_max_jobs(1);
  v1::LeaseJobsResponse nothing;
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, nothing), "J12 starvation") << "\"b\" is ready";
  v1::LeaseJobsResponse stolen;
  *stolen.add_jobs() = lease_;
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, stolen), "J4 leases") << "w1 has it";
  v1::LeaseJobsResponse unknown;
  *unknown.add_jobs() = lease_;
  unknown.mutable_jobs(0)->mutable_lease()->mutable_token()->set_sequence(77);
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, unknown), "J4 leases") << "never granted";
}

TEST_F(CheckersTest, AnEarlyExpiry) {
  const ModelJob* job = s_.world.jobs().Find("a");
  const queue::LeaseToken token = {lease_.lease().token().term(),
                                   lease_.lease().token().sequence()};
  const auto expire = [&] {
    return RuleOf([&] { s_.world.grants().OnEnded(s_.Term(number_), *job, token, true); });
  };
  EXPECT_EQ(expire(), "J11 early expiry");
  s_.world.Run(4900ms);
  EXPECT_EQ(expire(), "J11 early expiry");
  s_.world.Run(100ms);
  EXPECT_EQ(expire(), "");
}

TEST_F(CheckersTest, AnOldTokenAfterANewerGrant) {
  const ModelJob* job = s_.world.jobs().Find("a");
  ASSERT_EQ(s_.Release(number_, lease_), "OK");
  ASSERT_EQ(s_.Lease(number_, "w2").front().id(), "a");
  const queue::LeaseToken token = {lease_.lease().token().term(),
                                   lease_.lease().token().sequence()};
  EXPECT_EQ(RuleOf([&] { s_.world.grants().OnEnded(s_.Term(number_), *job, token, false); }),
            "J6 fencing");
}

// ---- Answers

TEST_F(CheckersTest, AnEnqueueThatIsNotInTheLog) {
  const v1::EnqueueJobsRequest request = s_.EnqueueRequest("ghost");
  v1::EnqueueJobsResponse response;
  response.add_results()->set_id("ghost");
  response.mutable_results(0)->set_created(true);
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J1 acknowledged enqueue");
}

TEST_F(CheckersTest, AnAcknowledgementUnderAnotherJobsId) {
  const v1::EnqueueJobsRequest request = s_.EnqueueRequest("");
  v1::EnqueueJobsResponse response;
  response.add_results()->set_id("a");
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J1 acknowledged enqueue");
}

TEST_F(CheckersTest, ACompletionThatIsNotInTheLog) {
  v1::CompleteJobsRequest request;
  request.add_items()->set_id("a");
  *request.mutable_items(0)->mutable_token() = lease_.lease().token();
  v1::CompleteJobsResponse response;
  response.add_results();
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J6 acknowledged completion");
}

TEST_F(CheckersTest, ACancelThatIsNotInTheLog) {
  v1::CancelJobsRequest request;
  request.add_ids("a");
  v1::CancelJobsResponse response;
  response.add_results();
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J19 cancel");
}

TEST_F(CheckersTest, ADeletionThatIsNotInTheLog) {
  v1::DeleteJobsRequest request;
  request.add_ids("b");
  v1::DeleteJobsResponse response;
  response.add_results();
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J26 delete");
}

TEST_F(CheckersTest, ADeletionOfALeasedJob) {
  const auto rule = [&](const char* id) {
    return RuleOf(
        [&] { s_.world.grants().OnDeleted(s_.Term(number_), *s_.world.jobs().Find(id)); });
  };
  EXPECT_EQ(rule("a"), "J26 delete");
  EXPECT_EQ(rule("b"), "");
  ASSERT_EQ(s_.Release(number_, lease_), "OK");
  EXPECT_EQ(rule("a"), "");
}

TEST_F(CheckersTest, APauseThatIsNotInTheLog) {
  v1::PauseQueueRequest request;
  request.set_queue(lease_.queue());
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, v1::PauseQueueResponse()), "J25 pause");
  v1::ResumeQueueRequest resume;
  resume.set_queue(lease_.queue());
  EXPECT_EQ(RuleOfAnswer(CallNow(), resume, v1::ResumeQueueResponse()), "J25 pause");
}

TEST_F(CheckersTest, AGrantFromAPausedQueue) {
  queue::PauseCall call;
  call.request.set_queue(lease_.queue());
  bool paused = false;
  call.done = [&](const auto& outcome) { paused = outcome.ok(); };
  s_.world.node(number_).node().Submit(std::move(call));
  s_.world.Run(1s);
  ASSERT_TRUE(paused);
  EXPECT_EQ(RuleOf([&] { s_.world.grants().OnGrant(leader(), "b", Token(100)); }), "J25 pause");
}

TEST_F(CheckersTest, PurgesAndRedrivesWithWrongCounts) {
  v1::PurgeQueueRequest purge;
  purge.set_queue(lease_.queue());
  purge.set_max_jobs(10);
  v1::PurgeQueueResponse purged;
  s_.world.answers().Arrive(CallNow(), purge);
  EXPECT_EQ(RuleOfAnswer(CallNow(), purge, purged), "");
  purged.set_purged(1);
  s_.world.answers().Arrive(CallNow(), purge);
  EXPECT_EQ(RuleOfAnswer(CallNow(), purge, purged), "J27 sweep") << "none is gone";

  v1::FailJobsRequest fail;
  fail.add_items()->set_id("a");
  *fail.mutable_items(0)->mutable_token() = lease_.lease().token();
  fail.mutable_items(0)->set_reject(true);
  queue::FailCall call;
  call.request = fail;
  call.done = [](auto) {};
  s_.world.answers().Arrive(CallNow(), fail);
  s_.world.node(number_).node().Submit(std::move(call));
  s_.world.Run(1s);
  v1::RedriveJobsRequest redrive;
  redrive.set_max_jobs(10);
  v1::RedriveJobsResponse redriven;
  EXPECT_EQ(RuleOfAnswer(CallNow(), redrive, redriven), "J27 sweep") << "\"a\" is dead";
  redriven.set_more(true);
  EXPECT_EQ(RuleOfAnswer(CallNow(), redrive, redriven), "");
  redriven.set_redriven(1);
  EXPECT_EQ(RuleOfAnswer(CallNow(), redrive, redriven), "J27 sweep") << "none came back";
}

TEST_F(CheckersTest, StaleAndWrongReads) {
  v1::GetJobRequest request;
  request.set_id("a");
  v1::GetJobResponse response;
  leader().node().state().FillJob(leader().node().state().Find("a"), true, response.mutable_job());
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "");
  ServerCall early = CallNow();
  early.required = early.required.Next();
  EXPECT_EQ(RuleOfAnswer(early, request, response), "J16 stale read");
  v1::GetJobResponse wrong = response;
  wrong.mutable_job()->mutable_counters()->set_failed(1);
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, wrong), "J10 state of a job");
  wrong = response;
  wrong.mutable_job()->set_payload("1:other");
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, wrong), "J2 payload");
}

TEST_F(CheckersTest, InventedAndMissingAttempts) {
  v1::GetJobRequest request;
  request.set_id("a");
  v1::GetJobResponse response;
  const queue::StateMachine& state = leader().node().state();
  state.FillJob(state.Find("a"), true, response.mutable_job());
  response.mutable_job()->add_attempts()->set_number(1);
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J30 attempts") << "there was none";

  v1::FailJobsRequest fail;
  fail.add_items()->set_id("a");
  *fail.mutable_items(0)->mutable_token() = lease_.lease().token();
  queue::FailCall call;
  call.request = fail;
  call.done = [](auto) {};
  s_.world.answers().Arrive(CallNow(), fail);
  s_.world.node(number_).node().Submit(std::move(call));
  s_.world.Run(1s);
  response.Clear();
  state.FillJob(state.Find("a"), true, response.mutable_job());
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J30 attempts") << "it is left out";
  state.FillAttempts(state.Find("a"), response.mutable_job());
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "");
  response.mutable_job()->mutable_attempts(0)->set_worker_id("somebody else");
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J30 attempts");
}

TEST_F(CheckersTest, DeadGroupsWithWrongCounts) {
  v1::FailJobsRequest fail;
  fail.add_items()->set_id("a");
  *fail.mutable_items(0)->mutable_token() = lease_.lease().token();
  fail.mutable_items(0)->set_reject(true);
  queue::FailCall call;
  call.request = fail;
  call.done = [](auto) {};
  s_.world.answers().Arrive(CallNow(), fail);
  s_.world.node(number_).node().Submit(std::move(call));
  s_.world.Run(1s);
  v1::Job job;
  const queue::StateMachine& state = leader().node().state();
  state.FillJob(state.Find("a"), false, &job);
  ASSERT_EQ(job.state(), v1::JOB_STATE_DEAD);
  const v1::GroupDeadJobsRequest request;
  v1::GroupDeadJobsResponse response;
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J31 groups") << "\"a\" is dead";
  response.set_more(true);
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "");
  response.set_more(false);
  auto* group = response.add_groups();
  group->set_queue(job.queue());
  group->set_type(job.type());
  group->set_jobs(1);
  group->add_sample_ids("a");
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "");
  group->set_type("another");
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J31 groups") << "not a's type";
  group->set_type(job.type());
  group->set_jobs(2);
  EXPECT_EQ(RuleOfAnswer(CallNow(), request, response), "J31 groups") << "one is dead";
}

TEST_F(CheckersTest, TimeBeyondTheClocksOfAMajority) {
  // The clocks of a majority are an hour ahead, and the log follows them.
  for (const int number : {1, 2}) s_.world.node(number).JumpWall(1h);
  s_.world.Run(1s);
  ASSERT_EQ(s_.Enqueue(number_, "c"), "OK");
  const auto rule_of = [this](ClockChecker* checker) {
    return RuleOf([&] { checker->AfterApply(leader()); });
  };
  EXPECT_EQ(rule_of(&s_.world.clocks()), "");
  for (const int number : {1, 2}) s_.world.node(number).JumpWall(-1h);
  EXPECT_EQ(rule_of(&s_.world.clocks()), "") << "it has seen the jumps";
  ClockChecker fresh(&s_.world);
  EXPECT_EQ(rule_of(&fresh), "J32 time");
}

TEST_F(CheckersTest, StatisticsWithAWrongTotal) {
  v1::GetStatsResponse response;
  ASSERT_TRUE(leader().node().state().Stats("", &response).ok());
  EXPECT_EQ(RuleOfAnswer(CallNow(), v1::GetStatsRequest(), response), "");
  response.mutable_total()->set_ready(response.total().ready() + 1);
  EXPECT_EQ(RuleOfAnswer(CallNow(), v1::GetStatsRequest(), response), "J9 conservation");
}

TEST_F(CheckersTest, UnknownReasons) {
  queue::Error error;
  error.reason = "BECAUSE";
  EXPECT_EQ(RuleOf([&] {
              s_.world.answers().Answer(CallNow(), v1::GetJobRequest(),
                                        queue::Outcome<v1::GetJobResponse>(error));
            }),
            "errors");
}

// Every call for the job was answered with a definite error, and the job was created nevertheless.
TEST_F(CheckersTest, AnEffectAfterADefiniteError) {
  const v1::EnqueueJobsRequest request = s_.EnqueueRequest("denied");
  s_.world.answers().Arrive(CallNow(), request);
  queue::Error error;
  error.reason = "NOT_LEADER";
  s_.world.answers().Answer(CallNow(), request, queue::Outcome<v1::EnqueueJobsResponse>(error));
  queue::EnqueueCall call;
  call.request = request;
  call.done = [](auto) {};
  s_.world.node(number_).node().Submit(std::move(call));
  EXPECT_EQ(RuleOf([&] { s_.world.Run(1s); }), "J17 definite errors");
}

// ---- Keys

TEST_F(CheckersTest, WrongAnswersAboutKeys) {
  queue::CreateKeyOrder order;
  order.key.id = "admin_000000000001";
  order.key.digest.fill(1);
  order.key.name = order.key.owner_id = "ann";
  order.key.type = v1::KEY_TYPE_ADMIN;
  order.key.scopes = queue::kAllScopes;
  const auto created = CallAndWait<queue::CreateKeyCall>(order);
  ASSERT_TRUE(created && created->ok());
  const v1::Key valid = created->value;
  EXPECT_EQ(RuleOfAnswer(CallNow(), order, valid), "");
  queue::CreateKeyOrder other = order;
  other.key.id = "admin_000000000002";
  EXPECT_EQ(RuleOfAnswer(CallNow(), other, valid), "J28 keys") << "it is not in the log";
  other = order;
  other.key.digest.fill(2);
  EXPECT_EQ(RuleOfAnswer(CallNow(), other, valid), "J28 keys") << "the id has another digest";

  queue::RevokeKeyOrder revoke;
  revoke.id = order.key.id;
  EXPECT_EQ(RuleOfAnswer(CallNow(), revoke, valid), "J28 keys") << "not in the log";
  v1::ListKeysResponse list;
  EXPECT_EQ(RuleOfAnswer(CallNow(), queue::ListKeysOrder(), list), "J28 keys") << "it is missing";
  *list.add_keys() = valid;
  EXPECT_EQ(RuleOfAnswer(CallNow(), queue::ListKeysOrder(), list), "");
  list.mutable_keys(0)->set_name("bob");
  EXPECT_EQ(RuleOfAnswer(CallNow(), queue::ListKeysOrder(), list), "J28 keys") << "another name";
  queue::ListKeysOrder of_bob;
  of_bob.owner_id = "bob";
  EXPECT_EQ(RuleOfAnswer(CallNow(), of_bob, list), "J28 keys") << "of another owner";

  const auto revoked = CallAndWait<queue::RevokeKeyCall>(revoke);
  ASSERT_TRUE(revoked && revoked->ok());
  EXPECT_EQ(RuleOfAnswer(CallNow(), revoke, revoked->value), "");
  EXPECT_EQ(RuleOfAnswer(CallNow(), revoke, valid), "J28 keys") << "answered as valid";
  EXPECT_EQ(RuleOfAnswer(CallNow(), order, valid), "J28 keys") << "valid again";
  revoke.owner_id = "bob";
  EXPECT_EQ(RuleOfAnswer(CallNow(), revoke, revoked->value), "J28 keys") << "not bob's";
  *list.mutable_keys(0) = valid;
  EXPECT_EQ(RuleOfAnswer(CallNow(), queue::ListKeysOrder(), list), "J28 keys") << "still listed";
  EXPECT_EQ(RuleOf([&] {
              s_.world.keys().OnPublished(leader(), std::make_shared<const queue::KeyTable>(
                                                        std::vector<queue::KeyRecord>{order.key}));
              s_.world.keys().Compare(leader());
            }),
            "J28 keys")
      << "published as valid";
  queue::Error error;
  error.reason = "KEY_NOT_FOUND";
  revoke.owner_id = "ann";
  EXPECT_EQ(
      RuleOf([&] { s_.world.answers().Answer(CallNow(), revoke, queue::Outcome<v1::Key>(error)); }),
      "J28 keys");
}

// ---- Access

TEST_F(CheckersTest, AnswersThatShowADeniedQueue) {
  const ServerCall stranger = CallOf("elsewhere");
  EXPECT_EQ(RuleOfAnswer(stranger, v1::LeaseJobsRequest(), v1::LeaseJobsResponse()), "J29 access")
      << "no queue means \"default\"";
  v1::EnqueueJobsRequest enqueue;
  enqueue.add_jobs();
  EXPECT_EQ(RuleOfAnswer(stranger, enqueue, v1::EnqueueJobsResponse()), "J29 access");
  v1::PauseQueueRequest pause;
  pause.set_queue("default");
  EXPECT_EQ(RuleOfAnswer(stranger, pause, v1::PauseQueueResponse()), "J29 access");

  v1::GetJobRequest get;
  get.set_id("a");
  v1::GetJobResponse job;
  leader().node().state().FillJob(leader().node().state().Find("a"), true, job.mutable_job());
  EXPECT_EQ(RuleOfAnswer(CallNow(), get, job), "");
  EXPECT_EQ(RuleOfAnswer(stranger, get, job), "J29 access");
  v1::ListJobsResponse list;
  *list.add_jobs() = job.job();
  list.mutable_jobs(0)->clear_payload();
  EXPECT_EQ(RuleOfAnswer(CallOf("default"), v1::ListJobsRequest(), list), "");
  EXPECT_EQ(RuleOfAnswer(stranger, v1::ListJobsRequest(), list), "J29 access");

  v1::GetStatsResponse stats;
  ASSERT_TRUE(leader().node().state().Stats("", &stats).ok());
  EXPECT_EQ(RuleOfAnswer(CallOf("default"), v1::GetStatsRequest(), stats), "");
  EXPECT_EQ(RuleOfAnswer(stranger, v1::GetStatsRequest(), stats), "J29 access");
  stats.clear_queues();
  EXPECT_EQ(RuleOfAnswer(stranger, v1::GetStatsRequest(), stats), "J29 access")
      << "the total counts a denied queue";
}

TEST_F(CheckersTest, ChangesInADeniedQueue) {
  const ServerCall stranger = CallOf("elsewhere");
  v1::CompleteJobsRequest complete;
  auto* item = complete.add_items();
  item->set_id("a");
  *item->mutable_token() = lease_.lease().token();
  v1::CompleteJobsResponse done;
  done.add_results();
  EXPECT_EQ(RuleOfAnswer(stranger, complete, done), "J29 access");
  *done.mutable_results(0) = queue::ToRpcStatus(queue::LeaseStaleError("a", false));
  EXPECT_EQ(RuleOfAnswer(stranger, complete, done), "J29 access") << "reveals that the job exists";
  *done.mutable_results(0) = queue::ToRpcStatus(queue::JobNotFoundError("a"));
  EXPECT_EQ(RuleOfAnswer(stranger, complete, done), "");
  v1::DeleteJobsRequest remove;
  remove.add_ids("b");
  v1::DeleteJobsResponse removed;
  removed.add_results();
  EXPECT_EQ(RuleOfAnswer(stranger, remove, removed), "J29 access");

  queue::Error error;
  error.reason = "QUEUE_DENIED";
  const auto denied = [&](const ServerCall& call) {
    return RuleOf([&] {
      s_.world.answers().Answer(call, v1::LeaseJobsRequest(),
                                queue::Outcome<v1::LeaseJobsResponse>(error));
    });
  };
  EXPECT_EQ(denied(stranger), "");
  EXPECT_EQ(denied(CallOf("default")), "J29 access") << "access to this queue";
  EXPECT_EQ(denied(CallNow()), "J29 access") << "access to all queues";
}

}  // namespace
}  // namespace dqueue::sim
