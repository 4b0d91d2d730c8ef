// What a node does when members refuse its messages, when it refuses theirs, and when its disk went
// back in time.
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "node/node_impl.h"

namespace dqueue::node {

std::string NodeImpl::MemberName(raft::NodeId id) const {
  const raft::Member* member = raft_->config().Find(id);
  return member == nullptr ? "" : member->name;
}

void NodeImpl::HandleRefusals(Time now, const std::vector<raft::RefusedBy>& refusals) {
  if (refusals.empty()) return;
  for (const raft::RefusedBy& refused : refusals) {
    standing_.OnRefused(now, refused, MemberName(refused.from));
  }
  UpdateStanding(now);
}

void NodeImpl::PeerRefused(raft::NodeId peer, std::string why) {
  Post([this, peer, why = std::move(why)](Time now) {
    standing_.OnConnectionRefused(now, peer, MemberName(peer), why);
    UpdateStanding(now);
  });
}

void NodeImpl::UpdateStanding(Time now) {
  std::string problem = standing_.Problem(now, status_);
  if (!problem.empty() && standing_.MayLog(now, problem)) LogWarning(problem);
  if (problem.empty() && !excluded_.empty()) LogLine("the other members accept this node again");
  excluded_ = std::move(problem);
  MaybePublishStatus();
}

void NodeImpl::NoteRefusalSent(const raft::Message& message) {
  const auto* refusal = std::get_if<raft::Refusal>(&message.body);
  if (refusal == nullptr) return;
  const std::string text = RefusalText(*refusal, message.to, MemberName(message.to));
  if (standing_.MayLog(now_, text)) LogWarning(text);
}

void NodeImpl::NoteChunkRefused(const raft::Message& message) {
  const auto* response = std::get_if<raft::SnapshotResponse>(&message.body);
  if (response == nullptr || !response->refused) return;
  ++metrics_.snapshots_refused;
  const std::string text = "member " + MemberName(message.from) +
                           " refused a chunk of the snapshot at index " +
                           std::to_string(response->index.value()) +
                           "; its files are checked and the transfer starts again";
  if (standing_.MayLog(now_, text)) LogWarning(text);
}

void NodeImpl::HandleWentBack(const raft::WentBack& lost) {
  const std::string text = WentBackText(lost, MemberName(lost.witness), options_.data_dir);
  // Reported as fatal when the mark is durable, so that the next start refuses at once.
  actor_->MarkWentBack(text);
}

}  // namespace dqueue::node
