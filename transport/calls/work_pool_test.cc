#include "transport/calls/work_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace dqueue::transport {
namespace {

using Lane = WorkPool::Lane;

// Blocks threads of a lane until it is opened.
class Barrier {
 public:
  WorkPool::Work Piece() {
    return [this] {
      ++inside_;
      open_.wait();
    };
  }
  void WaitFor(int threads) const {
    while (inside_ < threads) std::this_thread::yield();
  }
  void Open() { opened_.set_value(); }

 private:
  std::promise<void> opened_;
  std::shared_future<void> open_ = opened_.get_future().share();
  std::atomic<int> inside_{0};
};

WorkPool::Limits Small() {
  WorkPool::Limits limits;
  limits.threads = {1, 2, 1};
  limits.pieces_max = 4;
  limits.bytes_max = 1000;
  return limits;
}

TEST(WorkPool, ALaneWaitsForNoOther) {
  std::promise<void> watched;
  Barrier barrier;
  WorkPool pool(Small());
  ASSERT_TRUE(pool.TryPost(Lane::kLarge, 10, barrier.Piece()));
  ASSERT_TRUE(pool.TryPost(Lane::kSmall, 10, barrier.Piece()));
  ASSERT_TRUE(pool.TryPost(Lane::kSmall, 10, barrier.Piece()));
  barrier.WaitFor(3);
  ASSERT_TRUE(pool.TryPost(Lane::kWatch, 0, [&] { watched.set_value(); }));
  watched.get_future().wait();
  barrier.Open();
}

TEST(WorkPool, ALaneIsFirstInFirstOut) {
  std::string order;
  std::promise<void> done;
  Barrier barrier;
  WorkPool pool(Small());
  ASSERT_TRUE(pool.TryPost(Lane::kLarge, 10, barrier.Piece()));
  barrier.WaitFor(1);
  for (const char c : {'a', 'b'}) {
    ASSERT_TRUE(pool.TryPost(Lane::kLarge, 10, [&order, c] { order += c; }));
  }
  pool.Post(Lane::kLarge, 10, [&] { done.set_value(); });
  barrier.Open();
  done.get_future().wait();
  EXPECT_EQ(order, "ab");
}

TEST(WorkPool, RequestsAreRefusedBeyondTheBoundsAndAnswersCount) {
  Barrier barrier;
  WorkPool pool(Small());
  const auto nothing = [] {};
  EXPECT_TRUE(pool.TryPost(Lane::kLarge, 5000, barrier.Piece())) << "alone it is always taken";
  EXPECT_FALSE(pool.TryPost(Lane::kLarge, 1, nothing)) << "bytes";
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pool.TryPost(Lane::kSmall, 10, barrier.Piece()));
  EXPECT_FALSE(pool.TryPost(Lane::kSmall, 0, nothing)) << "pieces";
  EXPECT_EQ(pool.counts().refused, 2u);
  pool.Post(Lane::kWatch, 2000, barrier.Piece());
  pool.Post(Lane::kWatch, 2000, nothing);
  EXPECT_FALSE(pool.TryPost(Lane::kWatch, 0, nothing)) << "the answers wait";
  EXPECT_EQ(pool.counts().bytes[0], 4000u);
  barrier.Open();
  while (pool.counts().bytes[0] > 0) std::this_thread::yield();
  EXPECT_TRUE(pool.TryPost(Lane::kWatch, 0, nothing));
}

TEST(WorkPool, StopRunsAnswersAndDropsRequests) {
  Barrier barrier;
  auto pool = std::make_unique<WorkPool>(Small());
  ASSERT_TRUE(pool->TryPost(Lane::kLarge, 10, barrier.Piece()));
  barrier.WaitFor(1);
  std::atomic<int> answers{0};
  const auto held = std::make_shared<int>(0);
  ASSERT_TRUE(pool->TryPost(Lane::kLarge, 10, [held] { ADD_FAILURE() << "a dropped request"; }));
  pool->Post(Lane::kLarge, 10, [&] { ++answers; });
  std::thread stop([&] { pool->Stop(); });
  while (held.use_count() > 1) std::this_thread::yield();
  barrier.Open();
  stop.join();
  EXPECT_EQ(answers, 1);
  pool->Post(Lane::kLarge, 10, [&] { ++answers; });
  EXPECT_EQ(answers, 2) << "in this thread";
  EXPECT_FALSE(pool->TryPost(Lane::kSmall, 0, [] {}));
}

TEST(WorkPool, TheSizeChoosesTheLane) {
  EXPECT_EQ(WorkPool::LaneOf(kSmallWorkBytes), Lane::kSmall);
  EXPECT_EQ(WorkPool::LaneOf(kSmallWorkBytes + 1), Lane::kLarge);
}

}  // namespace
}  // namespace dqueue::transport
