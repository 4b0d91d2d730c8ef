#include "node/standing.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "raft/config.h"

namespace dqueue::node {
namespace {

constexpr size_t kSendersMax = 64;
constexpr size_t kCausesMax = 256;

std::string Hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

std::string NodeText(raft::NodeId id, const std::string& name) {
  return name.empty() ? "the node with the id " + Hex(id.value()) : "member " + name;
}

}  // namespace

std::string ClusterText(raft::ClusterId cluster) { return Hex(cluster.hi) + Hex(cluster.lo); }

Standing::Standing(raft::ClusterId own, Duration election_max)
    : own_(own), holds_(std::max(kRefusalHolds, 3 * election_max)) {}

void Standing::OnRefused(Time now, const raft::RefusedBy& refused, const std::string& name) {
  if (heard_.size() >= kSendersMax && !heard_.contains(refused.from)) heard_.clear();
  heard_[refused.from] = Heard{now, refused, name, ""};
}

void Standing::OnConnectionRefused(Time now, raft::NodeId from, const std::string& name,
                                   const std::string& why) {
  if (heard_.size() >= kSendersMax && !heard_.contains(from)) heard_.clear();
  heard_[from] = Heard{now, {from, {}, {}}, name, why};
}

std::string Standing::Problem(Time now, const raft::Status& status) const {
  if (status.role == raft::Role::kLeader) return "";
  const Heard* newest = nullptr;
  for (const auto& [from, heard] : heard_) {
    if (now - heard.at > holds_) continue;
    if (status.leader != raft::NodeId() && status.leader != from) continue;
    if (newest == nullptr || heard.at > newest->at) newest = &heard;
  }
  return newest == nullptr ? "" : Text(*newest);
}

std::string Standing::Text(const Heard& heard) const {
  using Reason = raft::Refusal::Reason;
  const std::string who = NodeText(heard.refused.from, heard.name);
  const std::string out = "this node is not part of the cluster: " + who;
  if (!heard.connection.empty()) {
    return out + " refuses its connection: " + heard.connection;
  }
  switch (heard.refused.refusal.reason) {
    case Reason::kOtherCluster:
      return out + " belongs to the cluster " + ClusterText(heard.refused.cluster) +
             ", and the data directory of this node to the cluster " + ClusterText(own_) +
             ", because --peers was different when it was made (also a different spelling of an "
             "address counts); correct --peers, and use an empty --data-dir if this one was made "
             "by mistake";
    case Reason::kOtherIncarnation:
      return out +
             " knows this node with another data directory, so this one has no vote; start "
             "it with its former --data-dir if that was never copied or changed since, or "
             "leave it stopped and run the other members";
    case Reason::kNotMember:
      return out + " does not have it in its configuration; correct --peers or --id";
    case Reason::kWentBack:
      break;  // reported as raft::WentBack
  }
  return out + " refuses its messages";
}

bool Standing::MayLog(Time now, const std::string& cause) {
  const auto found = logged_.find(cause);
  if (found != logged_.end() && now - found->second < kRepeatLine) return false;
  if (logged_.size() >= kCausesMax) logged_.clear();
  logged_[cause] = now;
  return true;
}

std::string WentBackText(const raft::WentBack& lost, const std::string& witness,
                         const std::string& data_dir) {
  std::string out = "data directory " + data_dir + " is older than what this node has promised: ";
  if (lost.acknowledged != raft::Index()) {
    out += "it acknowledged entries up to " + std::to_string(lost.acknowledged.value()) +
           " to leader " + witness + ", and they are gone";
  } else {
    out += "member " + witness + " remembers start " + std::to_string(lost.known.boot.number) +
           " in term " + std::to_string(lost.known.term.value()) +
           " of this node, and this directory does not";
  }
  return out +
         "; it was replaced by a copy or a backup, or the disk lost writes; leave this node "
         "stopped and run the other members";
}

std::string RefusalText(const raft::Refusal& refusal, raft::NodeId to, const std::string& name) {
  using Reason = raft::Refusal::Reason;
  const std::string out = "messages of " + NodeText(to, name) + " are refused: ";
  switch (refusal.reason) {
    case Reason::kOtherCluster:
      return out +
             "its data directory belongs to another cluster (its --peers was different when "
             "it was made)";
    case Reason::kOtherIncarnation:
      return out + "its data directory is not the one that this cluster knows (wiped or replaced)";
    case Reason::kNotMember:
      return out + "it is not a member of this cluster";
    case Reason::kWentBack:
      return out + "its data directory went back in time (a copy or a backup)";
  }
  return out + raft::ReasonName(refusal.reason);
}

}  // namespace dqueue::node
