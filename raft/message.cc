#include "raft/message.h"

#include <string>
#include <variant>

#include "absl/strings/str_cat.h"

namespace dqueue::raft {
namespace {

// "2^1": index 2, term 1.
std::string IdText(Index index, Term term) {
  return absl::StrCat(index.value(), "^", term.value());
}

std::string IdText(SnapshotCursor cursor) { return absl::StrCat(cursor.file, "+", cursor.offset); }

std::string LowText(bool space, bool memory) {
  return absl::StrCat(space ? " low on space" : "", memory ? " low on memory" : "");
}

std::string WithRead(std::string text, ReadId id) {
  if (id != ReadId()) absl::StrAppend(&text, " read ", id.value());
  return text;
}

struct Describer {
  std::string operator()(const PreVoteRequest& m) const {
    return absl::StrCat("pre-vote? for term ", m.next_term.value(), " last ",
                        IdText(m.last_index, m.last_term));
  }
  std::string operator()(const PreVoteResponse& m) const {
    return absl::StrCat("pre-vote ", m.granted ? "granted" : "refused", " for term ",
                        m.next_term.value());
  }
  std::string operator()(const VoteRequest& m) const {
    return absl::StrCat("vote? last ", IdText(m.last_index, m.last_term),
                        m.transfer ? " by transfer" : "");
  }
  std::string operator()(const VoteResponse& m) const {
    return m.granted ? "vote granted" : "vote refused";
  }
  std::string operator()(const AppendRequest& m) const {
    std::string text = "append";
    if (m.entries.empty()) {
      text += " nothing";
    } else {
      absl::StrAppend(&text, " ", m.entries.front().index.value());
      if (m.entries.size() > 1) absl::StrAppend(&text, "..", m.entries.back().index.value());
    }
    absl::StrAppend(&text, " prev ", IdText(m.prev_index, m.prev_term), " commit ",
                    m.commit.value());
    return WithRead(std::move(text), m.read_id);
  }
  std::string operator()(const AppendResponse& m) const {
    const std::string low = LowText(m.low_space, m.low_memory);
    if (m.success) return absl::StrCat("appended to ", m.match.value(), low);
    return absl::StrCat("append refused at ", m.rejected_prev.value(), " hint ",
                        IdText(m.hint_index, m.hint_term), low);
  }
  std::string operator()(const HeartbeatRequest& m) const {
    return WithRead(absl::StrCat("heartbeat commit ", m.commit.value()), m.read_id);
  }
  std::string operator()(const HeartbeatResponse& m) const {
    return WithRead(absl::StrCat("heartbeat answer", LowText(m.low_space, m.low_memory)),
                    m.read_id);
  }
  std::string operator()(const SnapshotRequest& m) const {
    return absl::StrCat("snapshot ", IdText(m.meta.index, m.meta.term), " at ", IdText(m.cursor),
                        " bytes ", m.data.size());
  }
  std::string operator()(const SnapshotResponse& m) const {
    return absl::StrCat("snapshot ", IdText(m.index, m.snapshot_term),
                        m.done      ? " done"
                        : m.refused ? " refused"
                                    : absl::StrCat(" wants ", IdText(m.next)));
  }
  std::string operator()(const TimeoutNow&) const { return "timeout now"; }
  std::string operator()(const Refusal& m) const {
    return absl::StrCat("refusal: ", ReasonName(m.reason));
  }
};

}  // namespace

const char* ReasonName(Refusal::Reason reason) {
  switch (reason) {
    case Refusal::Reason::kOtherCluster:
      return "other cluster";
    case Refusal::Reason::kOtherIncarnation:
      return "other incarnation";
    case Refusal::Reason::kNotMember:
      return "not a member";
    case Refusal::Reason::kWentBack:
      return "went back";
  }
  return "?";
}

std::string Describe(const Message& message) { return std::visit(Describer(), message.body); }

}  // namespace dqueue::raft
