#include "raft/testing/trace_lines.h"

#include <optional>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace dqueue::raft::test {
namespace {

std::string Place(Index index, Term term) { return absl::StrCat(index.value(), "/", term.value()); }

// Empty if the incarnations of all members are bound, which is the normal case.
std::string DescribeBound(const std::string& payload) {
  const std::optional<Configuration> config = DecodeConfiguration(payload);
  if (!config) return " malformed";
  std::vector<std::string> bound;
  for (const Member& member : config->voters) {
    if (member.incarnation != Incarnation()) bound.push_back(NodeName(member.id));
  }
  if (bound.size() == config->voters.size()) return "";
  return absl::StrCat(" bound=", bound.empty() ? "none" : absl::StrJoin(bound, "+"));
}

std::string DescribeEntry(const Entry& entry) {
  std::string place = Place(entry.index, entry.term);
  switch (entry.kind) {
    case EntryKind::kNoop:
      return place + " noop";
    case EntryKind::kConfig:
      return absl::StrCat(place, " config", DescribeBound(*entry.payload));
    case EntryKind::kCommand:
      // Entries that a script began with have no content of interest.
      if (*entry.payload == absl::StrCat(entry.index.value(), "^", entry.term.value()))
        return place;
      return absl::StrCat(place, " \"", *entry.payload, "\"");
  }
  return place + " ?";
}

std::string DescribeEntries(const std::vector<Entry>& entries) {
  return absl::StrCat("[",
                      absl::StrJoin(entries, ", ",
                                    [](std::string* out, const Entry& entry) {
                                      out->append(DescribeEntry(entry));
                                    }),
                      "]");
}

std::string DescribeChunk(absl::string_view data) {
  absl::ConsumeSuffix(&data, "\n");
  const std::vector<absl::string_view> commands =
      data.empty() ? std::vector<absl::string_view>() : absl::StrSplit(data, '\n');
  return absl::StrCat("[", absl::StrJoin(commands, ", "), "]");
}

// Of a response.
template <class M>
std::string Low(const M& m) {
  return absl::StrCat(m.low_space ? " low-space" : "", m.low_memory ? " low-memory" : "");
}

std::string WithRead(ReadId id) { return id == ReadId() ? "" : absl::StrCat(" read=", id.value()); }

struct BodyText {
  std::string operator()(const PreVoteRequest& m) const {
    return absl::StrCat(" next=", m.next_term.value(), " last=", Place(m.last_index, m.last_term));
  }
  std::string operator()(const PreVoteResponse& m) const {
    return absl::StrCat(" next=", m.next_term.value(), m.granted ? " granted" : " refused");
  }
  std::string operator()(const VoteRequest& m) const {
    return absl::StrCat(" last=", Place(m.last_index, m.last_term), m.transfer ? " transfer" : "");
  }
  std::string operator()(const VoteResponse& m) const {
    return m.granted ? " granted" : " refused";
  }
  std::string operator()(const AppendRequest& m) const {
    return absl::StrCat(" prev=", Place(m.prev_index, m.prev_term),
                        " entries=", DescribeEntries(m.entries), " commit=", m.commit.value(),
                        WithRead(m.read_id));
  }
  std::string operator()(const AppendResponse& m) const {
    if (m.success) return absl::StrCat(" match=", m.match.value(), Low(m));
    return absl::StrCat(" refused prev=", m.rejected_prev.value(),
                        " hint=", Place(m.hint_index, m.hint_term), Low(m));
  }
  std::string operator()(const HeartbeatRequest& m) const {
    return absl::StrCat(" commit=", m.commit.value(), WithRead(m.read_id));
  }
  std::string operator()(const HeartbeatResponse& m) const {
    return absl::StrCat(WithRead(m.read_id), Low(m));
  }
  std::string operator()(const SnapshotRequest& m) const {
    return absl::StrCat(" last=", Place(m.meta.index, m.meta.term), " offset=", m.cursor.offset,
                        " data=", DescribeChunk(m.data));
  }
  std::string operator()(const SnapshotResponse& m) const {
    return absl::StrCat(" last=", Place(m.index, m.snapshot_term),
                        m.done      ? " done"
                        : m.refused ? " refused"
                                    : absl::StrCat(" wants=", m.next.offset));
  }
  std::string operator()(const TimeoutNow&) const { return ""; }
  std::string operator()(const Refusal& m) const { return absl::StrCat(" ", ReasonName(m.reason)); }
};

// "n2 writes #2 term=2 vote=n1 commit=1, then Vote to n1".
std::string WriteLine(const std::string& name, const Output& output) {
  std::string line =
      absl::StrCat(name, output.HasWrites() ? " writes #" : " waits for #", output.token.value());
  if (const auto& hard_state = output.hard_state) {
    absl::StrAppend(&line, " term=", hard_state->term.value(), " vote=", NodeName(hard_state->vote),
                    " commit=", hard_state->commit.value());
  }
  if (output.install) {
    absl::StrAppend(&line, " snapshot=", Place(output.install->index, output.install->term));
  }
  if (!output.append.empty()) {
    absl::StrAppend(&line, " entries=", DescribeEntries(output.append));
  }
  for (size_t i = 0; i < output.send_after_persist.size(); ++i) {
    const Message& message = output.send_after_persist[i];
    absl::StrAppend(&line, i == 0 ? ", then " : ", ", TraceKind(message), " to ",
                    NodeName(message.to));
  }
  return line;
}

const char* ReasonText(ProposalOutcome::Reason reason) {
  switch (reason) {
    case ProposalOutcome::Reason::kNone:
      return "";
    case ProposalOutcome::Reason::kNotLeader:
      return ": not leader";
    case ProposalOutcome::Reason::kTransferring:
      return ": transferring";
    case ProposalOutcome::Reason::kOverloaded:
      return ": overloaded";
  }
  return "?";
}

std::string OutcomeText(const ProposalOutcome& outcome) {
  switch (outcome.kind) {
    case ProposalOutcome::Kind::kCommitted:
      return absl::StrCat("committed at ", outcome.index.value());
    case ProposalOutcome::Kind::kNotAppended:
      return absl::StrCat("not appended", ReasonText(outcome.reason));
    case ProposalOutcome::Kind::kUnknown:
      return "unknown";
  }
  return "?";
}

}  // namespace

std::string NodeName(NodeId id) { return id == NodeId() ? "none" : absl::StrCat("n", id.value()); }

const std::vector<std::string>& TraceKinds() {
  static const std::vector<std::string> kinds = {
      "PreVote",  "PreVoteResponse",  "Vote",       "VoteResponse",
      "Append",   "AppendResponse",   "Heartbeat",  "HeartbeatResponse",
      "Snapshot", "SnapshotResponse", "TimeoutNow", "Refusal"};
  return kinds;
}

const std::string& TraceKind(const Message& message) {
  static_assert(std::variant_size_v<MessageBody> == 12);
  return TraceKinds()[message.body.index()];
}

std::string MessageLine(const Message& message) {
  return absl::StrCat(NodeName(message.from), " -> ", NodeName(message.to), " ", TraceKind(message),
                      " term=", message.term.value(), std::visit(BodyText(), message.body));
}

std::string StatusLine(NodeId node, const Status& status) {
  std::string line =
      absl::StrCat(NodeName(node), " ", RoleName(status.role), " term=", status.term.value());
  if (status.role == Role::kFollower && status.leader != NodeId()) {
    absl::StrAppend(&line, " leader=", NodeName(status.leader));
  }
  if (status.serving) line += " serving";
  return line;
}

std::vector<std::string> OutputLines(NodeId node, const Output& output,
                                     const std::function<std::string(uint64_t id)>& label) {
  const std::string name = NodeName(node);
  std::vector<std::string> lines;
  if (output.status) lines.push_back(StatusLine(node, *output.status));
  if (output.token != Token()) lines.push_back(WriteLine(name, output));
  if (!output.apply.empty()) {
    lines.push_back(absl::StrCat(name, " applies ", DescribeEntries(output.apply)));
  }
  for (const ProposalOutcome& outcome : output.proposals) {
    lines.push_back(absl::StrCat(name, " proposal ", label(outcome.id), " ", OutcomeText(outcome)));
  }
  for (const ReadOutcome& read : output.reads) {
    lines.push_back(absl::StrCat(
        name, " ", label(read.id),
        read.confirmed ? absl::StrCat(" confirmed at ", read.index.value()) : " refused"));
  }
  return lines;
}

std::string StateLine(const TestNode& node) {
  const FakeDisk& disk = node.disk();
  std::string line = NodeName(node.id());
  uint64_t first = disk.compacted_index().value() + 1;
  uint64_t last = disk.last_index().value();
  if (node.up()) {
    const View view = node.view();
    first = view.first_index.value();
    last = view.last_index.value();
    absl::StrAppend(&line, " ", RoleName(view.status.role), " term=", view.status.term.value(),
                    " vote=", NodeName(disk.hard_state().vote), " commit=", view.commit.value(),
                    " applied=", view.applied.value());
    if (view.durable_index != view.last_index) {
      absl::StrAppend(&line, " durable=", view.durable_index.value());
    }
  } else {
    absl::StrAppend(&line, " down term=", disk.hard_state().term.value(),
                    " vote=", NodeName(disk.hard_state().vote),
                    " commit=", disk.hard_state().commit.value());
  }
  absl::StrAppend(&line, " log=");
  if (first > 1) absl::StrAppend(&line, "(..", first - 1, ")", first <= last ? " " : "");
  for (uint64_t i = first; i <= last; ++i) {
    const Term term = node.up() ? node.raft().TermAt(Index(i)) : disk.Find(Index(i))->term;
    absl::StrAppend(&line, i > first ? " " : "", term.value());
  }
  return line;
}

}  // namespace dqueue::raft::test
