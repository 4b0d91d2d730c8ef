#include "queue/state/tables/ready_index.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

TEST(ReadyIndexTest, LanesGoWithTheirLastJob) {
  ReadyIndex index;
  index.AddQueue(0, 11);
  index.AddQueue(1, 22);
  const uint32_t a = index.AcquireLane(0, "mail");
  EXPECT_EQ(index.AcquireLane(0, "mail"), a);
  const uint32_t b = index.AcquireLane(1, "mail");
  EXPECT_NE(a, b);
  EXPECT_EQ(index.queue_of(b), 1u);
  EXPECT_EQ(index.type_of(b), "mail");
  EXPECT_NE(index.hash_of(a), index.hash_of(b));
  EXPECT_EQ(index.lane_count(), 2u);
  index.ReleaseLane(a);
  EXPECT_EQ(index.lane_count(), 2u);
  index.ReleaseLane(a);
  EXPECT_EQ(index.lane_count(), 1u);
  EXPECT_EQ(index.Problem(), "");
}

// Only a forged image asks for that: a place is told by priority, time and sequence.
TEST(ReadyIndexTest, TwoJobsCannotHaveOnePlace) {
  ReadyIndex index;
  index.AddQueue(0, 1);
  const uint32_t a = index.AcquireLane(0, "a");
  const uint32_t b = index.AcquireLane(0, "b");
  EXPECT_TRUE(index.Insert(a, OrderedSlot(5, 1, 0), 5));
  EXPECT_FALSE(index.Insert(a, OrderedSlot(5, 1, 1), 5));
  EXPECT_FALSE(index.Insert(b, OrderedSlot(5, 1, 2), 5));
  EXPECT_EQ(index.size(), 1u);
}

struct ModelJob {
  OrderedSlot place;
  uint32_t queue;
  std::string type;
  uint32_t lane;
  int64_t since;
};

// Against a plain list that is searched from end to end.
TEST(ReadyIndexTest, TakesInOrderFromAnyQueuesAndTypes) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::mt19937_64 random(seed);
    ReadyIndex index;
    const uint32_t queues = 1 + seed % 7;
    const uint32_t types = 1 + seed % 11;
    for (uint32_t q = 0; q < queues; ++q) index.AddQueue(q, q * 77);
    std::map<uint32_t, ModelJob> model;  // by slot
    int64_t now = 1000;
    uint32_t next = 1;
    for (int step = 0; step < 3000; ++step) {
      now += static_cast<int64_t>(random() % 3);
      const uint64_t dice = random() % 10;
      if (dice < 6) {
        const auto queue = static_cast<uint32_t>(random() % queues);
        const std::string type = "type" + std::to_string(random() % types);
        const uint32_t lane = index.AcquireLane(queue, type);
        ModelJob job{OrderedSlot(random() % 50, next, next), queue, type, lane, now};
        // A released job comes back with the age that it had.
        if (random() % 5 == 0) job.since -= static_cast<int64_t>(random() % 500);
        ASSERT_TRUE(index.Insert(lane, job.place, job.since));
        model[next++] = job;
      } else if (dice < 7 && !model.empty()) {
        const auto victim = std::next(model.begin(), static_cast<long>(random() % model.size()));
        index.Erase(victim->second.lane, victim->second.place, victim->second.since);
        index.ReleaseLane(victim->second.lane);
        model.erase(victim);
      } else {
        std::vector<uint32_t> from;
        for (uint64_t i = 0; i < 1 + random() % 3; ++i) {
          from.push_back(static_cast<uint32_t>(random() % queues));
        }
        std::vector<std::string> filter;
        if (random() % 2 == 0) {
          for (uint64_t i = 0; i < 1 + random() % 4; ++i) {
            filter.push_back("type" + std::to_string(random() % (types + 1)));
          }
        }
        std::vector<ModelJob> candidates;
        for (const auto& [slot, job] : model) {
          const bool queue_fits = std::find(from.begin(), from.end(), job.queue) != from.end();
          const bool type_fits =
              filter.empty() || std::find(filter.begin(), filter.end(), job.type) != filter.end();
          if (queue_fits && type_fits) candidates.push_back(job);
        }
        std::sort(candidates.begin(), candidates.end(),
                  [](const ModelJob& a, const ModelJob& b) { return a.place < b.place; });
        ASSERT_EQ(index.HasReady(from, filter), !candidates.empty());
        const size_t max = random() % 8;
        std::vector<uint32_t> taken;
        const auto since_of = [&](uint32_t slot) { return model.at(slot).since; };
        const size_t count = index.Take(from, filter, max, since_of, &taken);
        ASSERT_EQ(count, taken.size());
        ASSERT_EQ(taken.size(), std::min(max, candidates.size()));
        for (size_t i = 0; i < taken.size(); ++i) {
          ASSERT_EQ(taken[i], candidates[i].place.slot());
          index.ReleaseLane(candidates[i].lane);
          model.erase(taken[i]);
        }
      }
      ASSERT_EQ(index.size(), model.size());
      if (step % 50 == 0) {
        ASSERT_EQ(index.Problem(), "");
        int64_t oldest = INT64_MAX;
        for (uint32_t q = 0; q < queues; ++q) {
          int64_t oldest_here = INT64_MAX;
          for (const auto& [slot, job] : model) {
            if (job.queue == q) oldest_here = std::min(oldest_here, job.since);
          }
          ASSERT_EQ(index.OldestSince(q), oldest_here);
          oldest = std::min(oldest, oldest_here);
        }
        ASSERT_EQ(index.OldestSince(), oldest);
      }
    }
  }
}

}  // namespace
}  // namespace dqueue::queue
