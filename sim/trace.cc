#include "sim/trace.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <variant>

#include "queue/broker/broker.h"
#include "raft/raft.h"

namespace dqueue::sim {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::string N(uint64_t value) { return std::to_string(value); }
std::string Node(uint64_t number) { return "n" + std::to_string(number); }

constexpr const char* kCallNames[] = {
    "enqueue", "lease",   "complete",   "fail",      "extend",     "release", "get",   "list",
    "cancel",  "retry",   "stats",      "pause",     "resume",     "delete",  "purge", "redrive",
    "group",   "workers", "create key", "list keys", "revoke key", "use keys"};
static_assert(std::size(kCallNames) == std::variant_size_v<queue::AnyCall>);

// Packs the fields of a message into an event. MessageText() unpacks them.
TraceEvent Pack(const raft::Message& message) {
  TraceEvent e;
  e.kind = TraceKind::kDeliver;
  e.sub = static_cast<uint8_t>(message.body.index());
  std::visit(
      Overloaded{
          [&](const raft::PreVoteRequest& m) {
            e.b = m.next_term.value(), e.c = m.last_index.value(), e.d = m.last_term.value();
          },
          [&](const raft::PreVoteResponse& m) { e.b = m.next_term.value(), e.c = m.granted; },
          [&](const raft::VoteRequest& m) {
            e.b = m.last_index.value(), e.c = m.last_term.value(), e.d = m.transfer;
          },
          [&](const raft::VoteResponse& m) { e.b = m.granted; },
          [&](const raft::AppendRequest& m) {
            e.b = m.prev_index.value() << 16 | std::min<size_t>(m.entries.size(), 0xffff);
            e.c = m.prev_term.value(), e.d = m.commit.value();
          },
          [&](const raft::AppendResponse& m) {
            e.b = m.success;
            e.c = m.success ? m.match.value() : m.rejected_prev.value();
            e.d = m.hint_index.value() << 16 | (m.hint_term.value() & 0xffff);
          },
          [&](const raft::HeartbeatRequest& m) { e.b = m.commit.value(), e.c = m.read_id.value(); },
          [&](const raft::HeartbeatResponse& m) { e.b = m.read_id.value(), e.c = m.low_space; },
          [&](const raft::SnapshotRequest& m) {
            e.b = m.meta.index.value(), e.c = m.cursor.file;
            e.d = m.cursor.offset << 24 | std::min<size_t>(m.data.size(), 0xffffff);
          },
          [&](const raft::SnapshotResponse& m) {
            e.b = m.index.value(), e.c = m.next.file << 2 | m.done << 1 | m.refused;
            e.d = m.next.offset;
          },
          [&](const raft::TimeoutNow&) {},
          [&](const raft::Refusal& m) { e.b = static_cast<uint64_t>(m.reason); },
      },
      message.body);
  e.a = message.term.value();
  return e;
}

std::string MessageText(const TraceEvent& e) {
  switch (e.sub) {
    case 0:
      return "pre-vote? for term " + N(e.b) + " last " + N(e.c) + "^" + N(e.d);
    case 1:
      return "pre-vote for term " + N(e.b) + (e.c ? " yes" : " no");
    case 2:
      return "vote? last " + N(e.b) + "^" + N(e.c) + (e.d ? " (transfer)" : "");
    case 3:
      return std::string("vote ") + (e.b ? "yes" : "no");
    case 4: {
      const uint64_t prev = e.b >> 16;
      const uint64_t count = e.b & 0xffff;
      return "append " + (count ? N(prev + 1) + ".." + N(prev + count) : std::string("nothing")) +
             " prev " + N(prev) + "^" + N(e.c) + " commit " + N(e.d);
    }
    case 5:
      return e.b ? "appended, match " + N(e.c)
                 : "append refused, prev " + N(e.c) + " hint " + N(e.d >> 16) + "^" +
                       N(e.d & 0xffff);
    case 6:
      return "heartbeat commit " + N(e.b) + " round " + N(e.c);
    case 7:
      return "heartbeat answer round " + N(e.b) + (e.c ? " low space" : "");
    case 8:
      return "snapshot " + N(e.b) + " file " + N(e.c) + " offset " + N(e.d >> 24) + " +" +
             N(e.d & 0xffffff);
    case 9:
      return "snapshot " + N(e.b) + " wants file " + N(e.c >> 2) + " offset " + N(e.d) +
             (e.c & 2 ? " done" : "") + (e.c & 1 ? " refused" : "");
    case 11:
      return std::string("refusal: ") + raft::ReasonName(static_cast<raft::Refusal::Reason>(e.b));
    default:
      return "election now";
  }
}

std::string JobText(uint64_t number) {
  return number == UINT64_MAX ? std::string() : " j" + N(number);
}

std::string Text(const TraceEvent& e) {
  switch (e.kind) {
    case TraceKind::kDeliver:
      return Node(e.node) + " > " + MessageText(e) + " [term " + N(e.a) + "] from " + Node(e.peer);
    case TraceKind::kLost:
      return Node(e.node) + " x " + Node(e.peer) + ": lost";
    case TraceKind::kRole:
      return Node(e.node) + " is " + raft::RoleName(static_cast<raft::Role>(e.sub)) + ", term " +
             N(e.a) + (e.b ? ", leader " + Node(e.b) : "");
    case TraceKind::kCommit:
      return Node(e.node) + " applies " + N(e.a) + "^" + N(e.b) + " first, " + N(e.c) + " commands";
    case TraceKind::kBoot:
      return Node(e.node) + " starts: term " + N(e.a) + ", last " + N(e.b) + ", snapshot " + N(e.c);
    case TraceKind::kRefused:
      return Node(e.node) + " refuses to start: " + e.text;
    case TraceKind::kDown:
      return Node(e.node) + " down: " + e.text;
    case TraceKind::kPaused:
      return Node(e.node) + " pauses for " + N(e.a / 1000) + " ms";
    case TraceKind::kDisk:
      return Node(e.node) + " disk: " + e.text + (e.a ? " " + N(e.a) : "");
    case TraceKind::kClock:
      return Node(e.node) + " wall clock " + std::to_string(static_cast<int64_t>(e.a)) + " ms";
    case TraceKind::kLink:
      return Node(e.node) + " -> " + Node(e.peer) + (e.sub ? " healed" : " cut");
    case TraceKind::kCall:
      return Node(e.node) + " ? " + kCallNames[e.sub] + " #" + N(e.a) + " of c" + N(e.b) +
             JobText(e.c) +
             (e.d ? " token " + N(e.d >> 32) + "." + N(e.d & 0xffffffff) : std::string());
    case TraceKind::kAnswer:
      return Node(e.node) + " ! " + kCallNames[e.sub] + " #" + N(e.a) + " of c" + N(e.b) + ": " +
             N(e.c) + " ok, " + N(e.d) + " not" + (*e.text ? ", " + std::string(e.text) : "");
    case TraceKind::kGrant:
      return Node(e.node) + " grants" + JobText(e.a) + " token " + N(e.b) + "." + N(e.c);
    case TraceKind::kPhase:
      return std::string("== ") + e.text;
    case TraceKind::kNote:
      return (e.node ? Node(e.node) + " " : "") + e.text + (e.a ? " " + N(e.a) : "");
  }
  return "?";
}

uint64_t Mix(uint64_t h, uint64_t x) {
  h = (h ^ x) * 0x9fb21c651e98df25ULL;
  return h ^ (h >> 29);
}

}  // namespace

std::string Describe(const TraceEvent& event) {
  char time[32];
  const long long us = event.at.time_since_epoch().count();
  std::snprintf(time, sizeof(time), "[%3lld.%06lld] ", us / 1000000, us % 1000000);
  return time + Text(event);
}

Trace::Trace(bool print) : print_(print) { ring_.reserve(kKept); }

void Trace::Add(const TraceEvent& event) {
  if (ring_.size() < kKept) {
    ring_.push_back(event);
  } else {
    ring_[added_ % kKept] = event;
  }
  ++added_;
  uint64_t h = Mix(hash_, static_cast<uint64_t>(event.at.time_since_epoch().count()));
  h = Mix(h,
          static_cast<uint64_t>(event.kind) << 24 | event.node << 16 | event.peer << 8 | event.sub);
  h = Mix(Mix(Mix(Mix(h, event.a), event.b), event.c), event.d);
  hash_ = h;
  if (print_) std::printf("%s\n", Describe(event).c_str());
}

void Trace::AddMessage(Time at, int from, int to, const raft::Message& message) {
  TraceEvent event = Pack(message);
  event.at = at;
  event.node = static_cast<uint8_t>(to);
  event.peer = static_cast<uint8_t>(from);
  Add(event);
}

std::string Trace::Tail(size_t count) const {
  std::string out;
  const uint64_t kept = std::min<uint64_t>({count, added_, kKept});
  for (uint64_t i = added_ - kept; i < added_; ++i) out += Describe(ring_[i % kKept]) + "\n";
  return out;
}

}  // namespace dqueue::sim
