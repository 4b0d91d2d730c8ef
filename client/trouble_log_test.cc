#include "client/trouble_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace dqueue::client {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

FailedAttempt Refused() {
  return {.status = {Code::kUnavailable, "CONNECTION_REFUSED", "refused"}, .transport = true};
}
FailedAttempt Broken() {
  return {
      .status = {Code::kUnavailable, "", "Socket closed"}, .transport = true, .maybe_done = true};
}
FailedAttempt NoLeader() { return {.status = {Code::kUnavailable, "NO_LEADER", "none"}}; }
FailedAttempt Denied(const std::string& reason) {
  return {.status = {Code::kPermissionDenied, reason, "no"}};
}

class TroubleLogTest : public testing::Test {
 protected:
  bool Fail(const std::string& server, const FailedAttempt& failure,
            Activity activity = Activity::kLease) {
    return log_.OnFailure(activity, server, failure, now_);
  }
  void Succeed(Activity activity = Activity::kLease) { log_.OnSuccess(activity, now_); }

  Clock::time_point now_ = Clock::time_point() + 1h;
  std::vector<std::string> told_;
  TroubleLog log_{2, [this](const Status& status) {
                    told_.push_back(status.ok() ? status.message : status.reason);
                  }};
};

TEST_F(TroubleLogTest, EveryServerMustFail) {
  EXPECT_FALSE(Fail("a", Refused()));
  EXPECT_FALSE(Fail("a", Refused()));
  Succeed();
  EXPECT_FALSE(Fail("b", Refused()));
  EXPECT_THAT(told_, ElementsAre());
  EXPECT_TRUE(Fail("a", Refused()));
  EXPECT_TRUE(log_.active());
  EXPECT_THAT(told_, ElementsAre("CONNECTION_REFUSED"));
}

TEST_F(TroubleLogTest, EachCauseOnceAndTheEnd) {
  Fail("a", Refused());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(Fail("b", Refused()));
    now_ += 500ms;
  }
  EXPECT_THAT(told_, ElementsAre("CONNECTION_REFUSED"));
  Fail("b", NoLeader());
  Fail("b", NoLeader());
  Fail("b", Refused());
  EXPECT_THAT(told_, ElementsAre("CONNECTION_REFUSED", "NO_LEADER"));
  Succeed();
  EXPECT_FALSE(log_.active());
  EXPECT_THAT(told_, ElementsAre("CONNECTION_REFUSED", "NO_LEADER",
                                 "the servers answer again, after 500.0 s"));
  Succeed();
  EXPECT_EQ(told_.size(), 3u);
  // It is told again when it begins again.
  Fail("a", Refused());
  Fail("b", Refused());
  EXPECT_EQ(told_.size(), 4u);
}

TEST_F(TroubleLogTest, AnElectionIsNotTold) {
  EXPECT_FALSE(Fail("a", NoLeader()));
  now_ += TroubleLog::kPatience - 1ms;
  EXPECT_FALSE(Fail("b", NoLeader()));
  now_ += 1ms;
  EXPECT_TRUE(Fail("b", NoLeader()));
  EXPECT_THAT(told_, ElementsAre("NO_LEADER"));
}

TEST_F(TroubleLogTest, ABrokenConnectionIsToldIfItLasts) {
  Succeed();
  EXPECT_FALSE(Fail("a", Broken()));
  EXPECT_FALSE(Fail("b", Broken()));
  now_ += TroubleLog::kPatience;
  EXPECT_TRUE(Fail("a", Broken()));
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(TroubleLogTest, TheCauseIsWaitedFor) {
  FailedAttempt unknown = Refused();
  unknown.status.reason.clear();
  EXPECT_FALSE(Fail("a", unknown));
  EXPECT_FALSE(Fail("b", unknown));
  EXPECT_TRUE(Fail("a", Refused()));
  EXPECT_THAT(told_, ElementsAre("CONNECTION_REFUSED"));
}

TEST_F(TroubleLogTest, ARefusalIsToldAtOnce) {
  EXPECT_EQ(log_.LeaseRefusal(), std::nullopt);
  EXPECT_TRUE(Fail("a", Denied("KEY_INVALID")));
  const Clock::time_point first = now_;
  now_ += 5s;
  EXPECT_TRUE(Fail("b", Denied("KEY_INVALID")));
  EXPECT_THAT(told_, ElementsAre("KEY_INVALID"));
  ASSERT_TRUE(log_.LeaseRefusal().has_value());
  EXPECT_EQ(log_.LeaseRefusal()->first.reason, "KEY_INVALID");
  EXPECT_EQ(log_.LeaseRefusal()->second, first);
  // Another cause lasts from its own begin.
  Fail("b", Denied("QUEUE_DENIED"));
  EXPECT_EQ(log_.LeaseRefusal()->second, now_);
  EXPECT_THAT(told_, ElementsAre("KEY_INVALID", "QUEUE_DENIED"));
  // A success of another activity does not end the trouble of leasing.
  Succeed(Activity::kExtend);
  EXPECT_TRUE(log_.active());
  Succeed();
  EXPECT_FALSE(log_.active());
  EXPECT_EQ(log_.LeaseRefusal(), std::nullopt);
}

TEST_F(TroubleLogTest, ARefusalOfExtensionsIsNoneOfLeasing) {
  EXPECT_TRUE(Fail("a", Denied("SCOPE_MISSING"), Activity::kExtend));
  EXPECT_EQ(log_.LeaseRefusal(), std::nullopt);
}

}  // namespace
}  // namespace dqueue::client
