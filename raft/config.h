// Who is in the cluster, and what a majority is. A configuration takes effect when its entry is
// appended (R6). Joint configurations (Raft thesis 4.3) and learners (4.2.1) are part of the type;
// operations that make them are not here yet.
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
  std::string name;     // as in --id
  std::string address;  // host:port of its gRPC listener, as the cluster was told
  // 0 until the first leader has bound it; afterwards messages with another incarnation have no
  // effect (R12).
  Incarnation incarnation;
  friend bool operator==(const Member&, const Member&) = default;
};

struct Configuration {
  // Each sorted by id, without duplicates. A learner is in neither set of voters.
  std::vector<Member> voters;
  std::vector<Member> outgoing;  // not empty: joint; decisions need a majority of both sets
  std::vector<Member> learners;

  const Member* Find(NodeId id) const;  // nullptr if not a member
  bool IsVoter(NodeId id) const;
  bool IsMember(NodeId id) const { return Find(id) != nullptr; }
  // All members, each once, by id.
  std::vector<NodeId> MemberIds() const;
  // True if the voters for which `yes` holds are a majority (of both sets when joint). False for an
  // empty set.
  bool HasQuorum(const std::function<bool(NodeId)>& yes) const;
  // The greatest index that a quorum has reached, given each voter's.
  Index QuorumIndex(const std::function<Index(NodeId)>& match) const;
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

// Versioned, length-prefixed binary. Decode returns nullopt for anything that Encode could not have
// made (trailing bytes, unsorted or duplicate ids, id 0, empty voters).
std::string EncodeConfiguration(const Configuration& config);
std::optional<Configuration> DecodeConfiguration(std::string_view bytes);

// The id of a member's name: the first 8 bytes (little endian) of a fixed 64-bit hash (FNV-1a with
// a final mix); never 0.
NodeId NodeIdOf(std::string_view name);

}  // namespace dqueue::raft
