#include "raft/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"

namespace dqueue::raft {
namespace {

Member M(uint64_t id) {
  return {.id = NodeId(id),
          .name = "n" + std::to_string(id),
          .address = "h" + std::to_string(id) + ":1",
          .incarnation = Incarnation(id * 7)};
}

std::vector<Member> Members(uint32_t mask) {
  std::vector<Member> members;
  for (uint64_t id = 1; id <= 32; ++id) {
    if (mask >> (id - 1) & 1) members.push_back(M(id));
  }
  return members;
}

// The definition: more than half.
bool NaiveMajority(uint32_t set, uint32_t yes) {
  return 2 * __builtin_popcount(set & yes) > __builtin_popcount(set);
}

bool Has(uint32_t mask, NodeId id) { return mask >> (id.value() - 1) & 1; }

TEST(Quorum, MatchesNaiveCountUpToSevenVoters) {
  for (int n = 1; n <= 7; ++n) {
    const uint32_t set = (1u << n) - 1;
    Configuration config;
    config.voters = Members(set);
    for (uint32_t yes = 0; yes <= set; ++yes) {
      EXPECT_EQ(config.HasQuorum([&](NodeId id) { return Has(yes, id); }), NaiveMajority(set, yes))
          << "n " << n << " yes " << yes;
    }
  }
}

TEST(Quorum, JointNeedsBothMajorities) {
  constexpr uint32_t kAll = (1u << 5) - 1;
  for (uint32_t voters = 1; voters <= kAll; ++voters) {
    for (uint32_t outgoing = 1; outgoing <= kAll; ++outgoing) {
      Configuration config;
      config.voters = Members(voters);
      config.outgoing = Members(outgoing);
      for (uint32_t yes = 0; yes <= kAll; ++yes) {
        ASSERT_EQ(config.HasQuorum([&](NodeId id) { return Has(yes, id); }),
                  NaiveMajority(voters, yes) && NaiveMajority(outgoing, yes))
            << voters << " " << outgoing << " " << yes;
      }
    }
  }
}

TEST(Quorum, IndexIsGreatestReachedByQuorum) {
  Random random(1);
  for (int n = 1; n <= 7; ++n) {
    for (int round = 0; round < 300; ++round) {
      Configuration config;
      config.voters = Members((1u << n) - 1);
      if (round % 2 == 1) {
        config.outgoing = Members(1 + static_cast<uint32_t>(random.Below((1u << 7) - 1)));
      }
      std::map<NodeId, Index> match;
      for (uint64_t id = 1; id <= 7; ++id) match[NodeId(id)] = Index(random.Below(6));
      Index expected;
      for (uint64_t index = 0; index <= 6; ++index) {
        if (config.HasQuorum([&](NodeId id) { return match[id] >= Index(index); })) {
          expected = Index(index);
        }
      }
      EXPECT_EQ(config.QuorumIndex([&](NodeId id) { return match[id]; }), expected);
    }
  }
}

TEST(Quorum, NoVotersNoQuorum) {
  const Configuration config;
  EXPECT_FALSE(config.HasQuorum([](NodeId) { return true; }));
  EXPECT_EQ(config.QuorumIndex([](NodeId) { return Index(9); }), Index());
}

TEST(Quorum, LearnersAreNotCounted) {
  Configuration config;
  config.voters = Members(0b111);
  config.learners = Members(0b111000);
  EXPECT_FALSE(config.HasQuorum([](NodeId id) { return id > NodeId(2); }));
  EXPECT_TRUE(config.IsMember(NodeId(5)));
  EXPECT_FALSE(config.IsVoter(NodeId(5)));
}

TEST(Configuration, FindsMembersOfEachSet) {
  Configuration config;
  config.voters = Members(0b0011);
  config.outgoing = Members(0b0110);
  config.learners = Members(0b1000);
  EXPECT_EQ(config.MemberIds(), (std::vector<NodeId>{NodeId(1), NodeId(2), NodeId(3), NodeId(4)}));
  EXPECT_EQ(*config.Find(NodeId(3)), M(3));
  EXPECT_TRUE(config.IsVoter(NodeId(3)));
  EXPECT_EQ(config.Find(NodeId(5)), nullptr);
}

Configuration Full() {
  Configuration config;
  config.voters = Members(0b00111);
  config.outgoing = Members(0b01100);
  config.learners = Members(0b10000);
  return config;
}

TEST(ConfigurationCodec, RoundTrip) {
  for (const Configuration& config : {Full(), Configuration{Members(1), {}, {}}}) {
    EXPECT_EQ(DecodeConfiguration(EncodeConfiguration(config)), config);
  }
}

TEST(ConfigurationCodec, BytesOfVersion1AreFixed) {
  Configuration config;
  config.voters = {
      {.id = NodeId(0x0102), .name = "a", .address = "b", .incarnation = Incarnation(3)}};
  const std::string expected(
      "\x01"                              // version
      "\x01\x00\x00\x00"                  // one voter
      "\x02\x01\x00\x00\x00\x00\x00\x00"  // id
      "\x03\x00\x00\x00\x00\x00\x00\x00"  // incarnation
      "\x01\x00\x00\x00"                  // name
      "a"
      "\x01\x00\x00\x00"  // address
      "b"
      "\x00\x00\x00\x00"   // no outgoing
      "\x00\x00\x00\x00",  // no learners
      1 + 4 + 8 + 8 + 4 + 1 + 4 + 1 + 4 + 4);
  EXPECT_EQ(EncodeConfiguration(config), expected);
}

TEST(ConfigurationCodec, RejectsPrefixesAndTrailingBytes) {
  const std::string bytes = EncodeConfiguration(Full());
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeConfiguration(bytes.substr(0, length)).has_value()) << length;
  }
  EXPECT_FALSE(DecodeConfiguration(bytes + '\0').has_value());
}

TEST(ConfigurationCodec, RejectsInvalidConfigurations) {
  struct {
    const char* what;
    Configuration config;
  } const cases[] = {
      {"no voters", {{}, {}, Members(1)}},
      {"unsorted", {{M(2), M(1)}, {}, {}}},
      {"duplicate", {{M(1), M(1)}, {}, {}}},
      {"id 0", {{M(0)}, {}, {}}},
      {"unsorted outgoing", {{M(1)}, {M(3), M(2)}, {}}},
      {"a learner that votes", {{M(1)}, {}, {M(1)}}},
      {"a learner that still votes", {{M(1)}, {M(2)}, {M(2)}}},
      {"two incarnations of one member",
       {{M(1)}, {{.id = NodeId(1), .name = "n1", .address = "h1:1", .incarnation = {}}}, {}}},
  };
  for (const auto& c : cases) {
    EXPECT_FALSE(DecodeConfiguration(EncodeConfiguration(c.config)).has_value()) << c.what;
  }
  std::string version2 = EncodeConfiguration(Full());
  version2[0] = 2;
  EXPECT_FALSE(DecodeConfiguration(version2).has_value());
  // A count that would make an unchecked decoder allocate too much.
  EXPECT_FALSE(DecodeConfiguration(std::string("\x01\xff\xff\xff\xff", 5)).has_value());
}

TEST(ConfigurationCodec, FlippedBytesNeverDecodeToInvalidConfiguration) {
  const std::string bytes = EncodeConfiguration(Full());
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      if (const auto config = DecodeConfiguration(damaged)) {
        EXPECT_EQ(EncodeConfiguration(*config), damaged) << i;
      }
    }
  }
}

TEST(NodeIdOf, IsStableAndSpreads) {
  // Part of the format on disk: these values must never change.
  EXPECT_EQ(NodeIdOf("n1").value(), 17934566338607214163u);
  EXPECT_EQ(NodeIdOf("").value(), 17665956581633026203u);
  EXPECT_EQ(NodeIdOf("a").value(), 198367012849983736u);
  std::set<NodeId> ids;
  for (int i = 0; i < 10000; ++i) ids.insert(NodeIdOf("node-" + std::to_string(i)));
  EXPECT_EQ(ids.size(), 10000u);
  EXPECT_FALSE(ids.contains(NodeId()));
}

}  // namespace
}  // namespace dqueue::raft
