#include "cmd/cluster/local_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

namespace dqueue::cmd {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(LocalCluster, NodesDoNotGetVariablesOfThisProgram) {
  auto directory = TemporaryDirectory::Make(testing::TempDir());
  ASSERT_TRUE(directory.ok()) << directory.status();
  // Prints its environment and ends, so Start() fails with the end of the log.
  const std::string program = (*directory)->path() + "/node";
  std::ofstream(program) << "#!/bin/sh\nenv\nexit 3\n";
  chmod(program.c_str(), 0700);
  setenv("DQUEUE_TLS_CERT", "/nowhere", 1);
  setenv("DQUEUE", "no prefix", 1);
  const absl::Status status =
      LocalCluster::Start({.nodes = 1, .program = program, .directory = (*directory)->path()})
          .status();
  unsetenv("DQUEUE_TLS_CERT");
  unsetenv("DQUEUE");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("exit status 3"), HasSubstr("PATH="), HasSubstr("DQUEUE=no prefix"),
                    Not(HasSubstr("DQUEUE_"))));
}

}  // namespace
}  // namespace dqueue::cmd
