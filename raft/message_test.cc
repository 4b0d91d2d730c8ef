#include "raft/message.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "raft/raft.h"

namespace dqueue::raft {
namespace {

TEST(Describe, OneLinePerMessageKind) {
  const auto entry = [](uint64_t index) {
    return Entry{.index = Index(index),
                 .term = Term(3),
                 .kind = EntryKind::kCommand,
                 .payload = std::make_shared<const std::string>("secret")};
  };
  AppendRequest append;
  append.prev_index = Index(2);
  append.prev_term = Term(1);
  append.commit = Index(2);
  AppendRequest one = append;
  one.entries = {entry(3)};
  one.read_id = ReadId(9);
  AppendRequest three = append;
  three.entries = {entry(3), entry(4), entry(5)};
  AppendResponse ok;
  ok.success = true;
  ok.match = Index(5);
  AppendResponse no;
  no.rejected_prev = Index(7);
  no.hint_index = Index(4);
  no.hint_term = Term(2);
  no.low_space = true;
  AppendResponse short_of_memory = ok;
  short_of_memory.low_memory = true;
  SnapshotRequest snapshot;
  snapshot.meta = {Index(50), Term(4), ""};
  snapshot.cursor = {1, 512};
  snapshot.data = "abc";
  const SnapshotResponse wants{Index(50), Term(4), {2, 0}, false, false};
  struct {
    MessageBody body;
    const char* line;
  } const cases[] = {
      {PreVoteRequest{Term(4), Index(2), Term(1)}, "pre-vote? for term 4 last 2^1"},
      {PreVoteResponse{Term(4), true}, "pre-vote granted for term 4"},
      {PreVoteResponse{Term(4), false}, "pre-vote refused for term 4"},
      {VoteRequest{Index(2), Term(1), false}, "vote? last 2^1"},
      {VoteRequest{Index(2), Term(1), true}, "vote? last 2^1 by transfer"},
      {VoteResponse{true}, "vote granted"},
      {VoteResponse{false}, "vote refused"},
      {append, "append nothing prev 2^1 commit 2"},
      {one, "append 3 prev 2^1 commit 2 read 9"},
      {three, "append 3..5 prev 2^1 commit 2"},
      {ok, "appended to 5"},
      {no, "append refused at 7 hint 4^2 low on space"},
      {short_of_memory, "appended to 5 low on memory"},
      {HeartbeatRequest{Index(3), ReadId()}, "heartbeat commit 3"},
      {HeartbeatRequest{Index(3), ReadId(8)}, "heartbeat commit 3 read 8"},
      {HeartbeatResponse{ReadId(8), false}, "heartbeat answer read 8"},
      {snapshot, "snapshot 50^4 at 1+512 bytes 3"},
      {wants, "snapshot 50^4 wants 2+0"},
      {SnapshotResponse{Index(50), Term(4), {}, true, false}, "snapshot 50^4 done"},
      {SnapshotResponse{Index(50), Term(4), {}, false, true}, "snapshot 50^4 refused"},
      {TimeoutNow{}, "timeout now"},
      {Refusal{Refusal::Reason::kWentBack}, "refusal: went back"},
  };
  std::set<size_t> kinds;
  for (const auto& c : cases) {
    EXPECT_EQ(Describe(Message{.cluster = {},
                               .from = NodeId(1),
                               .from_incarnation = {},
                               .to = NodeId(2),
                               .term = Term(3),
                               .body = c.body}),
              c.line);
    kinds.insert(c.body.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<MessageBody>);
}

TEST(Options, DefaultsAreValid) { EXPECT_EQ(Options().Problem(), ""); }

TEST(Options, ProblemNamesFieldValueAndRule) {
  struct {
    void (*change)(Options&);
    const char* problem;
  } const cases[] = {
      {[](Options& o) { o.heartbeat = 0ms; }, "heartbeat is 0 ms; it must be above 0"},
      {[](Options& o) { o.heartbeat = -1ms; }, "heartbeat is -1 ms; it must be above 0"},
      {[](Options& o) { o.election_min = 199ms; },
       "election_min is 199 ms and heartbeat is 50 ms; election_min must be at least 4 * "
       "heartbeat"},
      {[](Options& o) { o.election_max = 300ms; },
       "election_max is 300 ms and election_min is 300 ms; election_max must be above "
       "election_min"},
      {[](Options& o) { o.election_max = 11min; },
       "election_max is 660000 ms; it must be at most 600000 ms"},
      {[](Options& o) { o.max_append_entries = 0; }, "max_append_entries is 0; it must be above 0"},
      {[](Options& o) { o.max_append_bytes = 0; }, "max_append_bytes is 0; it must be above 0"},
      {[](Options& o) { o.max_apply_bytes = 0; }, "max_apply_bytes is 0; it must be above 0"},
      {[](Options& o) { o.max_pending_reads = 0; }, "max_pending_reads is 0; it must be above 0"},
      {[](Options& o) { o.max_uncommitted_bytes = 0; },
       "max_uncommitted_bytes is 0; it must be above 0"},
      {[](Options& o) { o.max_uncommitted_entries = 3; },
       "max_uncommitted_entries is 3; it must be at least 4"},
      {[](Options& o) { o.window_entries = 1023; },
       "window_entries is 1023 and max_append_entries is 1024; window_entries must be at least "
       "max_append_entries"},
      {[](Options& o) { o.window_bytes = 5; },
       "window_bytes is 5 and max_append_bytes is 1048576; window_bytes must be at least "
       "max_append_bytes"},
  };
  for (const auto& c : cases) {
    Options options;
    c.change(options);
    EXPECT_EQ(options.Problem(), c.problem);
  }
}

}  // namespace
}  // namespace dqueue::raft
