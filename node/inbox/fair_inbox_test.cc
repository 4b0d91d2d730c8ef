#include "node/inbox/fair_inbox.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "node/inbox/inbox.h"

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;
using queue::AnyCall;
using queue::CallKind;

constexpr size_t kMax = 100'000;
constexpr size_t kMaxBytes = size_t{1} << 40;
constexpr int64_t kAll = INT64_MAX;

// Calls of the four kinds. The worker id of a lease, and the id or queue of others, is `name`.
template <class C>
C With(const std::string& caller, const std::string& name) {
  C call;
  call.caller = caller;
  if constexpr (requires { call.request.set_id(name); }) {
    call.request.set_id(name);
  } else if constexpr (requires { call.request.set_worker_id(name); }) {
    call.request.set_worker_id(name);
  } else if constexpr (requires { call.request.set_queue(name); }) {
    call.request.set_queue(name);
  }
  return call;
}
AnyCall Leasing(const std::string& caller, const std::string& name = "") {
  return With<queue::LeaseCall>(caller, name);
}
AnyCall Reading(const std::string& caller, const std::string& name = "") {
  return With<queue::GetCall>(caller, name);
}
AnyCall Pausing(const std::string& caller, const std::string& name = "") {
  return With<queue::PauseCall>(caller, name);
}
AnyCall Enqueuing(const std::string& caller, int jobs) {
  queue::EnqueueCall call;
  call.caller = caller;
  for (int i = 0; i < jobs; ++i) call.request.add_jobs();
  return call;
}
AnyCall Listing(const std::string& caller, int jobs = 15, bool full = false) {
  auto call = With<queue::ListCall>(caller, "");
  call.request.set_page_size(jobs);
  call.request.set_full(full);
  return call;
}
AnyCall OfKind(CallKind kind, const std::string& caller) {
  switch (kind) {
    case CallKind::kLeases:
      return Leasing(caller);
    case CallKind::kMutations:
      return Pausing(caller);
    case CallKind::kReads:
      return Reading(caller);
    case CallKind::kListings:
      return Listing(caller);
  }
  return Leasing(caller);
}
constexpr CallKind kKinds[] = {CallKind::kLeases, CallKind::kMutations, CallKind::kReads,
                               CallKind::kListings};

std::string CallerOf(const AnyCall& call) {
  return std::visit([](const auto& c) { return c.caller; }, call);
}
std::string NameOf(const AnyCall& call) {
  if (const auto* lease = std::get_if<queue::LeaseCall>(&call)) return lease->request.worker_id();
  if (const auto* get = std::get_if<queue::GetCall>(&call)) return get->request.id();
  if (const auto* pause = std::get_if<queue::PauseCall>(&call)) return pause->request.queue();
  return "";
}

class FairInboxTest : public testing::Test {
 protected:
  // "" or the cause of the refusal.
  std::string Add(AnyCall call, size_t max_calls = kMax, size_t max_bytes = kMaxBytes) {
    const auto error = inbox_.Add(call, MemoryOf(call), {.calls = max_calls, .bytes = max_bytes});
    if (!error) return "";
    EXPECT_EQ(error->reason, "OVERLOADED");
    EXPECT_EQ(error->code, absl::StatusCode::kResourceExhausted);
    EXPECT_GT(error->retry_after, 0ms);
    EXPECT_EQ(error->metadata.at("kind"), queue::CallKindName(queue::KindOf(call)));
    EXPECT_NE(error->metadata.at("limit"), "");
    return error->metadata.at("cause");
  }
  void AddMany(int count, const AnyCall& call) {
    for (int i = 0; i < count; ++i) ASSERT_EQ(Add(call), "") << i;
  }
  std::vector<AnyCall> Take(int64_t cost = kAll) { return inbox_.Take(now_, cost).calls; }
  static std::map<std::string, int64_t> CostsOfCallers(const std::vector<AnyCall>& calls) {
    std::map<std::string, int64_t> costs;
    for (const AnyCall& call : calls) costs[CallerOf(call)] += CostOf(call);
    return costs;
  }
  // Enough calls that they are not handed out as they came.
  static constexpr int kBacklog = FairInbox::kFairFrom + 1;

  FairInbox inbox_;
  Time now_{1h};
};

TEST_F(FairInboxTest, WithoutABacklogTheOrderIsThatOfArrival) {
  for (size_t i = 0; i < FairInbox::kFairFrom; ++i) {
    const std::string name = std::to_string(i);
    ASSERT_EQ(Add(i % 3 == 0   ? Reading("b", name)
                  : i % 3 == 1 ? Leasing("a", name)
                               : Pausing("c", name)),
              "");
  }
  const std::vector<AnyCall> calls = Take(/*cost=*/1);
  ASSERT_EQ(calls.size(), FairInbox::kFairFrom) << "all, whatever they cost";
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(NameOf(calls[i]), std::to_string(i));
  EXPECT_TRUE(inbox_.empty());
}

TEST_F(FairInboxTest, ATurnTakesWhatFits) {
  AddMany(1000, Enqueuing("a", 9));
  EXPECT_EQ(Take(100).size(), 10u);
  EXPECT_EQ(Take(101).size(), 11u) << "the last one may exceed it";
  EXPECT_EQ(Take(1).size(), 1u) << "at least one";
  EXPECT_EQ(inbox_.size(), 1000u - 22);
}

TEST_F(FairInboxTest, KindsGetTheLoopByTheirWeights) {
  for (int i = 0; i < 4000; ++i) {
    for (const CallKind kind : kKinds) ASSERT_EQ(Add(OfKind(kind, "a")), "");
  }
  std::map<CallKind, int64_t> costs;
  for (const AnyCall& call : Take(3000)) costs[queue::KindOf(call)] += CostOf(call);
  EXPECT_NEAR(costs[CallKind::kLeases], 1600, 50);
  EXPECT_NEAR(costs[CallKind::kMutations], 800, 50);
  EXPECT_NEAR(costs[CallKind::kReads], 400, 50);
  EXPECT_NEAR(costs[CallKind::kListings], 200, 50);
}

TEST_F(FairInboxTest, ListingsDoNotStarveLeases) {
  for (int caller = 0; caller < 100; ++caller) {
    AddMany(100, Listing(std::to_string(caller), 1000, true));
  }
  AddMany(3, Leasing("worker"));
  const std::vector<AnyCall> calls = Take(10'000);
  int leases = 0;
  for (const AnyCall& call : calls) leases += CallerOf(call) == "worker";
  EXPECT_EQ(leases, 3);
  EXPECT_LE(calls.size(), 3u + 3u) << "a listing of 1000 whole jobs costs 4 ms";
}

TEST_F(FairInboxTest, AKindThatWasIdleGetsNoCreditForIt) {
  AddMany(5000, Listing("a"));
  for (int i = 0; i < 20; ++i) Take(1000);
  AddMany(5000, Leasing("b"));
  std::map<CallKind, int64_t> costs;
  for (const AnyCall& call : Take(900)) costs[queue::KindOf(call)] += CostOf(call);
  EXPECT_NEAR(costs[CallKind::kListings], 100, 40) << "they go on, by their weight";
}

TEST_F(FairInboxTest, CallersOfAKindGetEqualShares) {
  AddMany(3000, Reading("flood"));
  AddMany(40, Reading("one"));
  AddMany(40, Reading("another"));
  const auto costs = CostsOfCallers(Take(240));
  EXPECT_NEAR(costs.at("one"), 80, 4);
  EXPECT_NEAR(costs.at("another"), 80, 4);
  EXPECT_NEAR(costs.at("flood"), 80, 4);
}

TEST_F(FairInboxTest, LargeCallsCountAsWhatTheyAre) {
  AddMany(100, Enqueuing("large", 999));
  AddMany(10'000, Enqueuing("small", 0));
  const auto costs = CostsOfCallers(Take(10'000));
  EXPECT_NEAR(costs.at("large"), 5000, 1000);
  EXPECT_NEAR(costs.at("small"), 5000, 1000);
}

// Whoever sends its next call only after the last one was taken is never in the queue with two, and
// must not gain by that.
TEST_F(FairInboxTest, OneLargeCallAtATimeIsNoWayAround) {
  AddMany(20'000, Enqueuing("small", 0));
  std::map<std::string, int64_t> costs;
  ASSERT_EQ(Add(Enqueuing("large", 999)), "");
  for (int turn = 0; turn < 100; ++turn) {
    bool again = false;
    for (const auto& [caller, cost] : CostsOfCallers(Take(100))) {
      costs[caller] += cost;
      again = again || caller == "large";
    }
    if (again) {
      ASSERT_EQ(Add(Enqueuing("large", 999)), "");
    }
  }
  EXPECT_LE(costs["large"], costs["small"] + 2000);
  EXPECT_GE(costs["large"], 2000) << "and its share it gets";
}

TEST_F(FairInboxTest, OrderOfOneCallerAndKindIsThatOfArrival) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(Add(Pausing("a", std::to_string(i))), "");
    ASSERT_EQ(Add(Pausing("b", std::to_string(i))), "");
  }
  std::map<std::string, int> next;
  while (!inbox_.empty()) {
    for (const AnyCall& call : Take(37)) {
      EXPECT_EQ(NameOf(call), std::to_string(next[CallerOf(call)]++));
    }
  }
  EXPECT_EQ(next["a"], 1000);
}

TEST_F(FairInboxTest, EachKindHasItsLimit) {
  const std::map<CallKind, size_t> limits = {{CallKind::kLeases, 8000},
                                             {CallKind::kMutations, 4000},
                                             {CallKind::kReads, 2000},
                                             {CallKind::kListings, 1000}};
  for (const auto& [kind, limit] : limits) {
    inbox_ = FairInbox();
    // So many callers that no share is exceeded.
    size_t taken = 0;
    std::string cause;
    while (cause.empty() && taken <= 8000) {
      cause = Add(OfKind(kind, std::to_string(taken)), 8000);
      taken += cause.empty();
    }
    EXPECT_EQ(cause, "full") << queue::CallKindName(kind);
    EXPECT_EQ(taken, limit) << queue::CallKindName(kind);
  }
}

TEST_F(FairInboxTest, ARoomIsLeftForLeases) {
  size_t added = 0;
  for (const CallKind kind : {CallKind::kListings, CallKind::kReads, CallKind::kMutations}) {
    for (int i = 0; i < 8000; ++i) added += Add(OfKind(kind, std::to_string(i)), 8000).empty();
  }
  EXPECT_EQ(added, 7000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(Add(Leasing(std::to_string(i)), 8000), "") << i;
  EXPECT_EQ(Add(Leasing("x"), 8000), "full");
}

TEST_F(FairInboxTest, OneCallerCannotTakeTheRoomOfOthers) {
  // Alone it may use half of the room of the kind, then no more than its share.
  size_t flood = 0;
  while (Add(Reading("flood"), 8000).empty()) ++flood;
  EXPECT_EQ(flood, 1000u);
  EXPECT_EQ(Add(Reading("flood"), 8000), "caller_share");
  EXPECT_EQ(Add(Pausing("flood"), 8000), "") << "of another kind";
  size_t other = 0;
  while (Add(Reading("other"), 8000).empty()) ++other;
  EXPECT_EQ(other, 2000u / 3) << "an equal share for the two, and for one more";
  EXPECT_EQ(Add(Reading("third"), 8000), "");
  // Room that others leave may be used again.
  Take(2 * 1700);
  EXPECT_EQ(Add(Reading("flood"), 8000), "");
}

TEST_F(FairInboxTest, ACallThatWouldComeTooLateIsRefusedAtOnce) {
  Take();
  AddMany(kBacklog, Enqueuing("slow", 100));
  AddMany(kBacklog, Leasing("slow"));
  Take(10);
  EXPECT_EQ(Add(Pausing("slow")), "");
  now_ += FairInbox::kDelayMax;
  Take(10);
  EXPECT_EQ(Add(Pausing("slow")), "delay") << "its first call has waited for so long";
  EXPECT_EQ(Add(Pausing("other")), "") << "another caller does not wait behind it";
  EXPECT_EQ(Add(Leasing("slow")), "") << "workers are never refused for that";
  while (inbox_.size() > FairInbox::kFairFrom) Take(1000);
  Take();
  EXPECT_EQ(Add(Pausing("slow")), "");
}

TEST_F(FairInboxTest, WhatWaitsSinceBeforeTheFirstTurnIsNotLate) {
  AddMany(kBacklog, Enqueuing("a", 100));
  Take(10);
  EXPECT_EQ(Add(Pausing("a")), "");
}

TEST_F(FairInboxTest, FewCallsAreNeverRefused) {
  for (size_t i = 0; i < FairInbox::kFairFrom; ++i) ASSERT_EQ(Add(Listing("a"), 300), "") << i;
  EXPECT_NE(Add(Listing("a"), 300), "");
  Take();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Add(Leasing("a"), 10), "") << i;
  EXPECT_EQ(Add(Leasing("a"), 10), "full") << "unless the node allows fewer";
}

// An enqueue of one job with a payload of so many bytes.
AnyCall Carrying(const std::string& caller, size_t bytes) {
  queue::EnqueueCall call;
  call.caller = caller;
  call.request.add_jobs()->set_payload(std::string(bytes, 'x'));
  return call;
}

TEST_F(FairInboxTest, AKindCannotUseTheMemoryOfOthers) {
  constexpr size_t kBytes = 64000;
  size_t taken = 0;
  while (Add(Carrying(std::to_string(taken), 3000), kMax, kBytes).empty()) ++taken;
  EXPECT_EQ(taken, 8u) << "half of the bytes";
  EXPECT_EQ(Add(Carrying("x", 3000), kMax, kBytes), "bytes");
  EXPECT_EQ(Add(Pausing("x"), kMax, kBytes), "") << "it is small";
  EXPECT_EQ(Add(Leasing("x"), kMax, kBytes), "") << "the rest is for other kinds";
  EXPECT_GE(inbox_.bytes(), 8u * 3000);
  Take();
  EXPECT_EQ(inbox_.bytes(), 0u);
  EXPECT_EQ(Add(Carrying("x", 3000), kMax, kBytes), "");
}

TEST_F(FairInboxTest, OneCallerCannotUseTheMemoryOfOthers) {
  constexpr size_t kBytes = 128000;
  size_t flood = 0;
  while (Add(Carrying("flood", 3000), kMax, kBytes).empty()) ++flood;
  EXPECT_EQ(flood, 9u) << "half of what the kind may use";
  EXPECT_EQ(Add(Carrying("flood", 3000), kMax, kBytes), "caller_share");
  EXPECT_EQ(Add(Carrying("other", 3000), kMax, kBytes), "");
}

TEST_F(FairInboxTest, OneCallOfAKindAlwaysFits) {
  constexpr size_t kBytes = 64000;
  EXPECT_EQ(Add(Carrying("a", 100000), kMax, kBytes), "");
  EXPECT_EQ(Add(Carrying("b", 1), kMax, kBytes), "bytes");
  queue::CompleteCall complete;
  complete.request.add_items()->set_result(std::string(100000, 'r'));
  EXPECT_EQ(Add(complete, kMax, kBytes), "");
  EXPECT_EQ(Add(complete, kMax, kBytes), "bytes");
}

TEST_F(FairInboxTest, NoWorkIsDoneForLateCallsAndForThoseWhoAreGone) {
  for (const bool backlog : {false, true}) {
    auto late = With<queue::GetCall>("a", "late");
    late.deadline = now_;
    auto gone = With<queue::LeaseCall>("b", "gone");
    gone.cancelled = std::make_shared<std::atomic<bool>>(true);
    auto in_time = With<queue::GetCall>("a", "in time");
    in_time.deadline = now_ + 1us;
    in_time.cancelled = std::make_shared<std::atomic<bool>>(false);
    for (const AnyCall& call : {AnyCall(late), AnyCall(gone), AnyCall(in_time)}) {
      ASSERT_EQ(Add(call), "");
    }
    if (backlog) AddMany(kBacklog, Pausing("c", "more"));
    const FairInbox::Taken taken = inbox_.Take(now_, backlog ? 50 : kAll);
    ASSERT_EQ(taken.late.size(), 2u);
    bool found = false;
    for (const AnyCall& call : taken.calls) {
      EXPECT_TRUE(NameOf(call) == "in time" || NameOf(call) == "more");
      found = found || NameOf(call) == "in time";
    }
    EXPECT_TRUE(found);
    EXPECT_GE(taken.calls.size(), backlog ? 20u : 1u) << "they cost next to nothing";
    while (!inbox_.empty()) Take();
  }
}

TEST_F(FairInboxTest, EveryCallComesOutOnce) {
  std::minstd_rand random(7);
  std::map<std::string, int> inside;
  int number = 0;
  for (int step = 0; step < 2000; ++step) {
    for (uint32_t i = 0; i < random() % 60; ++i) {
      const std::string name = std::to_string(number++);
      const std::string caller = std::to_string(random() % 20);
      AnyCall call = random() % 3 == 0   ? Leasing(caller, name)
                     : random() % 2 == 0 ? Reading(caller, name)
                                         : Pausing(caller, name);
      const InboxLimits limits{.calls = 2000, .bytes = kMaxBytes};
      if (inbox_.Add(call, MemoryOf(call), limits)) {
        EXPECT_EQ(NameOf(call), name) << "a refused call is unchanged";
        EXPECT_GE(inbox_.size(), FairInbox::kFairFrom);
      } else {
        inside[name] = 1;
      }
    }
    now_ += 1ms;
    for (const AnyCall& call : Take(static_cast<int64_t>(random() % 80))) {
      ASSERT_EQ(inside.erase(NameOf(call)), 1u);
    }
    ASSERT_EQ(inbox_.size(), inside.size());
    ASSERT_GE(inbox_.bytes(), inside.size());
  }
  while (!inbox_.empty()) {
    for (const AnyCall& call : Take(1000)) ASSERT_EQ(inside.erase(NameOf(call)), 1u);
  }
  EXPECT_TRUE(inside.empty());
  EXPECT_EQ(inbox_.bytes(), 0u);
}

TEST(MemoryOf, CountsTheObjectsOfSmallFieldsToo) {
  EXPECT_GE(MemoryOf(Carrying("a", 100000)), 100000u);
  EXPECT_LE(MemoryOf(Carrying("a", 100000)), 102000u);
  queue::EnqueueCall call;
  for (int i = 0; i < 100; ++i) {
    v1::JobSpec* job = call.request.add_jobs();
    for (int h = 0; h < 60; ++h) (*job->mutable_headers())[std::to_string(h)] = "x";
  }
  const auto used = static_cast<double>(call.request.SpaceUsedLong());
  const auto counted = static_cast<double>(MemoryOf(call));
  EXPECT_GT(counted, 0.7 * used);
  EXPECT_LT(counted, 2 * used);
  queue::CompleteCall complete;
  for (int i = 0; i < 1000; ++i) {
    auto* item = complete.request.add_items();
    item->set_id("job-" + std::to_string(i));
    item->mutable_token()->set_term(7);
  }
  EXPECT_GT(static_cast<double>(MemoryOf(complete)),
            0.7 * static_cast<double>(complete.request.SpaceUsedLong()));
}

// A turn that takes no calls, because the loop has some left, lets the time go on for those that
// wait.
TEST_F(FairInboxTest, ACallThatArrivesAfterTurnsWithoutCallsHasNotWaitedThroughThem) {
  Take();
  now_ += FairInbox::kDelayMax;
  inbox_.SetTime(now_);
  AddMany(kBacklog, Pausing("a"));
  inbox_.SetTime(now_ += FairInbox::kDelayMax - 1ms);
  EXPECT_EQ(Add(Pausing("a")), "") << "the first has waited since the last turn before it";
  inbox_.SetTime(now_ += 1ms);
  EXPECT_EQ(Add(Pausing("a")), "delay");
}

TEST(CostOf, GrowsWithTheCall) {
  EXPECT_EQ(CostOf(Leasing("a")), 2);
  EXPECT_EQ(CostOf(Reading("a")), 2);
  EXPECT_EQ(CostOf(Enqueuing("a", 0)), 1);
  EXPECT_EQ(CostOf(Enqueuing("a", 10'000)), 10'001);
  EXPECT_EQ(CostOf(Listing("a", 100)), 105);
  EXPECT_EQ(CostOf(Listing("a", 100, true)), 405);
  EXPECT_EQ(CostOf(Listing("a", 0)), 5 + 50) << "the default";
  EXPECT_EQ(CostOf(Listing("a", -1)), 5 + 50) << "refused later";
  queue::CompleteCall complete;
  for (int i = 0; i < 5; ++i) complete.request.add_items();
  EXPECT_EQ(CostOf(complete), 6);
  queue::CancelCall cancel;
  cancel.request.add_ids("x");
  EXPECT_EQ(CostOf(cancel), 2);
  EXPECT_EQ(CostOf(queue::PurgeCall()), 50);
  EXPECT_EQ(CostOf(queue::StatsCall()), 50);
}

TEST(Inbox, CallsThatDoNotFitWaitForTheNextTurn) {
  constexpr InboxLimits kLimits{.calls = 10000, .bytes = kMaxBytes};
  Inbox inbox;
  std::optional<queue::Error> refused;
  for (int i = 0; i < 3; ++i) {
    AnyCall call = Enqueuing("a", Inbox::kTurnCost);
    EXPECT_EQ(inbox.AddCall(call, kLimits, &refused), i == 0) << "the loop is woken once";
    EXPECT_FALSE(refused);
  }
  for (size_t i = 0; i < FairInbox::kFairFrom; ++i) {
    AnyCall call = Enqueuing("a", 0);
    inbox.AddCall(call, kLimits, &refused);
    EXPECT_FALSE(refused);
  }
  InboxContents left;
  EXPECT_TRUE(inbox.Take(Time(1h), &left));
  EXPECT_EQ(left.calls.size(), 1u);
  AnyCall call = Leasing("b");
  EXPECT_FALSE(inbox.AddCall(call, kLimits, &refused)) << "the loop goes on by itself";
  EXPECT_TRUE(inbox.Take(Time(1h), &left));
  EXPECT_EQ(left.calls.size(), 1u) << "the loop has a call left";
  left.calls.clear();
  inbox.Take(Time(1h), &left);
  EXPECT_EQ(CallerOf(left.calls.front()), "b") << "of another kind";
  do {
    left.calls.clear();
  } while (inbox.Take(Time(1h), &left));
  EXPECT_TRUE(inbox.AddCall(call, kLimits, &refused)) << "it was empty";
}

}  // namespace
}  // namespace dqueue::node
