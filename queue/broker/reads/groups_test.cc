// Groups of dead jobs: what belongs together, bounded work and memory, and what a group's
// fingerprint redrives.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/error_fingerprint.h"
#include "queue/broker/reads/dead_groups.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using Strings = std::vector<std::string>;

class BrokerGroupsTest : public BrokerTest {
 protected:
  void MakeDead(const std::string& id, const std::string& error, const std::string& queue = "q",
                const std::string& type = "t", bool reject = true) {
    log::v1::CommandBatch batch;
    batch.set_time_ms(wall_ms_);
    auto* job = batch.add_commands()->mutable_enqueue()->add_jobs();
    job->set_id(id);
    job->set_queue(queue);
    job->set_type(type);
    job->set_retention_ms(-1);
    log::v1::Fail* fail = batch.add_commands()->mutable_fail();
    fail->set_id(id);
    fail->mutable_token()->set_term(1);
    fail->mutable_token()->set_sequence(1000);
    fail->set_error(error);
    fail->set_reject(reject);
    ApplyForeign(batch);
    ASSERT_EQ(LogState(id), v1::JOB_STATE_DEAD);
  }
  static v1::GroupDeadJobsRequest Request(const std::string& queue, const std::string& type = "") {
    v1::GroupDeadJobsRequest request;
    request.set_queue(queue);
    request.set_type(type);
    return request;
  }
  template <class Response>
  int RunUntil(const ReplyPtr<Response>& reply) {
    int turns = 0;
    for (; !reply->answered() && turns < 10000; ++turns) Run();
    EXPECT_TRUE(reply->answered());
    return turns;
  }
  // "2 q/t REJECTED error".
  static Strings Show(const ReplyPtr<v1::GroupDeadJobsResponse>& reply) {
    if (!reply->ok()) return {reply->reason()};
    Strings shown;
    for (const auto& g : reply->value().groups()) {
      shown.push_back(std::to_string(g.jobs()) + " " + g.queue() + "/" + g.type() + " " +
                      v1::DeadReason_Name(g.reason()).substr(12) + " " + g.error());
    }
    if (reply->value().more()) shown.push_back("more");
    return shown;
  }
  Strings Groups(const v1::GroupDeadJobsRequest& request = {}) {
    const auto reply = Submit<GroupCall>(request);
    RunUntil(reply);
    return Show(reply);
  }
};

TEST_F(BrokerGroupsTest, OneForEachQueueTypeReasonAndFingerprint) {
  MakeDead("a", "user 1 not found");
  MakeDead("b", "disk full");
  MakeDead("c", "user 2 not found");
  MakeDead("d", "user 3 not found", "q", "t", /*reject=*/false);
  MakeDead("e", "user 4 not found", "q2");
  MakeDead("f", "user 5 not found", "q", "t2");
  Enqueue("live");
  const auto reply = Submit<GroupCall>({});
  RunUntil(reply);
  EXPECT_THAT(Show(reply),
              ElementsAre("2 q/t REJECTED user 1 not found", "1 q/t REJECTED disk full",
                          "1 q/t FAILED user 3 not found", "1 q2/t REJECTED user 4 not found",
                          "1 q/t2 REJECTED user 5 not found"));
  EXPECT_THAT(reply->value().groups(0).sample_ids(), ElementsAre("a", "c"));
  EXPECT_EQ(reply->value().groups(0).error_fingerprint(),
            FingerprintText(ErrorFingerprint("user 77 not found")));
  EXPECT_THAT(Groups(Request("q2")), ElementsAre("1 q2/t REJECTED user 4 not found"));
  EXPECT_THAT(Groups(Request("", "t2")), ElementsAre("1 q/t2 REJECTED user 5 not found"));
  EXPECT_THAT(Groups(Request("none")), ElementsAre("QUEUE_NOT_FOUND"));
  EXPECT_THAT(Groups(Request("no queue")), ElementsAre("INVALID_FIELD"));
}

TEST_F(BrokerGroupsTest, TimesSamplesAndErrorsAreThoseOfTheGroup) {
  const std::string error(600, 'e');
  for (int i = 0; i < 7; ++i) {
    MakeDead(std::to_string(i), error);
    Advance(10s);
  }
  const auto reply = Submit<GroupCall>({});
  RunUntil(reply);
  ASSERT_TRUE(reply->ok());
  ASSERT_EQ(reply->value().groups_size(), 1);
  const auto& group = reply->value().groups(0);
  EXPECT_EQ(group.jobs(), 7);
  EXPECT_EQ(group.first_time().seconds(), kStartMs / 1000);
  EXPECT_EQ(group.last_time().seconds(), kStartMs / 1000 + 60);
  EXPECT_EQ(group.error(), error.substr(0, 512));
  EXPECT_THAT(group.sample_ids(), ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(BrokerGroupsTest, NoMoreThan500AreShownTheLargestFirst) {
  // Letters: numbers would make them one.
  const auto name = [](int i) {
    return std::string(1, static_cast<char>('a' + i / 26)) + static_cast<char>('a' + i % 26);
  };
  for (int i = 0; i < 501; ++i) MakeDead("j" + std::to_string(i), "error " + name(i));
  MakeDead("large", "error " + name(500));
  const Strings shown = Groups();
  ASSERT_EQ(shown.size(), 501u);
  EXPECT_EQ(shown[0], "2 q/t REJECTED error " + name(500));
  EXPECT_EQ(shown[1], "1 q/t REJECTED error aa");
  EXPECT_EQ(shown[500], "more");
}

TEST_F(BrokerGroupsTest, WorkInATurnIsBounded) {
  constexpr int kJobs = 3000;
  for (int i = 0; i < kJobs; ++i) MakeDead("j" + std::to_string(i), std::string(200, 'e'));
  const auto reply = Submit<GroupCall>({});
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_EQ(broker_->Deadline(now_, wall_ms_), now_ + 1ms) << "it goes on";
  EXPECT_GE(RunUntil(reply), 5);
  EXPECT_EQ(reply->value().groups(0).jobs(), kJobs);
  EXPECT_FALSE(reply->value().more());
}

TEST_F(BrokerGroupsTest, TwoAtOnceShareTheTurns) {
  for (int i = 0; i < 3000; ++i) MakeDead("j" + std::to_string(i), std::string(200, 'e'));
  const auto first = Submit<GroupCall>({});
  const auto second = Submit<GroupCall>(Request("q"));
  RunUntil(first);
  RunUntil(second);
  EXPECT_EQ(first->value().groups(0).jobs(), 3000);
  EXPECT_EQ(second->value().groups(0).jobs(), 3000);
}

TEST_F(BrokerGroupsTest, ItsTimeEndsTheLookingAndWhatWasFoundIsShown) {
  for (int i = 0; i < 3000; ++i) MakeDead("j" + std::to_string(i), std::string(200, 'e'));
  const auto reply = Submit<GroupCall>({}, now_ + 1s);
  Run();
  Run();
  EXPECT_FALSE(reply->answered());
  Advance(901ms);  // the rest is for the answer's way
  Run();
  ASSERT_TRUE(reply->ok());
  EXPECT_TRUE(reply->value().more());
  EXPECT_GT(reply->value().groups(0).jobs(), 0);
  EXPECT_LT(reply->value().groups(0).jobs(), 3000);
}

TEST_F(BrokerGroupsTest, ItWaitsForAConfirmation) {
  MakeDead("a", "bad");
  const auto reply = Submit<GroupCall>({});
  broker_->OnTimer(now_, wall_ms_);
  EXPECT_FALSE(reply->answered());
  ASSERT_TRUE(Begin());
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(reply->reason(), "NO_LEADER");
}

TEST_F(BrokerGroupsTest, StepDownEndsSweeps) {
  MakeDead("a", "bad");
  const auto reply = Submit<GroupCall>({});
  StepDown();
  EXPECT_EQ(reply->reason(), "NOT_LEADER");
  Lead(2);
  const auto confirmed = Submit<GroupCall>({});
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_FALSE(confirmed->answered());
  StepDown();
  EXPECT_EQ(confirmed->reason(), "NOT_LEADER");
}

TEST_F(BrokerGroupsTest, TooManyAtOnceAreRefused) {
  std::vector<ReplyPtr<v1::GroupDeadJobsResponse>> replies;
  for (int i = 0; i < 21; ++i) replies.push_back(Submit<GroupCall>({}));
  ASSERT_TRUE(Begin());
  EndRound();
  EXPECT_EQ(replies.back()->reason(), "OVERLOADED");
  for (int i = 0; i < 20; ++i) RunUntil(replies[i]);
  EXPECT_EQ(replies[19]->reason(), "OK");
}

TEST_F(BrokerGroupsTest, QueuesThatTheCallerMayNotSeeAreLeftOut) {
  MakeDead("a", "bad", "mail");
  MakeDead("b", "bad", "sms");
  GroupCall call;
  call.access = std::make_shared<const QueueAccess>(Strings{"mail"});
  const auto reply = SubmitCall(std::move(call));
  RunUntil(reply);
  EXPECT_THAT(Show(reply), ElementsAre("1 mail/t REJECTED bad"));
}

TEST_F(BrokerGroupsTest, AFingerprintRedrivesItsGroup) {
  MakeDead("a", "user 1 not found");
  MakeDead("b", "disk full");
  MakeDead("c", "user 2 not found");
  v1::RedriveJobsRequest request;
  request.set_error_fingerprint(FingerprintText(ErrorFingerprint("user 77 not found")));
  const auto reply = Submit<RedriveCall>(request);
  RunUntil(reply);
  ASSERT_TRUE(reply->ok());
  EXPECT_EQ(reply->value().redriven(), 2);
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_DEAD);
  EXPECT_EQ(LogState("c"), v1::JOB_STATE_READY);
}

TEST(DeadGroups, GroupsBeyondTheBoundAreReportedAsMore) {
  DeadGroups groups;
  std::vector<std::string> types;
  for (size_t i = 0; i <= kGroupsCountedMax; ++i) types.push_back("t" + std::to_string(i));
  for (const std::string& type : types)
    groups.Add({"a", "q", type, v1::DEAD_REASON_FAILED, "e", 7});
  for (int i = 0; i < 3; ++i) {
    groups.Add({"b", "q", types[7], v1::DEAD_REASON_FAILED, "e", 8});
  }
  v1::GroupDeadJobsResponse response;
  groups.Take(&response);
  EXPECT_EQ(response.groups_size(), static_cast<int>(kGroupsShownMax));
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.groups(0).type(), "t7");
  EXPECT_EQ(response.groups(0).jobs(), 4);
}

}  // namespace
}  // namespace dqueue::queue
