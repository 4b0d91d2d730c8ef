#include "raft/log_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/random.h"
#include "raft/testing/fake_disk.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft {
namespace {

using test::ChecksThrow;
using test::FakeDisk;
using test::MakeConfiguration;
using test::Text;
using test::Violation;

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

Entry Command(uint64_t index, uint64_t term, const std::string& text = "x") {
  return {.index = Index(index),
          .term = Term(term),
          .kind = EntryKind::kCommand,
          .payload = Text(text)};
}

Entry Config(uint64_t index, uint64_t term, int nodes) {
  return {.index = Index(index),
          .term = Term(term),
          .kind = EntryKind::kConfig,
          .payload = Text(EncodeConfiguration(MakeConfiguration(nodes)))};
}

// A log with these terms from index 1, recovered from storage.
class Stored {
 public:
  explicit Stored(const std::vector<uint64_t>& terms, uint64_t cache_bytes = kNoLimit)
      : disk_(NodeId(1), Incarnation(1)) {
    std::vector<Entry> entries;
    for (const uint64_t term : terms) entries.push_back(Command(entries.size() + 1, term));
    disk_.Write(HardState{Term(1000), NodeId(), Index()}, std::nullopt, entries);
    log_ = std::make_unique<LogView>(disk_.Recover(), &disk_, cache_bytes);
  }
  LogView& log() { return *log_; }
  FakeDisk& disk() { return disk_; }

 private:
  FakeDisk disk_;
  std::unique_ptr<LogView> log_;
};

std::vector<Index> Indexes(const std::vector<Entry>& entries) {
  std::vector<Index> indexes;
  for (const Entry& entry : entries) indexes.push_back(entry.index);
  return indexes;
}

std::vector<Index> Range(uint64_t first, uint64_t last) {
  std::vector<Index> indexes;
  for (uint64_t i = first; i <= last; ++i) indexes.push_back(Index(i));
  return indexes;
}

TEST(LogView, TermLookupReadsNoEntries) {
  Stored stored({1, 1, 2, 5, 5, 5});
  const LogView& log = stored.log();
  EXPECT_EQ(log.TermAt(Index()), Term());
  EXPECT_EQ(log.TermAt(Index(2)), Term(1));
  EXPECT_EQ(log.TermAt(Index(3)), Term(2));
  EXPECT_EQ(log.TermAt(Index(6)), Term(5));
  EXPECT_EQ(log.TermAt(Index(7)), Term());
  EXPECT_TRUE(log.Matches(Index(), Term()));
  EXPECT_FALSE(log.Matches(Index(7), Term()));
  EXPECT_EQ(stored.disk().reads(), 0);
}

TEST(LogView, FindConflictByTermMatchesLinearSearch) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint64_t> terms;
    uint64_t term = 1;
    const uint64_t length = random.Below(12);
    for (uint64_t i = 0; i < length; ++i) terms.push_back(term += random.Below(3));
    Stored stored(terms);
    for (uint64_t index = 0; index <= length + 2; ++index) {
      for (uint64_t at_most = 0; at_most <= term + 1; ++at_most) {
        uint64_t expected = std::min(index, length);
        while (expected > 0 && terms[expected - 1] > at_most) --expected;
        EXPECT_EQ(stored.log().FindConflictByTerm(Index(index), Term(at_most)).index,
                  Index(expected));
      }
    }
  }
}

TEST(LogView, EntriesAreSubmittedOnce) {
  Stored stored({1});
  LogView& log = stored.log();
  EXPECT_FALSE(log.HasUnsubmitted());
  log.Append(Command(2, 1));
  log.Append(Command(3, 2));
  EXPECT_TRUE(log.HasUnsubmitted());
  EXPECT_EQ(Indexes(log.TakeUnsubmitted()), Range(2, 3));
  EXPECT_TRUE(log.TakeUnsubmitted().empty());
  // A truncation below the submitted end makes entries be submitted again from there.
  log.Append(Command(4, 2));
  log.TruncateFrom(Index(3));
  log.Append(Command(3, 7));
  EXPECT_EQ(Indexes(log.TakeUnsubmitted()), Range(3, 3));
  // A truncation above it does not.
  log.Append(Command(4, 7));
  log.Append(Command(5, 7));
  log.TruncateFrom(Index(5));
  EXPECT_EQ(Indexes(log.TakeUnsubmitted()), Range(4, 4));
}

TEST(LogView, ConfigurationFollowsAppendAndTruncate) {
  Stored stored({1});
  LogView& log = stored.log();
  EXPECT_TRUE(log.config().voters.empty());
  log.Append(Config(2, 1, 3));
  log.Append(Command(3, 1));
  log.Append(Config(4, 2, 5));
  EXPECT_EQ(log.config(), MakeConfiguration(5));
  EXPECT_EQ(log.config_index(), Index(4));
  EXPECT_EQ(log.ConfigAt(Index(3)), MakeConfiguration(3));
  EXPECT_EQ(log.ConfigAt(Index(1)), Configuration());
  log.TruncateFrom(Index(4));
  EXPECT_EQ(log.config(), MakeConfiguration(3));
  log.TruncateFrom(Index(2));
  EXPECT_EQ(log.config(), Configuration());
  EXPECT_EQ(log.config_index(), Index());
}

TEST(LogView, CompactionKeepsTermAndConfiguration) {
  Stored stored({1});
  LogView& log = stored.log();
  log.Append(Config(2, 1, 3));
  log.Append(Command(3, 4));
  log.Append(Config(4, 4, 5));
  log.TakeUnsubmitted();
  log.CompactTo(Index(3));
  EXPECT_EQ(log.first_index(), Index(4));
  EXPECT_EQ(log.TermAt(Index(3)), Term(4));
  EXPECT_EQ(log.TermAt(Index(2)), Term());
  EXPECT_FALSE(log.Matches(Index(2), Term(1)));
  EXPECT_EQ(log.ConfigAt(Index(3)), MakeConfiguration(3));
  EXPECT_EQ(log.config(), MakeConfiguration(5));
  log.CompactTo(Index(2));  // below the compaction point: no effect
  EXPECT_EQ(log.first_index(), Index(4));
  // After compaction of the whole log the last term is still known (LogCabin e333046).
  log.CompactTo(Index(4));
  EXPECT_EQ(log.last_index(), Index(4));
  EXPECT_EQ(log.last_term(), Term(4));
  log.Append(Command(5, 4));
  EXPECT_EQ(log.TermAt(Index(5)), Term(4));
}

TEST(LogView, ResetReplacesLog) {
  Stored stored({1, 2, 3});
  LogView& log = stored.log();
  log.Append(Command(4, 3));
  log.Reset(
      {.index = Index(9), .term = Term(3), .config = EncodeConfiguration(MakeConfiguration(4))});
  EXPECT_EQ(log.first_index(), Index(10));
  EXPECT_EQ(log.last_index(), Index(9));
  EXPECT_EQ(log.last_term(), Term(3));
  EXPECT_FALSE(log.HasUnsubmitted());
  EXPECT_EQ(log.config(), MakeConfiguration(4));
  log.Append(Command(10, 3));
  EXPECT_EQ(Indexes(log.TakeUnsubmitted()), Range(10, 10));
}

TEST(LogView, ReadsOldEntriesFromStorageAndNewFromCache) {
  Stored stored({1, 1, 1});
  LogView& log = stored.log();
  log.Append(Command(4, 1));
  log.Append(Command(5, 1));
  EXPECT_EQ(Indexes(log.Read(Index(4), Index(5), kNoLimit, kNoLimit)), Range(4, 5));
  EXPECT_EQ(stored.disk().reads(), 0);
  // Storage is read only up to the first cached entry, because later ones may not be durable.
  EXPECT_EQ(Indexes(log.Read(Index(2), Index(5), kNoLimit, kNoLimit)), Range(2, 3));
  EXPECT_EQ(stored.disk().reads(), 1);
}

TEST(LogView, ReadRespectsLimitsAndReturnsAtLeastOneEntry) {
  Stored stored({1, 1, 1, 1});
  LogView& log = stored.log();
  for (uint64_t i = 5; i <= 8; ++i) log.Append(Command(i, 1));
  const uint64_t size = Command(1, 1).SizeBytes();
  for (const uint64_t first : {1, 5}) {  // from storage, from memory
    EXPECT_EQ(log.Read(Index(first), Index(first + 3), kNoLimit, 1).size(), 1u);
    EXPECT_EQ(log.Read(Index(first), Index(first + 3), kNoLimit, 2 * size).size(), 2u);
    EXPECT_EQ(log.Read(Index(first), Index(first + 3), kNoLimit, 3 * size - 1).size(), 2u);
    EXPECT_EQ(log.Read(Index(first), Index(first + 3), 3, kNoLimit).size(), 3u);
    EXPECT_EQ(log.Read(Index(first), Index(first), kNoLimit, kNoLimit).size(), 1u);
  }
}

TEST(LogView, EvictsOnlyDurableEntries) {
  Stored stored({1}, /*cache_bytes=*/0);
  LogView& log = stored.log();
  for (uint64_t i = 2; i <= 5; ++i) log.Append(Command(i, 1));
  stored.disk().Write(std::nullopt, std::nullopt, log.TakeUnsubmitted());
  log.Evict(Index(1));
  EXPECT_EQ(log.cached_from(), Index(2));
  log.Evict(Index(3));
  EXPECT_EQ(log.cached_from(), Index(4));
  EXPECT_EQ(log.cached_bytes(), 2 * Command(1, 1).SizeBytes());
  EXPECT_EQ(Indexes(log.Read(Index(3), Index(5), kNoLimit, kNoLimit)), Range(3, 3));
}

TEST(LogView, InvalidOperationsFailChecks) {
  ChecksThrow checks;
  EXPECT_THROW(Stored({1}).log().Append(Command(3, 1)), Violation);     // a gap
  EXPECT_THROW(Stored({1, 4}).log().Append(Command(3, 3)), Violation);  // a term that decreases
  EXPECT_THROW(Stored({1}).log().TruncateFrom(Index(2)), Violation);    // beyond the end
  EXPECT_THROW(Stored({1}).log().Read(Index(1), Index(2), 1, 1), Violation);
  Entry broken = Config(2, 1, 3);
  broken.payload = Text("?");
  EXPECT_THROW(Stored({1}).log().Append(broken), Violation);
}

// Wrong entries from storage must not be passed on.
class LyingReader : public LogReader {
 public:
  explicit LyingReader(std::vector<Entry> answer) : answer_(std::move(answer)) {}
  std::vector<Entry> ReadEntries(Index, Index, uint64_t) const override { return answer_; }

 private:
  std::vector<Entry> answer_;
};

TEST(LogView, WrongEntriesFromStorageFailChecks) {
  ChecksThrow checks;
  const std::vector<std::vector<Entry>> lies = {
      {},
      {Command(3, 1)},
      {Command(2, 2)},
      {Command(2, 1), Command(4, 1)},
      {Command(2, 1), Command(3, 1), Command(4, 1)},
  };
  for (const std::vector<Entry>& lie : lies) {
    const LyingReader reader(lie);
    Recovered recovered = Stored({1, 1, 1, 1}).disk().Recover();
    const LogView log(recovered, &reader, kNoLimit);
    EXPECT_THROW(log.Read(Index(2), Index(3), kNoLimit, kNoLimit), Violation);
  }
}

TEST(LogView, InconsistentRecoveredLogFailsChecks) {
  ChecksThrow checks;
  const std::string config = EncodeConfiguration(MakeConfiguration(3));
  struct {
    const char* what;
    void (*damage)(Recovered&);
  } const cases[] = {
      {"last before first",
       [](Recovered& r) {
         r.last_index = Index();
         r.compacted_index = Index(9);
       }},
      {"no runs", [](Recovered& r) { r.runs.clear(); }},
      {"a run that starts late", [](Recovered& r) { r.runs[0].first = Index(2); }},
      {"runs that do not rise", [](Recovered& r) { r.runs[1].first = Index(1); }},
      {"terms that do not rise", [](Recovered& r) { r.runs[1].term = Term(1); }},
      {"a run after the end", [](Recovered& r) { r.runs[1].first = Index(9); }},
      {"a snapshot after the end",
       [](Recovered& r) {
         r.snapshot = {Index(9), Term(2), EncodeConfiguration(MakeConfiguration(3))};
       }},
      {"a snapshot of another term",
       [](Recovered& r) {
         r.snapshot = {Index(3), Term(1), EncodeConfiguration(MakeConfiguration(3))};
       }},
      {"a snapshot without configuration",
       [](Recovered& r) {
         r.snapshot = {Index(3), Term(2), ""};
       }},
      {"a configuration after the end", [](Recovered& r) { r.config_entries = {Config(9, 2, 3)}; }},
      {"a configuration that is a command",
       [](Recovered& r) { r.config_entries = {Command(2, 1)}; }},
  };
  for (const auto& c : cases) {
    Stored stored({1, 1, 2, 2});
    Recovered recovered = stored.disk().Recover();
    EXPECT_NO_THROW(LogView(recovered, &stored.disk(), 0));
    c.damage(recovered);
    EXPECT_THROW(LogView(recovered, &stored.disk(), 0), Violation) << c.what;
  }
}

// Random operations, compared with a plain vector.
TEST(LogView, MatchesVectorModel) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    FakeDisk disk(NodeId(1), Incarnation(1));
    disk.Write(HardState{Term(1000), NodeId(), Index()}, std::nullopt, {});
    LogView log(disk.Recover(), &disk, random.Below(400));
    std::vector<Entry> model;  // index i is model[i - 1]
    uint64_t compacted = 0;
    uint64_t written = 0;  // submitted; durable at once in this test
    uint64_t term = 1;
    for (int step = 0; step < 120; ++step) {
      switch (random.Below(6)) {
        case 0:
        case 1:
          term += random.Below(2);
          model.push_back(
              random.Below(8) == 0
                  ? Config(model.size() + 1, term, 1 + static_cast<int>(random.Below(5)))
                  : Command(model.size() + 1, term, std::string(random.Below(50), 'y')));
          log.Append(model.back());
          break;
        case 2:
          disk.Write(std::nullopt, std::nullopt, log.TakeUnsubmitted());
          written = model.size();
          log.Evict(Index(written));
          break;
        case 3:
          if (model.size() > compacted && random.Below(3) == 0) {
            const uint64_t first = compacted + 1 + random.Below(model.size() - compacted);
            log.TruncateFrom(Index(first));
            model.resize(first - 1);
            written = std::min(written, first - 1);
          }
          break;
        case 4:
          if (written > compacted && random.Below(4) == 0) {
            compacted += 1 + random.Below(written - compacted);
            log.CompactTo(Index(compacted));
          }
          break;
        default:
          break;
      }
      ASSERT_EQ(log.last_index(), Index(model.size()));
      ASSERT_EQ(log.first_index(), Index(compacted + 1));
      ASSERT_EQ(log.HasUnsubmitted(), written < model.size());
      for (uint64_t i = compacted + 1; i <= model.size(); ++i) {
        ASSERT_EQ(log.TermAt(Index(i)), model[i - 1].term);
        const std::vector<Entry> read = log.Read(Index(i), Index(model.size()), 3, 200);
        for (size_t k = 0; k < read.size(); ++k) {
          ASSERT_EQ(read[k].index, Index(i + k));
          ASSERT_EQ(*read[k].payload, *model[i + k - 1].payload);
        }
        Configuration config;
        for (uint64_t k = 1; k <= i; ++k) {
          if (model[k - 1].kind == EntryKind::kConfig) {
            config = *DecodeConfiguration(*model[k - 1].payload);
          }
        }
        ASSERT_EQ(log.ConfigAt(Index(i)), config);
      }
    }
  }
}

}  // namespace
}  // namespace dqueue::raft
