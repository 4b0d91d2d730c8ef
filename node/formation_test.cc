#include "node/formation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/testing/fault_file_system.h"

namespace dqueue::node {
namespace {

using ::testing::HasSubstr;

Options Member(const std::string& name, std::vector<MemberSpec> members) {
  Options options;
  options.name = name;
  options.data_dir = "/data";
  options.members = std::move(members);
  options.bootstrap = true;
  options.log.segment_bytes = 64 << 10;
  options.log.max_entry_bytes = 16 << 10;
  return options;
}

const std::vector<MemberSpec> kThree = {{"n1", "h1:1"}, {"n2", "h2:1"}, {"n3", "h3:1"}};

TEST(Formation, MembersWithTheSamePeersFormTheSameCluster) {
  storage::FaultFileSystem fs1, fs2;
  auto one = OpenOrFormLog(Member("n1", kThree), fs1, 1);
  auto two = OpenOrFormLog(Member("n2", {kThree[2], kThree[0], kThree[1]}), fs2, 2);
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_TRUE(one->formed);
  EXPECT_EQ(one->recovered.raft.cluster, two->recovered.raft.cluster);
  EXPECT_NE(one->recovered.raft.incarnation, two->recovered.raft.incarnation);
  EXPECT_EQ(one->recovered.raft.last_index, raft::Index(1));
  EXPECT_EQ(one->recovered.raft.hard_state.commit, raft::Index(1));
}

TEST(Formation, DifferentPeersFormDifferentClusters) {
  storage::FaultFileSystem fs1, fs2;
  auto one = OpenOrFormLog(Member("n1", kThree), fs1, 1);
  auto two = OpenOrFormLog(Member("n1", {kThree[0], kThree[1], {"n4", "h4:1"}}), fs2, 1);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one->recovered.raft.cluster, two->recovered.raft.cluster);
}

TEST(Formation, TwoSingleNodesFormDifferentClusters) {
  storage::FaultFileSystem fs1, fs2;
  auto one = OpenOrFormLog(Member("dev", {}), fs1, 1);
  auto two = OpenOrFormLog(Member("dev", {}), fs2, 2);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one->recovered.raft.cluster, two->recovered.raft.cluster);
}

TEST(Formation, TheSameOptionsOpenTheLogAgain) {
  storage::FaultFileSystem fs;
  raft::Incarnation first;
  {
    auto log = OpenOrFormLog(Member("n1", kThree), fs, 1);
    ASSERT_TRUE(log.ok());
    first = log->recovered.raft.incarnation;
  }
  auto again = OpenOrFormLog(Member("n1", kThree), fs, 99);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->formed);
  EXPECT_EQ(again->recovered.raft.incarnation, first);
}

struct BadCase {
  std::string name;
  Options options;
  absl::StatusCode code;
  std::string message;
};

TEST(Formation, RefusesOptionsThatDoNotMatchTheDirectory) {
  storage::FaultFileSystem fs;
  ASSERT_TRUE(OpenOrFormLog(Member("n1", kThree), fs, 1).ok());
  const std::vector<BadCase> cases = {
      {"another node", Member("n2", kThree), absl::StatusCode::kFailedPrecondition,
       "data directory /data belongs to node \"n1\", but this node's id is \"n2\"; use another "
       "--data-dir or --id"},
      {"other members", Member("n1", {kThree[0], kThree[1], {"n4", "h4:1"}}),
       absl::StatusCode::kFailedPrecondition,
       "data directory /data belongs to a cluster of the members n1,n2,n3, but --peers names "
       "n1,n2,n4; use the cluster's peers or another --data-dir"},
      {"this node is missing", Member("n9", kThree), absl::StatusCode::kInvalidArgument,
       "--peers does not name this node, \"n9\""},
      {"duplicate name", Member("n1", {kThree[0], kThree[0]}), absl::StatusCode::kInvalidArgument,
       "--peers: \"n1\" and \"n1\" cannot both be members"},
  };
  for (const BadCase& c : cases) {
    auto log = OpenOrFormLog(c.options, fs, 1);
    ASSERT_FALSE(log.ok()) << c.name;
    EXPECT_EQ(log.status().code(), c.code) << c.name;
    EXPECT_EQ(log.status().message(), c.message) << c.name;
  }
}

TEST(Formation, AnEmptyDirectoryNeedsBootstrap) {
  storage::FaultFileSystem fs;
  Options options = Member("n1", kThree);
  options.bootstrap = false;
  auto log = OpenOrFormLog(options, fs, 1);
  ASSERT_EQ(log.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(log.status().message(),
            "data directory /data is empty; start with --bootstrap to form a new cluster, or name "
            "the right --data-dir");
}

TEST(Formation, ADirectoryWithoutALogIsNamedByWhatItHolds) {
  Options options = Member("n1", kThree);
  options.bootstrap = false;
  storage::FaultFileSystem fs;
  fs.PutFile("/data/LOCK", "1");
  fs.PutFile("/data/lost+found/x", "");
  fs.PutFile("/data/mail.db", "x");
  EXPECT_EQ(OpenOrFormLog(options, fs, 1).status(),
            absl::NotFoundError(
                "data directory /data has no log (wal/), only lost+found, mail.db; start with "
                "--bootstrap to form a new cluster, or name the right --data-dir"));
  for (int i = 0; i < 5; ++i) fs.PutFile("/data/z" + std::to_string(i), "");
  EXPECT_THAT(std::string(OpenOrFormLog(options, fs, 1).status().message()),
              HasSubstr("only lost+found, mail.db, z0, z1, z2 and 2 more; start"));
  // A file system's own names do not prevent a new cluster.
  options.bootstrap = true;
  EXPECT_TRUE(OpenOrFormLog(options, fs, 1).ok());
}

TEST(Formation, NoClusterIsFormedOverSnapshotsWhoseLogIsGone) {
  storage::FaultFileSystem fs;
  fs.PutFile("/data/snap/20-3.manifest", "x");
  EXPECT_EQ(OpenOrFormLog(Member("n1", kThree), fs, 1).status(),
            absl::DataLossError("/data/wal: the log is gone, but snapshots of this node are there; "
                                "put the same log back, or use an empty --data-dir for a new "
                                "cluster"));
}

// After a crash at any disk operation of forming, the same options open or form the directory.
TEST(Formation, ACrashAtAnyDiskOperationCanBeRepeated) {
  for (uint64_t stop_after = 0; stop_after < 60; ++stop_after) {
    storage::FaultFileSystem fs;
    fs.StopAfter(stop_after);
    const bool finished = OpenOrFormLog(Member("n1", kThree), fs, 1).ok();
    fs.Crash(stop_after + 1);
    auto again = OpenOrFormLog(Member("n1", kThree), fs, 1);
    ASSERT_TRUE(again.ok()) << "stopped after " << stop_after << ": " << again.status();
    EXPECT_FALSE(finished && again->formed) << "formed twice";
  }
}

}  // namespace
}  // namespace dqueue::node
