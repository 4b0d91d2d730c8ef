#include "node/standing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Reason = raft::Refusal::Reason;

const raft::NodeId kN1(1), kN2(2);
const raft::ClusterId kOwn{1, 2}, kOther{3, 4};
const Time kStart(100s);

raft::RefusedBy By(raft::NodeId from, Reason reason) {
  return {from, reason == Reason::kOtherCluster ? kOther : kOwn, raft::Refusal{reason}};
}

raft::Status Follows(raft::NodeId leader) {
  raft::Status status;
  status.leader = leader;
  return status;
}

class StandingTest : public testing::Test {
 protected:
  Standing standing_{kOwn, 600ms};
};

TEST_F(StandingTest, ARefusalCountsWhileNoLeaderIsKnown) {
  EXPECT_EQ(standing_.Problem(kStart, Follows({})), "");
  standing_.OnRefused(kStart, By(kN1, Reason::kOtherCluster), "n1");
  EXPECT_EQ(standing_.Problem(kStart, Follows({})),
            "this node is not part of the cluster: member n1 belongs to the cluster "
            "00000000000000030000000000000004, and the data directory of this node to the cluster "
            "00000000000000010000000000000002, because --peers was different when it was made "
            "(also a different spelling of an address counts); correct --peers, and use an empty "
            "--data-dir if this one was made by mistake");
  EXPECT_NE(standing_.Problem(kStart + Standing::kRefusalHolds, Follows({})), "");
  EXPECT_EQ(standing_.Problem(kStart + Standing::kRefusalHolds + 1ms, Follows({})), "");
}

TEST_F(StandingTest, ARefusalOfTheLeaderCountsAndOthersDoNot) {
  standing_.OnRefused(kStart, By(kN1, Reason::kOtherIncarnation), "n1");
  EXPECT_THAT(standing_.Problem(kStart, Follows(kN1)),
              HasSubstr("member n1 knows this node with another data directory"));
  EXPECT_EQ(standing_.Problem(kStart, Follows(kN2)), "");
  raft::Status leads;
  leads.role = raft::Role::kLeader;
  EXPECT_EQ(standing_.Problem(kStart, leads), "");
}

TEST_F(StandingTest, TheNewestRefusalIsNamed) {
  standing_.OnRefused(kStart, By(kN1, Reason::kOtherCluster), "n1");
  standing_.OnRefused(kStart + 1s, By(kN2, Reason::kNotMember), "");
  EXPECT_EQ(standing_.Problem(kStart + 1s, Follows({})),
            "this node is not part of the cluster: the node with the id 0000000000000002 does not "
            "have it in its configuration; correct --peers or --id");
}

TEST_F(StandingTest, ARefusedConnectionIsNamed) {
  standing_.OnConnectionRefused(kStart, kN1, "n1", "no certificate");
  EXPECT_EQ(standing_.Problem(kStart, Follows({})),
            "this node is not part of the cluster: member n1 refuses its connection: no "
            "certificate");
  EXPECT_EQ(standing_.Problem(kStart, Follows(kN2)), "");
}

TEST_F(StandingTest, EachCauseIsLoggedAtASlowPace) {
  EXPECT_TRUE(standing_.MayLog(kStart, "a"));
  EXPECT_FALSE(standing_.MayLog(kStart + Standing::kRepeatLine - 1ms, "a"));
  EXPECT_TRUE(standing_.MayLog(kStart + 1s, "b"));
  EXPECT_TRUE(standing_.MayLog(kStart + Standing::kRepeatLine, "a"));
}

TEST(StandingText, SaysWhatWasLost) {
  raft::WentBack lost;
  lost.acknowledged = raft::Index(42);
  EXPECT_EQ(WentBackText(lost, "n1", "/data"),
            "data directory /data is older than what this node has promised: it acknowledged "
            "entries up to 42 to leader n1, and they are gone; it was replaced by a copy or a "
            "backup, or the disk lost writes; leave this node stopped and run the other members");
  lost = {
      .witness = kN1, .known = {raft::Incarnation(5), {3, 9}, raft::Term(8)}, .acknowledged = {}};
  EXPECT_THAT(WentBackText(lost, "n1", "/data"),
              HasSubstr("member n1 remembers start 3 in term 8 of this node"));
}

TEST(StandingText, NamesTheRefusedNode) {
  EXPECT_EQ(RefusalText(raft::Refusal{Reason::kOtherIncarnation}, kN1, "n1"),
            "messages of member n1 are refused: its data directory is not the one that this "
            "cluster knows (wiped or replaced)");
  EXPECT_THAT(RefusalText(raft::Refusal{Reason::kNotMember}, kN1, ""),
              HasSubstr("the node with the id 0000000000000001"));
}

}  // namespace
}  // namespace dqueue::node
