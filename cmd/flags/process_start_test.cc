#include "cmd/flags/process_start.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace dqueue::cmd {
namespace {

TEST(ProcessStart, ForbidCoreDumps) {
  ASSERT_EQ(prctl(PR_GET_DUMPABLE), 1);
  ForbidCoreDumps();
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  rlimit limit = {1, 1};
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, 0u);
}

}  // namespace
}  // namespace dqueue::cmd
