#include "sim/checkers/commit_checker.h"

#include <algorithm>
#include <string>
#include <variant>

#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {
std::string At(raft::Index index, raft::Term term) {
  return std::to_string(index.value()) + "^" + std::to_string(term.value());
}
}  // namespace

void CommitChecker::OnBoot(const SimNode& node) {
  nodes_.resize(static_cast<size_t>(world_->size() + 1));
  NodeState& state = nodes_[static_cast<size_t>(node.number())];
  const raft::View view = node.node().raft().GetView();
  if (state.incarnation != node.incarnation()) state = NodeState();  // its disk was wiped
  state.incarnation = node.incarnation();
  if (view.last_index < state.kept) {
    Violate("R11 recovery", node.name() + " comes back with a log up to " +
                                std::to_string(view.last_index.value()) + ", but " +
                                std::to_string(state.kept.value()) +
                                " was committed and on its disk");
  }
  if (view.status.term < state.promise.term) {
    Violate("R11 recovery",
            node.name() + " comes back in term " + std::to_string(view.status.term.value()) +
                ", but had answered in term " + std::to_string(state.promise.term.value()));
  }
  if (view.status.term == state.promise.term && view.last_index < state.promise.match) {
    Violate("R11 recovery", node.name() + " comes back with a log up to " +
                                std::to_string(view.last_index.value()) + ", but had promised " +
                                std::to_string(state.promise.match.value()));
  }
  state.commit = view.commit;
  state.applied = view.applied;
  state.term = view.status.term;
}

void CommitChecker::AfterStep(const SimNode& node, const raft::Raft& raft) {
  NodeState& state = nodes_[static_cast<size_t>(node.number())];
  const raft::View view = raft.GetView();
  if (view.commit < state.commit || view.applied < state.applied) {
    Violate("R6 commit", node.name() + " goes back: commit " +
                             std::to_string(state.commit.value()) + " -> " +
                             std::to_string(view.commit.value()) + ", applied " +
                             std::to_string(state.applied.value()) + " -> " +
                             std::to_string(view.applied.value()));
  }
  if (view.commit > state.commit) {
    const bool was_known = view.commit <= committed_;
    if (view.status.role == raft::Role::kLeader) {
      CheckLeaderCommit(node, raft, view);
    } else if (!was_known) {
      Violate("R4 commit", node.name() + " commits " + std::to_string(view.commit.value()) +
                               ", but leaders have committed only " +
                               std::to_string(committed_.value()));
    }
    for (raft::Index i = std::max(state.commit.Next(), view.first_index); i <= view.commit;
         i = i.Next()) {
      const raft::Term term = raft.TermAt(i);
      if (term == raft::Term()) continue;
      const auto [it, inserted] = committed_terms_.try_emplace(i, term);
      if (it->second != term) {
        Violate("R4 commit", node.name() + " commits " + At(i, term) + ", but " +
                                 At(i, it->second) + " was committed");
      }
    }
  }
  state.commit = view.commit;
  state.applied = view.applied;
  state.term = view.status.term;
  if (state.promise.term == state.term) {
    state.kept = std::max(state.kept, std::min(state.commit, state.promise.match));
  }
  state.kept = std::max(state.kept, std::min(state.commit, view.durable_index));
}

void CommitChecker::CheckLeaderCommit(const SimNode& node, const raft::Raft& raft,
                                      const raft::View& view) {
  const raft::Term term = view.status.term;
  if (raft.TermAt(view.commit) != term) {
    Violate("R5 commit", node.name() + " leads term " + std::to_string(term.value()) +
                             " and commits " + At(view.commit, raft.TermAt(view.commit)) +
                             " by counting (figure 8)");
  }
  const raft::Configuration& config = raft.config();
  const bool quorum = config.HasQuorum([&](raft::NodeId id) {
    if (id == node.id()) return view.durable_index >= view.commit;
    const raft::Incarnation bound = config.Find(id)->incarnation;
    for (auto it = matches_.lower_bound({term, {id, raft::Incarnation()}});
         it != matches_.end() && it->first.first == term && it->first.second.first == id; ++it) {
      const bool counts = bound == raft::Incarnation() || bound == it->first.second.second;
      if (counts && it->second >= view.commit) return true;
    }
    return false;
  });
  if (!quorum) {
    Violate("R7 commit", node.name() + " commits " + At(view.commit, term) +
                             ", which no quorum has on disk (its own disk: " +
                             std::to_string(view.durable_index.value()) + ")");
  }
  committed_ = std::max(committed_, view.commit);
  committed_in_[term] = std::max(committed_in_[term], view.commit);
  world_->durability().OnLeaderCommit(node, term, view.durable_index);
}

raft::Index CommitChecker::CommittedBefore(raft::Term term) const {
  raft::Index index;
  for (auto it = committed_in_.begin(); it != committed_in_.lower_bound(term); ++it) {
    index = std::max(index, it->second);
  }
  return index;
}

void CommitChecker::BeforeSend(const SimNode& node, const raft::Message& message) {
  const auto* answer = std::get_if<raft::AppendResponse>(&message.body);
  const auto* snapshot = std::get_if<raft::SnapshotResponse>(&message.body);
  raft::Index match;
  if (answer != nullptr && answer->success) match = answer->match;
  if (snapshot != nullptr && snapshot->done) match = snapshot->index;
  if (match == raft::Index()) return;
  raft::Index& known = matches_[{message.term, {node.id(), node.incarnation()}}];
  known = std::max(known, match);
  NodeState& state = nodes_[static_cast<size_t>(node.number())];
  if (message.term > state.promise.term) state.promise = {message.term, match};
  if (message.term == state.promise.term) {
    state.promise.match = std::max(state.promise.match, match);
  }
}

}  // namespace dqueue::sim
