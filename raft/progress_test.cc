#include "raft/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/random.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft {
namespace {

constexpr Time kStart{};
using State = Progress::State;

Options Small() {
  Options options;
  options.max_append_entries = 4;
  options.max_append_bytes = 1000;
  options.window_entries = 10;
  options.window_bytes = 2000;
  return options;
}

// Replicating, with everything up to 10 acknowledged.
Progress Replicating() {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.Acknowledged(Index(10), kStart);
  return p;
}

TEST(Progress, StartsAsAProbeThatIsSentOnce) {
  Progress p(NodeId(2), true, Index(11), kStart);
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_TRUE(p.WantsAppend(Index(10), Small()));  // also without entries: it asks
  p.AppendSent(0, 0, kStart);
  EXPECT_FALSE(p.WantsAppend(Index(12), Small()));
  EXPECT_EQ(p.next(), Index(11));
}

// … and repeated without entries until there is an answer: they may only be slow to be written.
TEST(Progress, ARepeatedProbeOnlyAsks) {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.Alive(kStart, 100ms);
  EXPECT_EQ(p.Room(Small()).entries, 4u) << "nothing was sent yet";
  p.AppendSent(4, 100, kStart);
  for (int i = 0; i < 3; ++i) {
    p.Alive(kStart, 100ms);
    EXPECT_TRUE(p.WantsAppend(Index(20), Small()));
    EXPECT_EQ(p.Room(Small()).entries, 0u);
    p.AppendSent(0, 0, kStart);
  }
  p.Refused(Index(10), Index(5));
  EXPECT_EQ(p.Room(Small()).entries, 4u) << "another question";
}

TEST(Progress, AnAnsweredProbeReplicates) {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.AppendSent(2, 64, kStart);
  EXPECT_TRUE(p.Acknowledged(Index(12), kStart));
  EXPECT_EQ(p.state(), State::kReplicate);
  EXPECT_EQ(p.next(), Index(13));
  EXPECT_FALSE(p.WantsAppend(Index(12), Small()));
  EXPECT_TRUE(p.WantsAppend(Index(13), Small()));
  EXPECT_FALSE(p.Acknowledged(Index(12), kStart));  // no news
}

TEST(Progress, AnOldAnswerDoesNotEndAProbe) {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.AppendSent(0, 0, kStart);
  EXPECT_TRUE(p.Acknowledged(Index(4), kStart));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.match(), Index(4));
  EXPECT_EQ(p.next(), Index(11));
}

TEST(Progress, PipelinesUntilTheWindowIsFull) {
  Progress p = Replicating();
  EXPECT_EQ(p.Room(Small()).entries, 4u);
  p.AppendSent(4, 600, kStart);
  p.AppendSent(4, 600, kStart);
  EXPECT_EQ(p.next(), Index(19));
  EXPECT_EQ(p.Room(Small()).entries, 2u);
  EXPECT_EQ(p.Room(Small()).bytes, 800u);
  p.AppendSent(2, 60, kStart);
  EXPECT_FALSE(p.WantsAppend(Index(99), Small()));
  p.Acknowledged(Index(14), kStart);
  EXPECT_EQ(p.in_flight().entries(), 6u);
  EXPECT_EQ(p.in_flight().bytes(), 660u);
  EXPECT_TRUE(p.WantsAppend(Index(99), Small()));
}

TEST(Progress, PipelinesUntilTheWindowIsFullOfBytes) {
  Progress p = Replicating();
  p.AppendSent(1, 5000, kStart);  // one entry of any size
  EXPECT_EQ(p.Room(Small()).entries, 0u);
  p.Acknowledged(Index(11), kStart);
  EXPECT_EQ(p.Room(Small()).bytes, 1000u);
}

// etcd d91ea7f19, e419ba5: what is in flight is what was sent and not acknowledged, always.
TEST(Window, CountsExactlyWhatIsInFlight) {
  struct Sent {
    uint64_t last, entries, bytes;
  };
  Random random(5);
  Window window;
  std::deque<Sent> model;
  uint64_t last = 0;
  for (int i = 0; i < 5000; ++i) {
    if (random.Below(2) == 0) {
      const Sent sent{last += 1 + random.Below(5), 1 + random.Below(5), 1 + random.Below(100)};
      window.Add(Index(sent.last), sent.entries, sent.bytes);
      model.push_back(sent);
    } else {
      const uint64_t match = last - random.Below(std::min<uint64_t>(last + 1, 20));
      window.FreeTo(Index(match));
      while (!model.empty() && model.front().last <= match) model.pop_front();
    }
    uint64_t entries = 0;
    uint64_t bytes = 0;
    for (const Sent& sent : model) {
      entries += sent.entries;
      bytes += sent.bytes;
    }
    ASSERT_EQ(window.entries(), entries);
    ASSERT_EQ(window.bytes(), bytes);
    ASSERT_EQ(window.empty(), model.empty());
  }
}

TEST(Progress, ARefusalWhileReplicatingGoesBackToWhatIsKnown) {
  Progress p = Replicating();
  p.AppendSent(4, 100, kStart);
  p.AppendSent(4, 100, kStart);
  EXPECT_FALSE(p.Refused(Index(10), Index(3)));  // known to match: late
  EXPECT_EQ(p.state(), State::kReplicate);
  EXPECT_TRUE(p.Refused(Index(14), Index(10)));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(11));
  EXPECT_TRUE(p.in_flight().empty());
}

TEST(Progress, ARefusedProbeFollowsTheHintButNeverBelowMatchNorForward) {
  struct {
    uint64_t match, next, rejected, hint;
    bool taken;
    uint64_t then;
  } const cases[] = {
      {0, 11, 10, 7, true, 8},    // the hint
      {0, 11, 10, 10, true, 10},  // at least one back
      {0, 11, 10, 99, true, 10},  // never forward
      {5, 11, 10, 2, true, 6},    // never below what matches
      {0, 11, 9, 7, false, 11},   // the answer to another probe
      {0, 2, 1, 0, true, 1},      // to the start
  };
  for (const auto& c : cases) {
    Progress p(NodeId(2), true, Index(c.next), kStart);
    p.AppendSent(0, 0, kStart);
    if (c.match > 0) p.Acknowledged(Index(c.match), kStart);
    EXPECT_EQ(p.Refused(Index(c.rejected), Index(c.hint)), c.taken) << c.rejected << " " << c.hint;
    EXPECT_EQ(p.next(), Index(c.then)) << c.rejected << " " << c.hint;
  }
}

// A member that lost what it acknowledged refuses it for ever; that must not become a loop of
// questions at the speed of the network.
TEST(Progress, WhatWasAcknowledgedCannotBeRefused) {
  Progress p = Replicating();
  p.Unreachable();
  p.AppendSent(0, 0, kStart);
  EXPECT_FALSE(p.Refused(Index(10), Index(3)));
  EXPECT_EQ(p.next(), Index(11));
  EXPECT_FALSE(p.WantsAppend(Index(20), Small()));
}

TEST(Progress, SilenceWithSomethingInFlightEndsInAProbeAtItsEnd) {
  Progress p = Replicating();
  p.AppendSent(4, 100, kStart);
  p.Alive(kStart + 100ms, 100ms);
  EXPECT_EQ(p.state(), State::kReplicate);
  p.Alive(kStart + 101ms, 100ms);
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(15));
  // It was only slow: the answer continues where it was.
  EXPECT_TRUE(p.Acknowledged(Index(14), kStart + 102ms));
  EXPECT_EQ(p.state(), State::kReplicate);
  EXPECT_EQ(p.next(), Index(15));
}

TEST(Progress, NothingInFlightIsNoSilence) {
  Progress p = Replicating();
  p.Alive(kStart + 10s, 100ms);
  EXPECT_EQ(p.state(), State::kReplicate);
  // The clock starts with the first append into an empty window.
  p.AppendSent(1, 10, kStart + 10s);
  p.Alive(kStart + 10s + 50ms, 100ms);
  EXPECT_EQ(p.state(), State::kReplicate);
}

TEST(Progress, ABrokenConnectionLosesWhatIsInFlight) {
  Progress p = Replicating();
  p.AppendSent(4, 100, kStart);
  p.Unreachable();
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(11));
}

TEST(Progress, ASnapshotStopsAppendsAndEndsInAProbeAfterIt) {
  Progress p(NodeId(2), true, Index(3), kStart);
  p.BecomeSnapshot({.index = Index(20), .term = Term(2), .config = ""});
  EXPECT_FALSE(p.WantsAppend(Index(99), Small()));
  EXPECT_FALSE(p.Refused(Index(2), Index(0)));
  p.Alive(kStart + 10s, 100ms);
  EXPECT_EQ(p.state(), State::kSnapshot);
  p.SnapshotDone(Index(20));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.match(), Index(20));
  EXPECT_EQ(p.next(), Index(21));
}

// Entries that were on their way when the snapshot was begun, though the leader has compacted
// further by now: the next snapshot is another.
TEST(Progress, ASnapshotThatIsOvertakenByEntriesIsOver) {
  Progress p(NodeId(2), true, Index(3), kStart);
  p.BecomeSnapshot({.index = Index(20), .term = Term(2), .config = ""});
  EXPECT_TRUE(p.Acknowledged(Index(19), kStart));
  EXPECT_EQ(p.state(), State::kSnapshot);
  EXPECT_TRUE(p.Acknowledged(Index(20), kStart));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(21));
}

}  // namespace
}  // namespace dqueue::raft
