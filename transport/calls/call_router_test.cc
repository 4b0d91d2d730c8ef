// Waiting for a leader: deadlines, and no wake-up that is lost.
#include "transport/calls/call_router.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr char kOther[] = "10.0.0.2:1";

// Notes what the router does with it.
class NotedCall final : public RoutedCall {
 public:
  bool answered() const override { return answered_.load(); }
  bool MayHaveEffect() const override { return false; }
  void Retry() override { Note("retry"); }
  void GiveUp() override { Note("give up"); }
  void OnLeaderChange(const std::string& address, bool late) override {
    Note((late ? "late " : "leader ") + address);
  }
  void OnKeyLoss(Clock::time_point) override { Note("key loss"); }
  void OnStop() override { Note("stop"); }
  void SetAnswered() { answered_.store(true); }

  // The next event; "" if none comes in twenty seconds.
  std::string Next() {
    std::unique_lock lock(mutex_);
    if (!noted_.wait_for(lock, 20s, [this] { return taken_ < events_.size(); })) return "";
    return events_[taken_++];
  }
  size_t count() const {
    const std::lock_guard lock(mutex_);
    return events_.size();
  }

 private:
  void Note(const std::string& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    noted_.notify_all();
  }

  std::atomic<bool> answered_{false};
  mutable std::mutex mutex_;
  std::condition_variable noted_;
  std::vector<std::string> events_;
  size_t taken_ = 0;
};

// This node is "a".
class CallRouterTest : public testing::Test {
 protected:
  void SetUp() override {
    router_ = std::make_shared<CallRouter>(&node_, "a", std::make_shared<Authenticator>(false),
                                           [this](const Leader& leader) {
                                             const std::lock_guard lock(told_mutex_);
                                             told_.push_back(leader.name);
                                           });
    router_->Start();
  }
  void TearDown() override { router_->Stop(); }

  void Wait(const std::shared_ptr<NotedCall>& call, uint64_t seen,
            std::chrono::milliseconds time = 60s) {
    router_->WaitForLeader(call, seen, Clock::now() + time);
  }

  FakeNode node_;
  std::mutex told_mutex_;
  std::vector<std::string> told_;
  std::shared_ptr<CallRouter> router_;
};

TEST_F(CallRouterTest, KnowsTheLeaderAsSoonAsTheNodeDoes) {
  EXPECT_FALSE(router_->leader().known());
  node_.SetLeader("b", kOther);
  EXPECT_EQ(router_->leader().address, kOther);
  EXPECT_FALSE(router_->leader().self);
  node_.SetLeader("a", "10.0.0.1:1");
  EXPECT_TRUE(router_->leader().self);
  node_.SetServing(true);
  node_.SetLeader("", "");
  EXPECT_FALSE(router_->leader().known());
  EXPECT_EQ(told_, (std::vector<std::string>{"b", "a", ""})) << "each change once";
}

TEST_F(CallRouterTest, ALeaderThatIsThereAtTheStartIsKnown) {
  node_.SetLeader("b", kOther);
  CallRouter late(&node_, "a", std::make_shared<Authenticator>(false), [](const Leader&) {});
  late.Start();
  EXPECT_EQ(late.leader().name, "b");
}

TEST_F(CallRouterTest, AWaitingCallIsRetriedWhenALeaderAppears) {
  const auto call = std::make_shared<NotedCall>();
  Wait(call, router_->leader().change);
  node_.SetLeader("b", kOther);
  EXPECT_EQ(call->Next(), "retry");
}

TEST_F(CallRouterTest, ALeaderThatAppearedBeforeTheWaitIsNotMissed) {
  const uint64_t seen = router_->leader().change;
  node_.SetLeader("b", kOther);
  const auto call = std::make_shared<NotedCall>();
  Wait(call, seen);
  EXPECT_EQ(call->Next(), "retry");
}

TEST_F(CallRouterTest, TheSameLeaderIsAskedAgainAfterAPause) {
  node_.SetLeader("b", kOther);
  const auto call = std::make_shared<NotedCall>();
  const auto begin = Clock::now();
  Wait(call, router_->leader().change);
  EXPECT_EQ(call->Next(), "retry");
  EXPECT_GE(Clock::now() - begin, kSameLeaderPause);
}

TEST_F(CallRouterTest, ThisNodesReadinessIsAChange) {
  node_.SetLeader("a", "10.0.0.1:1");
  const uint64_t seen = router_->leader().change;
  node_.SetServing(true);
  EXPECT_GT(router_->leader().change, seen);
}

TEST_F(CallRouterTest, AWaitEndsAtItsTimeAndNotBefore) {
  const auto call = std::make_shared<NotedCall>();
  const auto longer = std::make_shared<NotedCall>();
  const auto begin = Clock::now();
  Wait(longer, router_->leader().change);
  Wait(call, router_->leader().change, 50ms);
  EXPECT_EQ(call->Next(), "give up");
  EXPECT_GE(Clock::now() - begin, 50ms);
  EXPECT_EQ(longer->count(), 0u);
  node_.SetLeader("b", kOther);
  EXPECT_EQ(longer->Next(), "retry");
  EXPECT_EQ(call->count(), 1u);
}

TEST_F(CallRouterTest, AnAnsweredCallIsLeftAlone) {
  const auto answered = std::make_shared<NotedCall>();
  const auto call = std::make_shared<NotedCall>();
  Wait(answered, router_->leader().change);
  Wait(call, router_->leader().change);
  answered->SetAnswered();
  node_.SetLeader("b", kOther);
  EXPECT_EQ(call->Next(), "retry");
  EXPECT_EQ(answered->count(), 0u);
}

TEST_F(CallRouterTest, RegisteredCallsHearOfANewLeaderAndOfItsPredecessorsEnd) {
  const auto call = std::make_shared<NotedCall>();
  router_->Register(call.get());
  node_.SetLeader("b", kOther);
  EXPECT_EQ(call->Next(), std::string("leader ") + kOther);
  EXPECT_EQ(call->Next(), std::string("late ") + kOther);
  router_->Unregister(call.get());
}

TEST_F(CallRouterTest, RegisteredCallsAreCheckedTwiceWhenAKeyLosesRights) {
  const auto call = std::make_shared<NotedCall>();
  router_->Register(call.get());
  const auto begin = Clock::now();
  router_->CheckKeys();
  EXPECT_EQ(call->Next(), "key loss");
  EXPECT_LT(Clock::now() - begin, kChangesEndIn) << "at once";
  EXPECT_EQ(call->Next(), "key loss");
  EXPECT_GE(Clock::now() - begin, kChangesEndIn);
  router_->Unregister(call.get());
}

TEST_F(CallRouterTest, ManyLossesDoNotPutOffTheSecondCheck) {
  const auto call = std::make_shared<NotedCall>();
  router_->Register(call.get());
  const auto begin = Clock::now();
  std::atomic<bool> stop{false};
  Clock::time_point last;
  std::thread losses([&] {
    while (!stop.load()) {
      last = Clock::now();
      router_->CheckKeys();
      std::this_thread::sleep_for(20ms);
    }
  });
  while (Clock::now() - begin < 3 * kChangesEndIn) EXPECT_EQ(call->Next(), "key loss");
  stop.store(true);
  losses.join();
  // A check follows kChangesEndIn after the last loss.
  while (Clock::now() < last + kChangesEndIn) EXPECT_EQ(call->Next(), "key loss");
  router_->Unregister(call.get());
}

TEST_F(CallRouterTest, StopAnswersWaitingCalls) {
  const auto before = std::make_shared<NotedCall>();
  Wait(before, router_->leader().change);
  router_->Stop();
  EXPECT_EQ(before->Next(), "stop");
  const auto after = std::make_shared<NotedCall>();
  Wait(after, 0);
  EXPECT_EQ(after->Next(), "stop");
  node_.SetLeader("b", kOther);  // is not heard any more
  EXPECT_FALSE(router_->leader().known());
}

TEST_F(CallRouterTest, NoWakeUpIsLostWhileTheLeaderComesAndGoes) {
  std::atomic<bool> stop{false};
  std::thread elections([&] {
    for (int i = 0; !stop.load(); ++i) {
      node_.SetLeader(i % 2 == 0 ? "b" : "", i % 2 == 0 ? kOther : "");
      std::this_thread::yield();
    }
    node_.SetLeader("b", kOther);
  });
  // Each wait begins right after a look at the leader, as a call's does.
  std::vector<std::shared_ptr<NotedCall>> calls;
  for (int i = 0; i < 2000; ++i) {
    const auto& call = calls.emplace_back(std::make_shared<NotedCall>());
    Wait(call, router_->leader().change);
  }
  stop.store(true);
  elections.join();
  for (const auto& call : calls) EXPECT_EQ(call->Next(), "retry");
  for (const auto& call : calls) EXPECT_EQ(call->count(), 1u);
}

}  // namespace
}  // namespace dqueue::transport
