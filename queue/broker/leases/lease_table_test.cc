#include "queue/broker/leases/lease_table.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "base/check.h"
#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

using std::chrono::seconds;

Time At(int s) { return Time(seconds(s)); }

class LeaseTableTest : public testing::Test {
 protected:
  void SetUp() override { table_.Begin(raft::Term(3)); }
  std::vector<uint32_t> ExpiredSlots(int s, size_t max = 100) const {
    std::vector<uint32_t> slots;
    for (const LeaseInfo& lease : table_.Expired(At(s), max)) slots.push_back(lease.job.slot);
    return slots;
  }
  LeaseTable table_;
};

TEST_F(LeaseTableTest, TokensRiseWithinATermAndAcrossTerms) {
  const LeaseToken a = table_.Grant({1}, {}, At(10)).token;
  const LeaseToken b = table_.Grant({2}, {}, At(10)).token;
  EXPECT_EQ(a, (LeaseToken{3, 1}));
  EXPECT_LT(a, b);
  table_.Remove({1}, false);
  EXPECT_LT(b, table_.Grant({1}, {}, At(10)).token);
  table_.Begin(raft::Term(4));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(table_.Find({2}), nullptr);
  EXPECT_EQ(table_.Grant({2}, {}, At(10)).token, (LeaseToken{4, 1}));
}

TEST_F(LeaseTableTest, FindsWhatWasGranted) {
  table_.Grant({70000}, {.worker = 7, .queue = 3, .granted = At(1)}, At(10), 5);
  EXPECT_EQ(table_.Find({1}), nullptr);
  EXPECT_EQ(table_.Find({9'000'000}), nullptr);
  const LeaseInfo* lease = table_.Find({70000});
  ASSERT_NE(lease, nullptr);
  EXPECT_EQ(lease->job.slot, 70000u);
  EXPECT_EQ(lease->owner.worker, 7u);
  EXPECT_EQ(lease->owner.queue, 3u);
  EXPECT_EQ(lease->owner.granted, At(1));
  EXPECT_EQ(lease->expires, At(10));
  EXPECT_EQ(lease->request, 5u);
  EXPECT_TRUE(lease->held);
  EXPECT_FALSE(lease->acking());
  EXPECT_EQ(lease->delivery, 1u);
  EXPECT_FALSE(lease->used);
}

TEST_F(LeaseTableTest, CountsDeliveriesOfItsOwnGrants) {
  table_.Grant({1}, {}, At(10));
  table_.Redeliver({1});
  EXPECT_EQ(table_.Find({1})->delivery, 2u);
  table_.SetUsed({1});
  EXPECT_TRUE(table_.Find({1})->used);
  table_.Remove({1}, false);
  table_.Grant({1}, {}, At(10));
  EXPECT_EQ(table_.Find({1})->delivery, 1u);
  EXPECT_FALSE(table_.Find({1})->used);
  // Of earlier leaders.
  table_.Adopt({2}, {2, 9}, {}, At(10), true);
  EXPECT_EQ(table_.Find({2})->delivery, 0u);
  EXPECT_TRUE(table_.Find({2})->used);
  table_.TakeOver({2}, {2, 10}, {}, At(10));
  EXPECT_EQ(table_.Find({2})->delivery, 0u);
  EXPECT_TRUE(table_.Find({2})->used);
}

TEST_F(LeaseTableTest, ExpiresEarliestFirstAndEqualTimesInOrderOfGrants) {
  table_.Grant({1}, {}, At(30));
  table_.Grant({2}, {}, At(10));
  table_.Grant({3}, {}, At(20));
  table_.Grant({4}, {}, At(10));
  EXPECT_EQ(table_.NextExpiry(), At(10));
  EXPECT_TRUE(ExpiredSlots(9).empty());
  EXPECT_EQ(ExpiredSlots(10), (std::vector<uint32_t>{2, 4}));
  EXPECT_EQ(ExpiredSlots(30), (std::vector<uint32_t>{2, 4, 3, 1}));
  EXPECT_EQ(ExpiredSlots(30, 3), (std::vector<uint32_t>{2, 4, 3}));
  table_.Extend({2}, At(40));
  EXPECT_EQ(ExpiredSlots(40), (std::vector<uint32_t>{4, 3, 1, 2}));
  table_.Extend({2}, At(5));
  EXPECT_EQ(table_.NextExpiry(), At(5));
}

TEST_F(LeaseTableTest, AckingLeasesDoNotExpireUntilTheLastCommandIsDecided) {
  table_.Grant({1}, {}, At(10));
  table_.AddCommand({1});
  table_.AddCommand({1});
  EXPECT_TRUE(table_.Find({1})->acking());
  EXPECT_EQ(table_.NextExpiry(), Time::max());
  EXPECT_TRUE(ExpiredSlots(99).empty());
  table_.RemoveCommand({1});
  EXPECT_TRUE(ExpiredSlots(99).empty());
  table_.Extend({1}, At(20));
  table_.RemoveCommand({1});
  EXPECT_EQ(table_.NextExpiry(), At(20));
  table_.AddCommand({1});
  table_.Remove({1}, false);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(table_.NextExpiry(), Time::max());
}

TEST_F(LeaseTableTest, RemembersTheTokenOfAReleasedLease) {
  EXPECT_EQ(table_.Fence({1}), LeaseToken{});
  const LeaseToken first = table_.Grant({1}, {}, At(10)).token;
  table_.Remove({1}, true);
  EXPECT_EQ(table_.Fence({1}), first);
  // A lower one does not lower it.
  table_.Adopt({1}, {2, 9}, {}, At(10), true);
  table_.Remove({1}, true);
  EXPECT_EQ(table_.Fence({1}), first);
  table_.ForgetFence({1});
  EXPECT_EQ(table_.Fence({1}), LeaseToken{});
  table_.Grant({1}, {}, At(10));
  table_.Remove({1}, false);
  EXPECT_EQ(table_.Fence({1}), LeaseToken{});
}

TEST_F(LeaseTableTest, AdoptsWithTheOldToken) {
  table_.Adopt({5}, {2, 77}, {}, At(10), false);
  EXPECT_EQ(table_.Find({5})->token, (LeaseToken{2, 77}));
  EXPECT_FALSE(table_.Find({5})->held);
  table_.SetHeld({5});
  EXPECT_TRUE(table_.Find({5})->held);
  EXPECT_EQ(table_.Grant({6}, {}, At(10)).token, (LeaseToken{3, 1}));
}

using LeaseTableDeathTest = LeaseTableTest;

TEST_F(LeaseTableDeathTest, ViolatedPreconditionsEndTheProcess) {
  table_.Grant({1}, {}, At(10));
  EXPECT_DEATH(table_.Grant({1}, {}, At(10)), "leased already");
  EXPECT_DEATH(table_.Remove({2}, false), "no lease");
  EXPECT_DEATH(table_.RemoveCommand({1}), "commands > 0");
  EXPECT_DEATH(table_.Adopt({2}, {3, 2}, {}, At(10), true), "token <=");
  EXPECT_DEATH(table_.Begin(raft::Term(3)), "term 3 after 3");
}

// Against a model that is too simple to be wrong.
TEST_F(LeaseTableTest, BehavesLikeAMap) {
  struct Lease {
    LeaseToken token;
    Time expires;
    int commands = 0;
  };
  std::map<uint32_t, Lease> model;
  std::mt19937_64 random(11);
  for (int step = 0; step < 50000; ++step) {
    const JobRef job{static_cast<uint32_t>(random() % 300 * 97)};
    const Time expires = At(static_cast<int>(random() % 50));
    const auto it = model.find(job.slot);
    ASSERT_EQ(table_.Find(job) != nullptr, it != model.end());
    if (it == model.end()) {
      model[job.slot] = {table_.Grant(job, {}, expires).token, expires};
    } else {
      ASSERT_EQ(table_.Find(job)->token, it->second.token);
      switch (random() % 4) {
        case 0:
          table_.Remove(job, false);
          model.erase(it);
          break;
        case 1:
          table_.Extend(job, expires);
          it->second.expires = expires;
          break;
        case 2:
          table_.AddCommand(job);
          ++it->second.commands;
          break;
        case 3:
          if (it->second.commands == 0) break;
          table_.RemoveCommand(job);
          --it->second.commands;
          break;
      }
    }
    ASSERT_EQ(table_.size(), model.size());
    if (step % 10 != 0) continue;
    std::set<std::tuple<Time, LeaseToken, uint32_t>> order;
    for (const auto& [slot, lease] : model) {
      if (lease.commands == 0) order.insert({lease.expires, lease.token, slot});
    }
    ASSERT_EQ(table_.NextExpiry(), order.empty() ? Time::max() : std::get<0>(*order.begin()));
    std::vector<uint32_t> expected;
    for (const auto& [at, token, slot] : order) {
      if (at <= At(25) && expected.size() < 40) expected.push_back(slot);
    }
    ASSERT_EQ(ExpiredSlots(25, 40), expected);
  }
}

}  // namespace
}  // namespace dqueue::queue
