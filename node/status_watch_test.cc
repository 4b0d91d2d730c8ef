#include "node/status_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

namespace dqueue::node {
namespace {

NodeStatus InTerm(uint64_t term) {
  NodeStatus status;
  status.term = raft::Term(term);
  return status;
}

// Records the terms that a watcher is called with.
struct Terms {
  std::vector<uint64_t> seen;
  StatusWatch Watch(StatusBoard& board) {
    return board.Watch([this](const NodeStatus& status) { seen.push_back(status.term.value()); });
  }
};

TEST(StatusWatch, StartsWithTheCurrentStatus) {
  StatusBoard board;
  Terms before;
  const StatusWatch first = before.Watch(board);
  EXPECT_EQ(before.seen, (std::vector<uint64_t>{0}));
  board.Publish(InTerm(3));
  Terms after;
  const StatusWatch second = after.Watch(board);
  EXPECT_EQ(before.seen, (std::vector<uint64_t>{0, 3}));
  EXPECT_EQ(after.seen, (std::vector<uint64_t>{3}));
}

TEST(StatusWatch, EachWatcherSeesEachChange) {
  StatusBoard board;
  Terms a;
  Terms b;
  const StatusWatch watch_a = a.Watch(board);
  const StatusWatch watch_b = b.Watch(board);
  for (uint64_t term = 1; term <= 3; ++term) board.Publish(InTerm(term));
  EXPECT_EQ(a.seen, (std::vector<uint64_t>{0, 1, 2, 3}));
  EXPECT_EQ(b.seen, a.seen);
}

TEST(StatusWatch, EndsWithTheSubscription) {
  StatusBoard board;
  Terms destroyed;
  Terms cancelled;
  Terms replaced;
  Terms moved;
  StatusWatch to_cancel = cancelled.Watch(board);
  StatusWatch to_replace = replaced.Watch(board);
  StatusWatch kept = moved.Watch(board);
  { const StatusWatch watch = destroyed.Watch(board); }
  to_cancel.Cancel();
  to_cancel.Cancel();
  to_replace = std::move(kept);
  board.Publish(InTerm(1));
  EXPECT_EQ(destroyed.seen.size(), 1u);
  EXPECT_EQ(cancelled.seen.size(), 1u);
  EXPECT_EQ(replaced.seen.size(), 1u);
  EXPECT_EQ(moved.seen, (std::vector<uint64_t>{0, 1})) << "a moved subscription continues";
}

TEST(StatusWatch, MayOutliveTheBoard) {
  Terms terms;
  StatusWatch watch;
  {
    StatusBoard board;
    watch = terms.Watch(board);
  }
  watch.Cancel();
  EXPECT_EQ(terms.seen.size(), 1u);
}

TEST(StatusWatch, CancelWaitsForARunningCall) {
  StatusBoard board;
  std::promise<void> entered;
  std::promise<void> leave;
  std::atomic<bool> left{false};
  std::atomic<bool> cancelled{false};
  StatusWatch watch = board.Watch([&](const NodeStatus& status) {
    if (status.term == raft::Term()) return;
    entered.set_value();
    leave.get_future().wait();
    EXPECT_FALSE(cancelled.load());
    left.store(true);
  });
  std::thread loop([&] { board.Publish(InTerm(1)); });
  entered.get_future().wait();
  std::thread owner([&] {
    watch.Cancel();
    EXPECT_TRUE(left.load());
    cancelled.store(true);
  });
  leave.set_value();
  loop.join();
  owner.join();
  board.Publish(InTerm(2));  // a call would set `entered` again, which throws
}

TEST(StatusWatch, NewWatchersSeeEachChangeInOrder) {
  StatusBoard board;
  constexpr uint64_t kTerms = 20000;
  std::atomic<bool> started{false};
  std::thread loop([&] {
    while (!started.load()) std::this_thread::yield();
    for (uint64_t term = 1; term <= kTerms; ++term) board.Publish(InTerm(term));
  });
  std::vector<std::unique_ptr<Terms>> all;
  std::vector<StatusWatch> watches;
  for (int i = 0; i < 200; ++i) {
    watches.push_back(all.emplace_back(std::make_unique<Terms>())->Watch(board));
    started.store(true);
  }
  loop.join();
  for (const auto& terms : all) {
    ASSERT_EQ(terms->seen.back(), kTerms);
    for (size_t i = 1; i < terms->seen.size(); ++i) {
      ASSERT_EQ(terms->seen[i], terms->seen[i - 1] + 1);
    }
  }
}

}  // namespace
}  // namespace dqueue::node
