#include "sim/checkers/election_checker.h"

#include <algorithm>
#include <string>
#include <variant>

#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {
std::string T(raft::Term term) { return "term " + std::to_string(term.value()); }
}  // namespace

void ElectionChecker::OnBoot(const SimNode& node) {
  const auto count = static_cast<size_t>(world_->size() + 1);
  last_status_.resize(count);
  highest_sent_.resize(count);
  const auto number = static_cast<size_t>(node.number());
  const raft::Status status = node.node().raft().status();
  last_status_[number] = status;
  if (node.wiped()) highest_sent_[number] = raft::Term();
  if (status.term < highest_sent_[number]) {
    Violate("R6 terms", node.name() + " starts in " + T(status.term) +
                            " after it had sent messages in " + T(highest_sent_[number]));
  }
}

void ElectionChecker::AfterStep(const SimNode& node, const raft::Raft& raft) {
  const raft::Status status = raft.status();
  raft::Status& last = last_status_[static_cast<size_t>(node.number())];
  if (status == last) return;
  if (status.term < last.term) {
    Violate("R6 terms", node.name() + " goes back from " + T(last.term) + " to " + T(status.term));
  }
  const bool new_leader = status.role == raft::Role::kLeader &&
                          (last.role != raft::Role::kLeader || last.term != status.term);
  if (status.role != last.role || status.term != last.term || status.leader != last.leader) {
    world_->Note({.kind = TraceKind::kRole,
                  .node = static_cast<uint8_t>(node.number()),
                  .sub = static_cast<uint8_t>(status.role),
                  .a = status.term.value(),
                  .b = static_cast<uint64_t>(world_->NumberOf(status.leader))});
  }
  last = status;
  if (status.term > newest_term_) newest_term_ = status.term;
  if (new_leader) CheckNewLeader(node, raft, status.term);
  if (status.leader != raft::NodeId()) {
    const auto it = leaders_.find(status.term);
    if (it == leaders_.end() || world_->node(it->second.node).id() != status.leader) {
      Violate("R1 election safety",
              node.name() + " believes in a leader of " + T(status.term) + " that was not elected");
    }
  }
}

void ElectionChecker::CheckNewLeader(const SimNode& node, const raft::Raft& raft, raft::Term term) {
  const auto [it, inserted] = leaders_.try_emplace(term, Leader{node.number(), node.boots()});
  if (!inserted) {
    Violate("R1 election safety", node.name() + " is leader of " + T(term) + ", and so was n" +
                                      std::to_string(it->second.node));
  }
  const raft::Configuration& config = raft.config();
  const bool chosen = config.HasQuorum([&](raft::NodeId id) {
    if (id == node.id()) return true;
    const raft::Incarnation bound = config.Find(id)->incarnation;
    for (auto vote = votes_.lower_bound({term, {id, raft::Incarnation()}});
         vote != votes_.end() && vote->first.first == term && vote->first.second.first == id;
         ++vote) {
      const bool may = bound == raft::Incarnation() || bound == vote->first.second.second;
      if (may && vote->second == node.id()) return true;
    }
    return false;
  });
  if (!chosen) {
    Violate("R1 election safety",
            node.name() + " is leader of " + T(term) + " without votes of a quorum");
  }
  if (const raft::Member* self = config.Find(node.id());
      self == nullptr ||
      (self->incarnation != raft::Incarnation() && self->incarnation != node.incarnation())) {
    Violate("R12 incarnation", node.name() + " leads " + T(term) + " with a wiped disk");
  }
  const Ledger& ledger = world_->ledger();
  const raft::View view = raft.GetView();
  // A leader may learn of its election only after a leader of a later term has committed more.
  const raft::Index committed = world_->commits().CommittedBefore(term);
  if (view.last_index < committed) {
    Violate("R4 leader completeness", node.name() + " leads " + T(term) + " with a log up to " +
                                          std::to_string(view.last_index.value()) + ", but " +
                                          std::to_string(committed.value()) +
                                          " was committed before");
  }
  // By the log matching property the last entries suffice. Ledger checks the others when applied.
  constexpr uint64_t kLookBack = 64;
  const uint64_t last = std::min(committed, ledger.last()).value();
  for (uint64_t i = last > kLookBack ? last - kLookBack : 1; i <= last; ++i) {
    const raft::Index index(i);
    if (index < view.first_index) continue;
    if (raft.TermAt(index) != ledger.TermAt(index)) {
      Violate("R4 leader completeness", node.name() + " leads " + T(term) +
                                            " with another entry at " + std::to_string(i) +
                                            " than the one that is committed");
    }
  }
}

void ElectionChecker::BeforeSend(const SimNode& node, const raft::Message& message) {
  // A heartbeat response may be sent before its term is durable. Forgetting that term is harmless.
  const bool promises = std::holds_alternative<raft::VoteRequest>(message.body) ||
                        std::holds_alternative<raft::VoteResponse>(message.body) ||
                        std::holds_alternative<raft::AppendRequest>(message.body) ||
                        std::holds_alternative<raft::AppendResponse>(message.body) ||
                        std::holds_alternative<raft::HeartbeatRequest>(message.body);
  raft::Term& highest = highest_sent_[static_cast<size_t>(node.number())];
  if (promises && message.term > highest) highest = message.term;
  if (message.from != node.id() || message.from_incarnation != node.incarnation()) {
    Violate("R12 incarnation", node.name() + " sends a message with another id or incarnation");
  }
  raft::NodeId choice;
  if (const auto* answer = std::get_if<raft::VoteResponse>(&message.body)) {
    if (!answer->granted) return;
    choice = message.to;
  } else if (std::holds_alternative<raft::VoteRequest>(message.body)) {
    choice = node.id();  // a candidate votes for itself
  } else {
    return;
  }
  const auto [it, inserted] =
      votes_.try_emplace({message.term, {node.id(), node.incarnation()}}, choice);
  if (!inserted && it->second != choice) {
    Violate("R6 one vote a term", node.name() + " votes for n" +
                                      std::to_string(world_->NumberOf(choice)) + " in " +
                                      T(message.term) + ", but had voted for n" +
                                      std::to_string(world_->NumberOf(it->second)));
  }
}

int ElectionChecker::LeaderOf(raft::Term term) const {
  const auto it = leaders_.find(term);
  return it == leaders_.end() ? 0 : it->second.node;
}

}  // namespace dqueue::sim
