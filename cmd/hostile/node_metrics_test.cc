#include "cmd/hostile/node_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace dqueue::cmd {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr char kPage[] =
    "# HELP dqueue_raft_term Term.\n"
    "dqueue_raft_term 7\n"
    "\n"
    "broken{kind=\"x\n"
    "broken\n"
    "rejected{kind=\"reads\",reason=\"a \\\"b\\\\\"} 1.5e3\n"
    "turn_bucket{kind=\"apply\",le=\"0.001\"} 3\n"
    "turn_bucket{kind=\"apply\",le=\"0.01\"} 5\n"
    "turn_bucket{kind=\"apply\",le=\"+Inf\"} 5\n"
    "turn_bucket{kind=\"calls\",le=\"0.001\"} 3\n"
    "turn_bucket{kind=\"calls\",le=\"+Inf\"} 4\n"
    "turn_bucket{kind=\"idle\",le=\"0.001\"} 0\n"
    "turn_bucket{kind=\"idle\",le=\"+Inf\"} 0\n";

TEST(NodeMetrics, Parse) {
  const std::vector<Sample> samples = ParseMetrics(kPage);
  ASSERT_EQ(samples.size(), 9u);
  EXPECT_EQ(samples[1].name, "rejected");
  EXPECT_THAT(samples[1].labels, ElementsAre(Pair("kind", "reads"), Pair("reason", "a \"b\\")));
  EXPECT_EQ(samples[1].value, 1500);
  EXPECT_EQ(ValueOf(samples, "dqueue_raft_term"), 7);
  EXPECT_EQ(ValueOf(samples, "dqueue_raft"), std::nullopt);
}

TEST(NodeMetrics, HighestBuckets) {
  EXPECT_THAT(
      HighestBuckets(ParseMetrics(kPage), "turn", "kind"),
      ElementsAre(Pair("apply", 0.01), Pair("calls", std::numeric_limits<double>::infinity())));
}

}  // namespace
}  // namespace dqueue::cmd
