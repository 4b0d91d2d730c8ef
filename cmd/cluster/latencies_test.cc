#include "cmd/cluster/latencies.h"

#include <gtest/gtest.h>

namespace dqueue::cmd {
namespace {

TEST(Latencies, Percentiles) {
  Latencies none;
  EXPECT_EQ(none.Percentile(0.5), 0);
  Latencies some;
  for (int i = 100; i >= 1; --i) some.Add(std::chrono::milliseconds(i));
  EXPECT_EQ(some.Percentile(0.50), 50);
  EXPECT_EQ(some.Percentile(0.99), 99);
  EXPECT_EQ(some.Percentile(1.0), 100);
  EXPECT_EQ(some.Percentile(0.0), 1);
  Latencies both = some;
  both.Add(some);
  EXPECT_EQ(both.count(), 200u);
}

}  // namespace
}  // namespace dqueue::cmd
