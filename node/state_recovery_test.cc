// Starts over damaged snapshots: what is needed must be intact, what is not needed must not stop a
// node.
#include "node/state_recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/testing/fault_file_system.h"

namespace dqueue::node {
namespace {

using raft::Index;
using raft::Term;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StateRecoveryTest : public testing::Test {
 protected:
  void SetUp() override {
    recovered_.runs = {{Index(1), Term(1)}};
    recovered_.last_index = Index(30);
    Open();
  }
  void Open() {
    store_.reset();
    auto store = storage::SnapshotStore::Open(fs_, "/snap");
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  // A snapshot of an empty state at this index.
  void Take(uint64_t index) {
    queue::StateMachine state;
    for (uint64_t i = 1; i <= index; ++i) state.ApplyNothing(Index(i));
    raft::Configuration config;
    config.voters = {{raft::NodeIdOf("n1"), "n1", "n1:1", raft::Incarnation(5)}};
    auto writer = store_->Begin({Index(index), Term(1), raft::EncodeConfiguration(config)});
    ASSERT_TRUE(writer.ok());
    state.BeginSnapshot();
    for (bool end = false; !end;) {
      std::string piece;
      end = state.ContinueSnapshot(1 << 20, &piece);
      ASSERT_TRUE((*writer)->Append(piece).ok());
    }
    const auto manifest = (*writer)->Commit(state.snapshot_digest());
    ASSERT_TRUE(manifest.ok());
    recovered_.snapshot = manifest->meta;
  }
  // The restored index; a warning or an error goes to text_.
  uint64_t Recover() {
    Open();
    absl::StatusOr<RecoveredState> state = RecoverState(store_.get(), &recovered_);
    if (!state.ok()) {
      EXPECT_EQ(state.status().code(), absl::StatusCode::kDataLoss);
      text_ = {std::string(state.status().message())};
      return UINT64_MAX;
    }
    text_ = state->warnings;
    EXPECT_EQ(state->state->applied_index(), recovered_.snapshot.index);
    return state->state->applied_index().value();
  }
  void Damage(const std::string& name) { fs_.FlipBit("/snap/" + name, 8 * 20); }

  storage::FaultFileSystem fs_;
  std::unique_ptr<storage::SnapshotStore> store_;
  raft::Recovered recovered_;
  std::vector<std::string> text_;
};

TEST_F(StateRecoveryTest, WithoutASnapshotTheStateIsEmpty) { EXPECT_EQ(Recover(), 0u); }

TEST_F(StateRecoveryTest, RestoresTheSnapshotOfTheLog) {
  Take(10);
  Take(20);
  EXPECT_EQ(Recover(), 20u);
  EXPECT_THAT(text_, IsEmpty());
}

TEST_F(StateRecoveryTest, AnUnreadableManifestThatIsNotNeededIsAWarning) {
  Take(10);
  Take(20);
  Damage("10-1.manifest");
  EXPECT_EQ(Recover(), 20u);
  EXPECT_THAT(text_, ElementsAre("/snap/10-1.manifest: manifest: checksum mismatch; a newer "
                                 "snapshot will replace it"));
}

TEST_F(StateRecoveryTest, AnOlderSnapshotReplacesADamagedOneIfTheLogReachesBack) {
  Take(10);
  Take(20);
  Damage("20-0.data");
  recovered_.compacted_index = Index(10);
  recovered_.compacted_term = Term(1);
  recovered_.runs = {{Index(11), Term(1)}};
  EXPECT_EQ(Recover(), 10u);
  EXPECT_THAT(text_,
              ElementsAre("/snap/20-0.data: checksum mismatch; this node starts from the snapshot "
                          "at index 10 and applies the log after it again"));
  // The damaged one is gone, so that it is not sent to a follower.
  EXPECT_FALSE(*fs_.Exists("/snap/20-1.manifest"));
}

TEST_F(StateRecoveryTest, AnUnreadableManifestThatIsNeededIsReplacedToo) {
  Take(10);
  Take(20);
  Damage("20-1.manifest");
  EXPECT_EQ(Recover(), 10u);
  EXPECT_THAT(text_,
              ElementsAre("/snap/20-1.manifest: manifest: checksum mismatch; a newer snapshot "
                          "will replace it",
                          "/snap/20-1.manifest: manifest: checksum mismatch; this node starts from "
                          "the snapshot at index 10 and applies the log after it again"));
}

TEST_F(StateRecoveryTest, ASnapshotThatTheLogDoesNotContinueIsNotUsed) {
  Take(10);
  Take(20);
  Damage("20-0.data");
  recovered_.compacted_index = Index(11);
  recovered_.compacted_term = Term(1);
  recovered_.runs = {{Index(12), Term(1)}};
  EXPECT_EQ(Recover(), UINT64_MAX);
  EXPECT_THAT(text_,
              ElementsAre("/snap/20-0.data: checksum mismatch; no older snapshot can replace the "
                          "snapshot at index 20, because the log begins after 11; leave this node "
                          "stopped, keep its directory as it is, and run the other members"));
  // The term of the log at that index differs.
  recovered_.compacted_index = Index(9);
  recovered_.runs = {{Index(10), Term(2)}};
  EXPECT_EQ(Recover(), UINT64_MAX);
}

TEST_F(StateRecoveryTest, AMissingSnapshotIsNamed) {
  Take(10);
  ASSERT_TRUE(fs_.Remove("/snap/10-1.manifest").ok());
  recovered_.compacted_index = Index(5);
  recovered_.compacted_term = Term(1);
  recovered_.runs = {{Index(6), Term(1)}};
  EXPECT_EQ(Recover(), UINT64_MAX);
  EXPECT_THAT(text_,
              ElementsAre("the snapshot at index 10 is missing, and the log refers to it; no "
                          "older snapshot can replace the snapshot at index 10, because the "
                          "log begins after 5; leave this node stopped, keep its directory "
                          "as it is, and run the other members"));
}

TEST_F(StateRecoveryTest, AWholeLogNeedsNoSnapshot) {
  Take(10);
  Damage("10-0.data");
  EXPECT_EQ(Recover(), 0u);
  EXPECT_EQ(recovered_.snapshot, raft::SnapshotMeta());
  EXPECT_THAT(text_, ElementsAre("/snap/10-0.data: checksum mismatch; this node starts from an "
                                 "empty state and applies the log after it again"));
}

}  // namespace
}  // namespace dqueue::node
