#include "queue/broker/reports/named_queues.h"

#include <algorithm>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

class NamedQueuesTest : public ::testing::Test {
 protected:
  NamedQueuesTest() { Apply(BatchBuilder(1000).Level(1)); }

  void Apply(const BatchBuilder& batch) { ApplyNext(machine_, batch); }
  void Enqueue(const std::string& queue, int jobs = 1) {
    BatchBuilder batch(machine_.time_ms());
    for (int i = 0; i < jobs; ++i) batch.Enqueue(MakeJob(queue + "/" + std::to_string(i), queue));
    Apply(batch);
  }
  void DeleteJobs(const std::string& queue, int jobs = 1) {
    BatchBuilder batch(machine_.time_ms());
    for (int i = 0; i < jobs; ++i) batch.Delete(queue + "/" + std::to_string(i));
    Apply(batch);
  }
  void FillPlaces() {
    for (int i = 0; i < kNamedQueuesMax; ++i) Enqueue("m" + std::to_string(1000 + i));
  }
  QueueFigures Page() { return named_.Page(machine_, machine_.time_ms()); }
  static bool Names(const QueueFigures& page, const std::string& queue) {
    return std::any_of(page.queues.begin(), page.queues.end(),
                       [&](const v1::QueueStats& named) { return named.queue() == queue; });
  }

  StateMachine machine_;
  NamedQueues named_;
};

TEST_F(NamedQueuesTest, NamesTheFirstAndAddsUpTheOthers) {
  FillPlaces();
  Enqueue("z1", 3);
  Enqueue("z2", 2);
  DeleteJobs("z2", 1);
  const QueueFigures page = Page();
  EXPECT_EQ(page.queues.size(), static_cast<size_t>(kNamedQueuesMax));
  EXPECT_FALSE(Names(page, "z1"));
  EXPECT_EQ(page.queue_count, static_cast<uint64_t>(kNamedQueuesMax) + 2);
  EXPECT_EQ(page.other.enqueued(), 5u);
  EXPECT_EQ(page.other.purged(), 1u);
  EXPECT_EQ(page.other.ready(), 4u);
  EXPECT_EQ(page.total.enqueued(), static_cast<uint64_t>(kNamedQueuesMax) + 5);
}

TEST_F(NamedQueuesTest, WithFewQueuesThereAreNoOthers) {
  Page();
  for (const char* queue : {"b", "a"}) {
    Enqueue(queue, 3);
    const QueueFigures page = Page();
    EXPECT_EQ(page.other.enqueued(), 0u);
    EXPECT_EQ(page.queues[0].enqueued(), 3u);
  }
}

TEST_F(NamedQueuesTest, ANamedQueueStaysNamedAndGivesItsPlaceWhenItIsForgotten) {
  FillPlaces();
  Page();
  Enqueue("a", 4);
  QueueFigures page = Page();
  EXPECT_FALSE(Names(page, "a")) << "although it is the first by name";
  EXPECT_EQ(page.other.enqueued(), 4u);
  DeleteJobs("m1007");
  Apply(BatchBuilder(machine_.time_ms() + kQueueIdleMs));
  ASSERT_FALSE(machine_.HasQueue("m1007"));
  page = Page();
  EXPECT_TRUE(Names(page, "a"));
  EXPECT_FALSE(Names(page, "m1007"));
  EXPECT_EQ(page.other.enqueued(), 4u) << "what it counted before it was named stays there";
  EXPECT_EQ(page.other.ready(), 0u);
  EXPECT_EQ(page.other.purged(), 1u) << "what happened between the last page and the forgetting";
  Enqueue("b", 1);
  EXPECT_EQ(Page().other.enqueued(), 5u);
}

// Whatever comes and goes: a counter only rises, and each job is counted once.
TEST_F(NamedQueuesTest, CountersNeverFallAndNothingIsCountedTwice) {
  std::map<std::string, uint64_t> last;
  uint64_t last_other = 0;
  uint64_t risen = 0;
  bool all_named = true;
  for (int round = 0; round < 400; ++round) {
    const std::string queue = "q" + std::to_string(round * 7919 % 1000);
    Enqueue(queue, 2);
    if (round % 3 == 0) DeleteJobs(queue, 2);
    if (round % 50 == 0) Apply(BatchBuilder(machine_.time_ms() + kQueueIdleMs));
    const QueueFigures page = Page();
    ASSERT_LE(page.queues.size(), static_cast<size_t>(kNamedQueuesMax));
    std::map<std::string, uint64_t> now;
    for (const v1::QueueStats& named : page.queues) {
      now[named.queue()] = named.enqueued();
      // A series that begins rises only if its queue was not one of the others.
      if (last.contains(named.queue())) {
        ASSERT_GE(named.enqueued(), last[named.queue()]);
        risen += named.enqueued() - last[named.queue()];
      } else if (all_named) {
        risen += named.enqueued();
      }
    }
    ASSERT_GE(page.other.enqueued(), last_other);
    risen += page.other.enqueued() - last_other;
    last = now;
    last_other = page.other.enqueued();
    all_named = page.queue_count == page.queues.size();
    ASSERT_EQ(risen, page.total.enqueued()) << "round " << round;
  }
}

}  // namespace
}  // namespace dqueue::queue
