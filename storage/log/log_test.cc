// Tests of Log's interface: writes, recovery, compaction, limits and errors.
#include "storage/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "base/check.h"
#include "storage/log/record.h"
#include "storage/testing/fault_file_system.h"
#include "storage/testing/log_crash.h"
#include "storage/testing/log_model.h"

namespace dqueue::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kWal[] = "data/wal";
constexpr char kFirst[] = "data/wal/0000000000000001.wal";

class LogTest : public testing::Test {
 protected:
  void Format() {
    const absl::Status s = Log::Format(fs_, kWal, CrashIdentity(), {raft::Term(1), {}, {}},
                                       {MakeEntry(1, 1, "first")}, options_);
    ASSERT_TRUE(s.ok()) << s;
    Open();
  }

  void Open() {
    log_.reset();
    absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(fs_, kWal, options_, &recovered_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
    log_->OnDurable([this](raft::Token token) { durable_.push_back(token.value()); });
  }

  void Write(LogWrite write) {
    log_->Submit(std::move(write));
    const absl::StatusOr<bool> polled = log_->Poll();
    ASSERT_TRUE(polled.ok()) << polled.status();
    EXPECT_TRUE(*polled);
  }

  // Entries first … last of `term`, each of `bytes` bytes.
  static LogWrite Entries(uint64_t first, uint64_t last, uint64_t term, size_t bytes = 10) {
    LogWrite write;
    for (uint64_t i = first; i <= last; ++i) {
      write.entries.push_back(
          MakeEntry(i, term, std::string(bytes, static_cast<char>('a' + i % 26))));
    }
    return write;
  }
  static LogWrite Vote(uint64_t term, uint64_t vote, uint64_t commit = 0) {
    LogWrite write;
    write.hard_state = {raft::Term(term), raft::NodeId(vote), raft::Index(commit)};
    return write;
  }
  static LogWrite Compact(uint64_t snapshot, uint64_t term, uint64_t compact_to) {
    LogWrite write;
    write.snapshot = raft::SnapshotMeta{raft::Index(snapshot), raft::Term(term), "members"};
    write.compact_to = raft::Index(compact_to);
    return write;
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> out;
    for (const std::string& path : fs_.Paths()) out.push_back(path.substr(sizeof kWal));
    return out;
  }

  FaultFileSystem fs_;
  LogOptions options_ = CrashOptions();
  RecoveredLog recovered_;
  std::unique_ptr<Log> log_;
  std::vector<uint64_t> durable_;
};

TEST_F(LogTest, FormatCreatesALogThatOpens) {
  EXPECT_FALSE(*Log::Exists(fs_, kWal));
  EXPECT_EQ(Log::ReadIdentity(fs_, "data").status().code(), absl::StatusCode::kNotFound);
  Format();
  EXPECT_TRUE(*Log::Exists(fs_, kWal));
  EXPECT_EQ(*Log::ReadIdentity(fs_, kWal), CrashIdentity());
  EXPECT_EQ(log_->identity(), CrashIdentity());
  EXPECT_EQ(recovered_.raft.cluster, CrashIdentity().cluster);
  EXPECT_EQ(recovered_.raft.self, CrashIdentity().node);
  EXPECT_EQ(recovered_.raft.incarnation, CrashIdentity().incarnation);
  EXPECT_EQ(recovered_.raft.hard_state.term, raft::Term(1));
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(1));
  EXPECT_FALSE(recovered_.clean_shutdown);
  EXPECT_EQ(recovered_.torn_bytes, 0u);
}

TEST_F(LogTest, FormatRefusesExistingLog) {
  Format();
  const absl::Status s = Log::Format(fs_, kWal, CrashIdentity(), {}, {}, options_);
  EXPECT_EQ(s, absl::AlreadyExistsError("data/wal holds a log already"));
}

TEST_F(LogTest, OpenWithoutLogIsNotFound) {
  EXPECT_EQ(Log::Open(fs_, kWal, options_, &recovered_).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(fs_.CreateDirectory(kWal).ok());
  EXPECT_EQ(Log::Open(fs_, kWal, options_, &recovered_).status(),
            absl::NotFoundError("no log in data/wal"));
}

TEST_F(LogTest, ProblemNamesInvalidOption) {
  struct Case {
    uint64_t segment_bytes;
    int prepared;
    uint64_t max_entry;
    std::string problem;
  };
  const Case cases[] = {
      {64 << 20, 2, 20 << 20, ""},
      {64 << 10, 0, 40960, ""},
      {1 << 30, 64, 1, ""},
      {65535, 2, 100,
       "segment_bytes is 65535; it must be a multiple of 4096 from 65536 to 1073741824"},
      {61440, 2, 100,
       "segment_bytes is 61440; it must be a multiple of 4096 from 65536 to 1073741824"},
      {2u << 30, 2, 100,
       "segment_bytes is 2147483648; it must be a multiple of 4096 from 65536 to 1073741824"},
      {65536, -1, 100, "prepared_segments is -1; it must be from 0 to 64"},
      {65536, 65, 100, "prepared_segments is 65; it must be from 0 to 64"},
      {65536, 2, 0, "max_entry_bytes is 0; with segment_bytes of 65536 it must be from 1 to 40960"},
      {65536, 2, 40961,
       "max_entry_bytes is 40961; with segment_bytes of 65536 it must be from 1 to 40960"},
  };
  for (const Case& c : cases) {
    LogOptions options;
    options.segment_bytes = c.segment_bytes;
    options.prepared_segments = c.prepared;
    options.max_entry_bytes = c.max_entry;
    EXPECT_EQ(options.Problem(), c.problem);
    if (c.problem.empty()) continue;
    EXPECT_EQ(Log::Format(fs_, kWal, CrashIdentity(), {}, {}, options),
              absl::InvalidArgumentError(c.problem));
    EXPECT_EQ(Log::Open(fs_, kWal, options, &recovered_).status(),
              absl::InvalidArgumentError(c.problem));
  }
}

TEST_F(LogTest, FormatRefusesOversizedInput) {
  Identity identity = CrashIdentity();
  identity.node_name = std::string(129, 'n');
  EXPECT_EQ(Log::Format(fs_, kWal, identity, {}, {}, options_),
            absl::InvalidArgumentError("the node name has 129 bytes; the limit is 128"));
  EXPECT_EQ(Log::Format(fs_, kWal, CrashIdentity(), {raft::Term(1), {}, {}},
                        Entries(1, 5, 1, 16 << 10).entries, options_),
            absl::InvalidArgumentError("the first entries do not fit one segment of 65536 bytes"));
  EXPECT_FALSE(*Log::Exists(fs_, kWal));
}

TEST_F(LogTest, LargestEntryFitsBesideTheLargestConfiguration) {
  options_.max_entry_bytes = 40960;
  Format();
  LogWrite snapshot;
  snapshot.snapshot = raft::SnapshotMeta{raft::Index(1), raft::Term(1), std::string(16 << 10, 'c')};
  Write(snapshot);
  for (uint64_t i = 2; i < 6; ++i) Write(Entries(i, i, 1, 40960));
  Open();
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(5));
  EXPECT_EQ(recovered_.raft.snapshot.config.size(), 16u << 10);
}

TEST_F(LogTest, WritesAreRecovered) {
  Format();
  Write(Vote(2, 7, 1));
  Write(Entries(2, 4, 2));
  LogWrite config;
  config.entries = {MakeEntry(5, 2, "joint", raft::EntryKind::kConfig)};
  Write(config);
  Write(Vote(3, 0, 5));
  Open();
  const raft::Recovered& r = recovered_.raft;
  EXPECT_EQ(r.hard_state, (raft::HardState{raft::Term(3), {}, raft::Index(5)}));
  EXPECT_EQ(r.last_index, raft::Index(5));
  EXPECT_EQ(r.compacted_index, raft::Index(0));
  ASSERT_EQ(r.runs.size(), 2u);
  EXPECT_EQ(r.runs[0].first, raft::Index(1));
  EXPECT_EQ(r.runs[0].term, raft::Term(1));
  EXPECT_EQ(r.runs[1].first, raft::Index(2));
  EXPECT_EQ(r.runs[1].term, raft::Term(2));
  ASSERT_EQ(r.config_entries.size(), 1u);
  EXPECT_EQ(r.config_entries[0].index, raft::Index(5));
  EXPECT_EQ(*r.config_entries[0].payload, "joint");
  const std::vector<raft::Entry> entries =
      log_->ReadEntries(raft::Index(1), raft::Index(5), 1 << 20);
  ASSERT_EQ(entries.size(), 5u);
  EXPECT_EQ(*entries[0].payload, "first");
  EXPECT_EQ(*entries[1].payload, std::string(10, 'c'));
  EXPECT_EQ(entries[4].kind, raft::EntryKind::kConfig);
  EXPECT_EQ(entries[4].term, raft::Term(2));
}

TEST_F(LogTest, OldIndexSupersedesTail) {
  Format();
  Write(Entries(2, 9, 1));
  LogWrite overwrite = Entries(4, 5, 2);
  overwrite.hard_state = {raft::Term(2), {}, {}};
  Write(overwrite);
  EXPECT_EQ(log_->ReadEntries(raft::Index(4), raft::Index(5), 1 << 20)[0].term, raft::Term(2));
  EXPECT_EQ(log_->stats().entries, 10u);
  Open();
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(5));
  ASSERT_EQ(recovered_.raft.runs.size(), 2u);
  EXPECT_EQ(recovered_.raft.runs[1].first, raft::Index(4));
}

TEST_F(LogTest, ResetReplacesTheLog) {
  Format();
  Write(Entries(2, 9, 1));
  LogWrite reset;
  reset.hard_state = {raft::Term(5), {}, raft::Index(100)};
  reset.snapshot = reset.reset = raft::SnapshotMeta{raft::Index(100), raft::Term(4), "members"};
  reset.entries = Entries(101, 103, 5).entries;
  Write(reset);
  EXPECT_EQ(log_->ReadEntries(raft::Index(101), raft::Index(103), 1 << 20).size(), 3u);
  Open();
  EXPECT_EQ(recovered_.raft.compacted_index, raft::Index(100));
  EXPECT_EQ(recovered_.raft.compacted_term, raft::Term(4));
  EXPECT_EQ(recovered_.raft.snapshot, *reset.reset);
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(103));
  EXPECT_EQ(recovered_.raft.hard_state.commit, raft::Index(100));
}

// The commit index is a hint. It is reported neither above the last entry nor below the snapshot.
TEST_F(LogTest, CommitIsClampedBetweenSnapshotAndEnd) {
  Format();
  Write(Vote(1, 7, 900));
  Open();
  EXPECT_EQ(recovered_.raft.hard_state.commit, raft::Index(1));
  Write(Entries(2, 9, 1));
  Write(Vote(1, 7, 3));
  Write(Compact(8, 1, 2));
  Open();
  EXPECT_EQ(recovered_.raft.hard_state.commit, raft::Index(8));
}

TEST_F(LogTest, OneSyncPerBatch) {
  Format();
  const uint64_t syncs = fs_.counts().syncs;
  const uint64_t writes = fs_.counts().writes;
  for (uint64_t i = 2; i <= 50; ++i) {
    LogWrite write = Entries(i, i, 1);
    write.token = raft::Token(i);
    log_->Submit(std::move(write));
  }
  EXPECT_TRUE(*log_->Poll());
  EXPECT_EQ(fs_.counts().syncs, syncs + 1);
  EXPECT_EQ(fs_.counts().writes, writes + 1);
  EXPECT_THAT(durable_, ElementsAre(50));
  EXPECT_FALSE(*log_->Poll());
}

TEST_F(LogTest, TokenWithoutChangesNeedsNoSync) {
  Format();
  const FaultFileSystem::Counts before = fs_.counts();
  LogWrite write;
  write.token = raft::Token(1);
  log_->Submit(write);
  EXPECT_TRUE(durable_.empty());
  EXPECT_TRUE(*log_->Poll());
  write.token = raft::Token(2);
  write.hard_state = recovered_.raft.hard_state;  // unchanged, so nothing is written
  Write(write);
  EXPECT_THAT(durable_, ElementsAre(1, 2));
  EXPECT_EQ(fs_.counts().mutations, before.mutations);
}

TEST_F(LogTest, FailedSyncIsNotReportedDurable) {
  Format();
  fs_.FailNth(DiskOp::kSync, 1, absl::InternalError("Input/output error"));
  LogWrite write = Entries(2, 2, 1);
  write.token = raft::Token(1);
  log_->Submit(write);
  EXPECT_EQ(log_->Poll().status(),
            absl::InternalError("data/wal/0000000000000001.wal: Input/output error"));
  EXPECT_TRUE(durable_.empty());
  const absl::Status unusable =
      absl::FailedPreconditionError("data/wal: the log has failed and accepts no writes");
  log_->Submit(write);
  EXPECT_EQ(log_->Poll().status(), unusable);
  EXPECT_EQ(log_->PrepareSegments().status(), unusable);
  EXPECT_EQ(log_->Close(), unusable);
  EXPECT_TRUE(durable_.empty());
}

TEST_F(LogTest, OnWorkIsCalledForFirstSubmit) {
  Format();
  int calls = 0;
  log_->OnWork([&calls] { ++calls; });
  log_->Submit(Entries(2, 2, 1));
  log_->Submit(Entries(3, 3, 1));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(*log_->Poll());
  log_->Submit(Entries(4, 4, 1));
  EXPECT_EQ(calls, 2);
}

TEST_F(LogTest, BatchMayFillManySegments) {
  Format();
  LogWrite write = Entries(2, 40, 1, 15000);
  write.token = raft::Token(1);
  Write(write);
  EXPECT_THAT(durable_, ElementsAre(1));
  EXPECT_EQ(log_->stats().segments, 10u);
  EXPECT_EQ(Files().size(), 10u);
  Open();
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(40));
  std::vector<raft::Entry> all = log_->ReadEntries(raft::Index(1), raft::Index(40), 1 << 20);
  ASSERT_EQ(all.size(), 40u);
  for (const raft::Entry& entry : all) {
    if (entry.index.value() == 1) continue;
    EXPECT_EQ(entry.payload->size(), 15000u);
    EXPECT_EQ(entry.payload->front(), static_cast<char>('a' + entry.index.value() % 26));
  }
}

// The size follows the volume, which may grow or shrink.
TEST_F(LogTest, SegmentSizeMayChangeBetweenStarts) {
  const uint64_t small = options_.segment_bytes;
  Format();
  Write(Entries(2, 10, 1, 15000));
  options_.segment_bytes = 4 * small;
  Open();
  Write(Entries(11, 30, 1, 15000));
  options_.segment_bytes = small;
  Open();
  Write(Entries(31, 40, 1, 15000));
  Write(Compact(12, 1, 12));
  Open();
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(40));
  EXPECT_EQ(log_->ReadEntries(raft::Index(13), raft::Index(40), 1 << 20).size(), 28u);
}

TEST_F(LogTest, ReadStopsAtByteLimit) {
  Format();
  Write(Entries(2, 20, 1, 68));  // 100 bytes each, as limits count
  EXPECT_EQ(log_->ReadEntries(raft::Index(2), raft::Index(20), 1).size(), 1u);
  EXPECT_EQ(log_->ReadEntries(raft::Index(2), raft::Index(20), 199).size(), 1u);
  EXPECT_EQ(log_->ReadEntries(raft::Index(2), raft::Index(20), 200).size(), 2u);
  EXPECT_EQ(log_->ReadEntries(raft::Index(2), raft::Index(20), 1000000).size(), 19u);
  EXPECT_EQ(log_->ReadEntries(raft::Index(20), raft::Index(20), 0).size(), 1u);
}

TEST_F(LogTest, CompactionRemovesWholeSegments) {
  Format();
  Write(Entries(2, 40, 1, 15000));
  const uint64_t live = log_->stats().live_bytes;
  // A segment holds entry 1 and four of the others.
  Write(Compact(40, 1, 4));
  EXPECT_EQ(log_->stats().segments, 10u);
  Write(Compact(40, 1, 13));
  EXPECT_EQ(log_->stats().segments, 7u);
  EXPECT_LT(log_->stats().live_bytes, live);
  EXPECT_FALSE(fs_.DurablyExists(kFirst));
  EXPECT_EQ(log_->ReadEntries(raft::Index(14), raft::Index(14), 1)[0].index, raft::Index(14));
  // A mark below the last one is ignored.
  Write(Compact(40, 1, 5));
  Open();
  EXPECT_EQ(recovered_.raft.compacted_index, raft::Index(13));
  EXPECT_EQ(recovered_.raft.compacted_term, raft::Term(1));
  ASSERT_EQ(recovered_.raft.runs.size(), 1u);
  EXPECT_EQ(recovered_.raft.runs[0].first, raft::Index(14));
  // All entries may be discarded, but the current segment is kept.
  Write(Compact(40, 1, 40));
  EXPECT_EQ(log_->stats().segments, 1u);
  EXPECT_EQ(log_->stats().live_bytes, 0u);
  Open();
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(40));
  EXPECT_TRUE(recovered_.raft.runs.empty());
  Write(Entries(41, 41, 1));
  EXPECT_EQ(log_->ReadEntries(raft::Index(41), raft::Index(41), 1)[0].index, raft::Index(41));
}

// A local snapshot that completes after a newer one was received.
TEST_F(LogTest, OlderSnapshotMarkIsIgnored) {
  Format();
  Write(Entries(2, 9, 1));
  Write(Compact(8, 1, 2));
  Write(Compact(5, 1, 4));
  Open();
  EXPECT_EQ(recovered_.raft.snapshot.index, raft::Index(8));
  EXPECT_EQ(recovered_.raft.compacted_index, raft::Index(4));
}

// A crash undid the removal of segments; the next Open() repeats it.
TEST_F(LogTest, OpenFinishesInterruptedCompaction) {
  Format();
  Write(Entries(2, 40, 1, 15000));
  fs_.FailNth(DiskOp::kRemove, 1, absl::InternalError("Input/output error"));
  log_->Submit(Compact(40, 1, 20));
  EXPECT_FALSE(log_->Poll().ok());
  Open();
  EXPECT_EQ(log_->stats().segments, 6u);
  EXPECT_FALSE(fs_.DurablyExists(kFirst));
}

TEST_F(LogTest, MarksSurviveRemovalOfTheirSegments) {
  Format();
  Write(Vote(3, 2));
  Write(Entries(2, 30, 3, 15000));
  Write(Compact(30, 3, 30));
  ASSERT_EQ(Files().size(), 1u);
  Write(Entries(31, 60, 3, 15000));
  Write(Compact(60, 3, 60));
  ASSERT_EQ(Files().size(), 1u);
  Open();
  EXPECT_EQ(recovered_.raft.hard_state.term, raft::Term(3));
  EXPECT_EQ(recovered_.raft.hard_state.vote, raft::NodeId(2));
  EXPECT_EQ(recovered_.raft.snapshot.index, raft::Index(60));
  EXPECT_EQ(recovered_.raft.snapshot.config, "members");
}

TEST_F(LogTest, CleanShutdownIsReportedUntilNextWrite) {
  Format();
  Write(Entries(2, 3, 1));
  log_->Submit(Entries(4, 4, 1));
  ASSERT_TRUE(log_->Close().ok());
  ASSERT_TRUE(log_->Close().ok());
  Open();
  EXPECT_TRUE(recovered_.clean_shutdown);
  EXPECT_EQ(recovered_.raft.last_index, raft::Index(4));
  Open();
  EXPECT_TRUE(recovered_.clean_shutdown);
  Write(Entries(5, 5, 1));
  Open();
  EXPECT_FALSE(recovered_.clean_shutdown);
}

TEST_F(LogTest, PreparedSegmentsAreUsed) {
  options_.prepared_segments = 2;
  Format();
  const uint64_t before = log_->ReservedBytes();
  EXPECT_TRUE(*log_->PrepareSegments());
  EXPECT_TRUE(*log_->PrepareSegments());
  EXPECT_FALSE(*log_->PrepareSegments());
  EXPECT_EQ(log_->ReservedBytes(), before + 2 * (65536 - 4096));
  EXPECT_THAT(Files(), ElementsAre("0000000000000001.free", "0000000000000001.wal",
                                   "0000000000000002.free"));
  const uint64_t used = fs_.UsedBytes();
  Write(Entries(2, 6, 1, 15000));
  EXPECT_EQ(fs_.UsedBytes(), used);
  EXPECT_LT(log_->ReservedBytes(), before + 65536 - 4096);
  EXPECT_TRUE(*log_->PrepareSegments());
  // The next process does not use prepared files.
  Open();
  EXPECT_THAT(Files(), ElementsAre("0000000000000001.wal", "0000000000000002.wal"));
}

TEST_F(LogTest, FullDiskStopsOnlyPrepareSegments) {
  Format();
  fs_.SetCapacity(fs_.UsedBytes() + 1000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(log_->PrepareSegments().status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Files(), ElementsAre("0000000000000001.wal")) << "space was not given back";
  }
  Write(Entries(2, 3, 1, 15000));
  fs_.SetCapacity(UINT64_MAX);
  EXPECT_TRUE(*log_->PrepareSegments());
}

TEST_F(LogTest, NoSpaceForSegmentFailsLog) {
  Format();
  fs_.SetCapacity(fs_.UsedBytes() + 1000);
  log_->Submit(Entries(2, 9, 1, 15000));
  EXPECT_EQ(log_->Poll().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(log_->Poll().status().code(), absl::StatusCode::kFailedPrecondition);
  fs_.SetCapacity(UINT64_MAX);
  Open();
  EXPECT_GE(recovered_.raft.last_index, raft::Index(1));
}

TEST_F(LogTest, OpenKeepsUnknownFiles) {
  Format();
  fs_.PutFile("data/wal/README", "hands off");
  fs_.PutFile("data/wal/0000000000000009.free", "old");
  fs_.PutFile("data/wal/anything.tmp", "old");
  Open();
  EXPECT_THAT(Files(), ElementsAre("0000000000000001.wal", "README"));
}

TEST_F(LogTest, StatsCount) {
  Format();
  const LogStats before = log_->stats();
  EXPECT_EQ(before.segments, 1u);
  EXPECT_EQ(before.live_bytes, RecordBytes(24 + 5));
  EXPECT_EQ(recovered_.bytes, before.live_bytes);
  Write(Entries(2, 3, 1, 8));
  const LogStats after = log_->stats();
  EXPECT_EQ(after.syncs, before.syncs + 1);
  EXPECT_EQ(after.entries, 2u);
  EXPECT_EQ(after.written_bytes, before.written_bytes + 2 * 72);
  EXPECT_EQ(after.live_bytes, before.live_bytes + 2 * 72);
}

class LogCheckTest : public LogTest {
 protected:
  LogCheckTest() {
    SetCheckFailureHandler([](const std::string& text) { throw std::runtime_error(text); });
  }
  ~LogCheckTest() override { SetCheckFailureHandler(nullptr); }

  template <class Call>
  static std::string FailedCheck(Call call) {
    try {
      call();
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "no check failed";
  }
};

// The writer refuses what Open() would refuse.
TEST_F(LogCheckTest, WritesThatViolateRaftFailChecks) {
  LogWrite too_large = Entries(5, 5, 2, (16 << 10) + 1);
  LogWrite long_config;
  long_config.snapshot =
      raft::SnapshotMeta{raft::Index(4), raft::Term(2), std::string((16 << 10) + 1, 'c')};
  LogWrite early_reset;
  early_reset.reset = raft::SnapshotMeta{raft::Index(1), raft::Term(1), ""};
  const std::pair<LogWrite, std::string> cases[] = {
      {Entries(6, 6, 2), "entry 6 after entry 4"},
      {Entries(5, 5, 1), "entry 5 of term 1 after term 2"},
      {Entries(5, 5, 3), "entry 5 of term 3 in term 2"},
      {Entries(5, 5, 0), "entry 5 has term 0"},
      {Entries(2, 2, 2), "entry 2 replaces an entry of the snapshot at 2"},
      {Vote(1, 0), "term 1 after term 2"},
      {Vote(2, 0), "the vote in term 2 changes from 9 to 0"},
      {Vote(2, 8), "the vote in term 2 changes from 9 to 8"},
      {Compact(5, 2, 1), "a snapshot at 5 of a log that ends at 4"},
      {Compact(3, 1, 1), "a snapshot at 3 of term 1 of an entry of term 2"},
      {Compact(3, 2, 4), "compaction to 4 with a snapshot only at 3"},
      {Compact(3, 2, 9), "compaction to 9, which the log does not hold"},
      {early_reset, "a reset to 1 after a snapshot at 2"},
      {too_large, "entry 5 is too large for the log"},
      {long_config, "a configuration of 16385 bytes"},
  };
  for (const auto& [write, expected] : cases) {
    fs_.CreateDirectory("data").IgnoreError();
    for (const std::string& path : fs_.Paths()) ASSERT_TRUE(fs_.Remove(path).ok());
    Format();
    Write(Vote(2, 9));
    Write(Entries(2, 4, 2));
    LogWrite snapshot;
    snapshot.snapshot = raft::SnapshotMeta{raft::Index(2), raft::Term(2), ""};
    Write(snapshot);
    log_->Submit(write);
    EXPECT_THAT(FailedCheck([&] { (void)log_->Poll(); }), HasSubstr(expected));
  }
}

TEST_F(LogCheckTest, TokensMustIncrease) {
  Format();
  LogWrite write;
  write.token = raft::Token(5);
  Write(write);
  log_->Submit(write);
  EXPECT_THAT(FailedCheck([&] { (void)log_->Poll(); }), HasSubstr("tokens must increase"));
}

TEST_F(LogCheckTest, SubmitAfterCloseFailsCheck) {
  Format();
  ASSERT_TRUE(log_->Close().ok());
  EXPECT_THAT(FailedCheck([&] { log_->Submit(LogWrite()); }), HasSubstr("Submit() after Close()"));
}

TEST_F(LogCheckTest, ReadOfDamagedEntryFailsCheck) {
  Format();
  Write(Entries(2, 2, 1, 100));
  const uint64_t record = 4096 + 64 + RecordBytes(24 + 5);
  const auto read = [&] { (void)log_->ReadEntries(raft::Index(2), raft::Index(2), 1); };
  read();
  fs_.FlipBit(kFirst, (record + 40 + 24 + 50) * 8);
  EXPECT_THAT(FailedCheck(read), HasSubstr(std::string(kFirst) + ":" + std::to_string(record) +
                                           ": entry 2 has a damaged payload"));
  fs_.FlipBit(kFirst, (record + 40 + 24 + 50) * 8);
  fs_.FlipBit(kFirst, (record + 17) * 8);
  EXPECT_THAT(FailedCheck(read), HasSubstr("entry 2 has a damaged header"));
  fs_.FlipBit(kFirst, (record + 17) * 8);
  read();
  EXPECT_THAT(FailedCheck([&] { (void)log_->ReadEntries(raft::Index(2), raft::Index(3), 1); }),
              HasSubstr("entries 2..3 of 1..2"));
}

}  // namespace
}  // namespace dqueue::storage
