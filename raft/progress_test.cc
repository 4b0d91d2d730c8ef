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

// In Replicate, with everything up to 10 acknowledged.
Progress Replicating() {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.Acknowledged(Index(10), kStart);
  return p;
}

TEST(Progress, StartsInProbeWithOneAppend) {
  Progress p(NodeId(2), true, Index(11), kStart);
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_TRUE(p.WantsAppend(Index(10), Small()));  // also without entries, to find the match
  p.AppendSent(0, 0, kStart);
  EXPECT_FALSE(p.WantsAppend(Index(12), Small()));
  EXPECT_EQ(p.next(), Index(11));
}

// A resent probe is empty until a response arrives: the first entries may only be slow to be
// written.
TEST(Progress, ResentProbeHasNoEntries) {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.OnHeartbeatResponse(kStart, 100ms);
  EXPECT_EQ(p.Room(Small()).entries, 4u) << "the first probe was not sent yet";
  p.AppendSent(4, 100, kStart);
  for (int i = 0; i < 3; ++i) {
    p.OnHeartbeatResponse(kStart, 100ms);
    EXPECT_TRUE(p.WantsAppend(Index(20), Small()));
    EXPECT_EQ(p.Room(Small()).entries, 0u);
    p.AppendSent(0, 0, kStart);
  }
  p.Rejected(Index(10), Index(5));
  EXPECT_EQ(p.Room(Small()).entries, 4u) << "a new probe";
}

TEST(Progress, AcknowledgedProbeEntersReplicate) {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.AppendSent(2, 64, kStart);
  EXPECT_TRUE(p.Acknowledged(Index(12), kStart));
  EXPECT_EQ(p.state(), State::kReplicate);
  EXPECT_EQ(p.next(), Index(13));
  EXPECT_FALSE(p.WantsAppend(Index(12), Small()));
  EXPECT_TRUE(p.WantsAppend(Index(13), Small()));
  EXPECT_FALSE(p.Acknowledged(Index(12), kStart));  // match did not advance
}

TEST(Progress, OldAcknowledgementDoesNotEndProbe) {
  Progress p(NodeId(2), true, Index(11), kStart);
  p.AppendSent(0, 0, kStart);
  EXPECT_TRUE(p.Acknowledged(Index(4), kStart));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.match(), Index(4));
  EXPECT_EQ(p.next(), Index(11));
}

TEST(Progress, WindowIsBoundedInEntries) {
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

TEST(Progress, WindowIsBoundedInBytes) {
  Progress p = Replicating();
  p.AppendSent(1, 5000, kStart);  // a single entry of any size
  EXPECT_EQ(p.Room(Small()).entries, 0u);
  p.Acknowledged(Index(11), kStart);
  EXPECT_EQ(p.Room(Small()).bytes, 1000u);
}

// etcd d91ea7f19, e419ba5: the window is exactly what was sent and not acknowledged.
TEST(Window, MatchesModel) {
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

TEST(Progress, RejectionInReplicateEntersProbeAtMatch) {
  Progress p = Replicating();
  p.AppendSent(4, 100, kStart);
  p.AppendSent(4, 100, kStart);
  EXPECT_FALSE(p.Rejected(Index(10), Index(3)));  // 10 is matched, so this is a late response
  EXPECT_EQ(p.state(), State::kReplicate);
  EXPECT_TRUE(p.Rejected(Index(14), Index(10)));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(11));
  EXPECT_TRUE(p.in_flight().empty());
}

TEST(Progress, RejectedProbeFollowsHintWithinBounds) {
  struct {
    uint64_t match, next, rejected, hint;
    bool taken;
    uint64_t then;
  } const cases[] = {
      {0, 11, 10, 7, true, 8},    // the hint
      {0, 11, 10, 10, true, 10},  // at least one entry back
      {0, 11, 10, 99, true, 10},  // never forward
      {5, 11, 10, 2, true, 6},    // never below match
      {0, 11, 9, 7, false, 11},   // a response to another probe
      {0, 2, 1, 0, true, 1},      // back to the start
  };
  for (const auto& c : cases) {
    Progress p(NodeId(2), true, Index(c.next), kStart);
    p.AppendSent(0, 0, kStart);
    if (c.match > 0) p.Acknowledged(Index(c.match), kStart);
    EXPECT_EQ(p.Rejected(Index(c.rejected), Index(c.hint)), c.taken) << c.rejected << " " << c.hint;
    EXPECT_EQ(p.next(), Index(c.then)) << c.rejected << " " << c.hint;
  }
}

// A member that lost acknowledged entries rejects them for ever. The leader must not answer each
// rejection with another append.
TEST(Progress, RejectionBelowMatchIsIgnored) {
  Progress p = Replicating();
  p.Unreachable();
  p.AppendSent(0, 0, kStart);
  EXPECT_FALSE(p.Rejected(Index(10), Index(3)));
  EXPECT_EQ(p.next(), Index(11));
  EXPECT_FALSE(p.WantsAppend(Index(20), Small()));
}

TEST(Progress, SilenceWithAppendsInFlightEntersProbe) {
  Progress p = Replicating();
  p.AppendSent(4, 100, kStart);
  p.OnHeartbeatResponse(kStart + 100ms, 100ms);
  EXPECT_EQ(p.state(), State::kReplicate);
  p.OnHeartbeatResponse(kStart + 101ms, 100ms);
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(15));
  // The disk was only slow: the acknowledgement continues from the end of what was sent.
  EXPECT_TRUE(p.Acknowledged(Index(14), kStart + 102ms));
  EXPECT_EQ(p.state(), State::kReplicate);
  EXPECT_EQ(p.next(), Index(15));
}

TEST(Progress, NoProbeWhenNothingIsInFlight) {
  Progress p = Replicating();
  p.OnHeartbeatResponse(kStart + 10s, 100ms);
  EXPECT_EQ(p.state(), State::kReplicate);
  // The timeout starts with the first append into an empty window.
  p.AppendSent(1, 10, kStart + 10s);
  p.OnHeartbeatResponse(kStart + 10s + 50ms, 100ms);
  EXPECT_EQ(p.state(), State::kReplicate);
}

TEST(Progress, UnreachableEntersProbeAtMatch) {
  Progress p = Replicating();
  p.AppendSent(4, 100, kStart);
  p.Unreachable();
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.next(), Index(11));
}

TEST(Progress, SnapshotStopsAppendsThenEntersProbe) {
  Progress p(NodeId(2), true, Index(3), kStart);
  p.BecomeSnapshot({.index = Index(20), .term = Term(2), .config = ""});
  EXPECT_FALSE(p.WantsAppend(Index(99), Small()));
  EXPECT_FALSE(p.Rejected(Index(2), Index(0)));
  p.OnHeartbeatResponse(kStart + 10s, 100ms);
  EXPECT_EQ(p.state(), State::kSnapshot);
  p.SnapshotDone(Index(20));
  EXPECT_EQ(p.state(), State::kProbe);
  EXPECT_EQ(p.match(), Index(20));
  EXPECT_EQ(p.next(), Index(21));
}

// Appends that were in flight when the snapshot started arrive, and make it unnecessary.
TEST(Progress, AcknowledgementPastSnapshotEndsIt) {
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
