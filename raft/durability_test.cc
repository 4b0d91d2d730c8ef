#include "raft/durability.h"

#include <gtest/gtest.h>

#include "raft/raft.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft {
namespace {

constexpr Time kStart{};

TEST(Durability, TokenCompletesAllEarlierOnes) {
  Durability d(HardState{Term(1), NodeId(), Index(1)}, Index(1));
  EXPECT_EQ(d.Submit(Index(3), std::nullopt, kStart), Token(1));
  EXPECT_EQ(d.Submit(Index(5), HardState{Term(2), NodeId(7), Index(1)}, kStart), Token(2));
  EXPECT_EQ(d.Submit(Index(6), std::nullopt, kStart), Token(3));
  EXPECT_EQ(d.index(), Index(1));
  d.Complete(Token(2));
  EXPECT_EQ(d.index(), Index(5));
  EXPECT_EQ(d.hard_state(), (HardState{Term(2), NodeId(7), Index(1)}));
  d.Complete(Token(1));
  EXPECT_EQ(d.index(), Index(5));
  d.Complete(Token(3));
  EXPECT_EQ(d.index(), Index(6));
}

// R2: entries 4 and 5 were written twice. The first token must not make the second version durable.
TEST(Durability, OldTokenDoesNotCoverReplacedEntries) {
  Durability d({}, Index(3));
  d.Submit(Index(5), std::nullopt, kStart);
  d.Clamp(Index(3));
  d.Submit(Index(5), std::nullopt, kStart);
  d.Complete(Token(1));
  EXPECT_EQ(d.index(), Index(3));
  d.Complete(Token(2));
  EXPECT_EQ(d.index(), Index(5));
}

TEST(Durability, ClampLowersDurableIndex) {
  Durability d({}, Index(9));
  d.Clamp(Index(4));
  EXPECT_EQ(d.index(), Index(4));
}

TEST(Durability, ReportsOldestPendingWrite) {
  Durability d({}, Index(1));
  EXPECT_FALSE(d.oldest().has_value());
  d.Submit(Index(2), std::nullopt, kStart + 5ms);
  d.Submit(Index(3), std::nullopt, kStart + 9ms);
  EXPECT_EQ(d.oldest(), kStart + 5ms);
  d.Complete(Token(1));
  EXPECT_EQ(d.oldest(), kStart + 9ms);
}

TEST(Durability, UnknownTokenFailsCheck) {
  test::ChecksThrow checks;
  Durability d({}, Index(1));
  EXPECT_THROW(d.Complete(Token(1)), test::Violation);
}

}  // namespace
}  // namespace dqueue::raft
