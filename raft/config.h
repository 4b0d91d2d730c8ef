// Cluster membership and quorums. A configuration takes effect when its entry is appended (R6). The
// types represent joint configurations (Raft thesis 4.3) and learners (4.2.1); no operation creates
// them yet.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "raft/types.h"

namespace dqueue::raft {

struct Member {
  NodeId id;
  std::string name;  // value of --id
  std::string
      address;  // host:port of the member's gRPC listener, from the cluster's first configuration
  // 0 until the first leader binds it. From then on, messages with another incarnation are dropped
  // (R12).
  Incarnation incarnation;
  friend bool operator==(const Member&, const Member&) = default;
};

struct Configuration {
  // Each set is sorted by id, without duplicates. A learner is in neither set of voters.
  std::vector<Member> voters;
  std::vector<Member> outgoing;  // not empty: joint; a decision needs a majority of both sets
  std::vector<Member> learners;

  const Member* Find(NodeId id) const;  // nullptr if not a member
  bool IsVoter(NodeId id) const;
  bool IsMember(NodeId id) const { return Find(id) != nullptr; }
  // True if the incarnation of any member is bound: a leader has been elected.
  bool AnyBound() const;
  // True if messages of this incarnation of the member count in quorums: it is the one bound here,
  // or no incarnation is bound yet.
  bool CountsIncarnation(NodeId id, Incarnation incarnation) const;
  // All members, sorted by id, without duplicates.
  std::vector<NodeId> MemberIds() const;
  // True if `yes` holds for a majority of the voters (of both sets when joint). False if there are
  // no voters.
  bool HasQuorum(const std::function<bool(NodeId)>& yes) const;
  // The greatest index that a quorum has reached; `match` gives each voter's index.
  Index QuorumIndex(const std::function<Index(NodeId)>& match) const;
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

// Versioned, length-prefixed binary. Decode returns nullopt unless the bytes are a valid encoding:
// no trailing bytes, ids rising and not 0, at least one voter.
std::string EncodeConfiguration(const Configuration& config);
std::optional<Configuration> DecodeConfiguration(std::string_view bytes);

// A member's id: the 64-bit FNV-1a hash of its name with a final mix. Never 0. Part of the format
// on disk.
NodeId NodeIdOf(std::string_view name);

}  // namespace dqueue::raft
