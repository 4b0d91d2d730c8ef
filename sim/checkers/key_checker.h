// A second implementation of the API keys, computed from the committed commands, with all past
// versions. Checks the keys of nodes and of answers against it. Rule J28: a key whose creation was
// acknowledged exists on every node that has applied that index, also after restarts; a revoked key
// is never valid again.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dqueue/v1/command.pb.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"
#include "raft/types.h"
#include "sim/checkers/grant_checker.h"

namespace dqueue::sim {

class SimNode;
class World;

class KeyChecker {
 public:
  explicit KeyChecker(World* world) : world_(world) {}

  // A node has applied this entry as the first of all nodes. time_ms: the log's time after it.
  void Apply(raft::Index index, const log::v1::CommandBatch& batch, int64_t time_ms);
  // `node` has applied this entry.
  void AfterApply(const SimNode& node, raft::Index index);
  // Compares the keys in the node's state, and the keys that it published, with the model.
  void Compare(const SimNode& node) const;
  void OnBoot(const SimNode& node);
  // The node has published these keys to its watcher (Node::Watch).
  void OnPublished(const SimNode& node, queue::KeyTablePtr keys);

  void Answered(const ServerCall& call, const queue::CreateKeyOrder& order, const v1::Key& key);
  void Answered(const ServerCall& call, const queue::RevokeKeyOrder& order, const v1::Key& key);
  void Answered(const ServerCall& call, const queue::ListKeysOrder& order,
                const v1::ListKeysResponse& response);
  void Refused(const ServerCall& call, const queue::CreateKeyOrder& order,
               const queue::Error& error) const;
  void Refused(const ServerCall& call, const queue::RevokeKeyOrder& order,
               const queue::Error& error) const;

 private:
  struct Use {
    raft::Index index;
    int64_t time_ms = 0;
  };
  struct ModelKey {
    queue::KeyRecord record;  // as created
    raft::Index created;
    raft::Index revoked;  // 0: never
    int64_t revoke_time_ms = 0;
    std::vector<Use> uses;

    bool ExistsAt(raft::Index index) const { return created <= index; }
    bool RevokedAt(raft::Index index) const { return revoked != raft::Index() && revoked <= index; }
    v1::Key At(raft::Index index) const;
  };

  const ModelKey* Find(const std::string& id) const;
  raft::Index AppliedBy(const ServerCall& call) const;
  // Checks a list of keys that `node` made at this index.
  void CheckList(const std::string& node, const std::string& owner_id, bool revoked,
                 raft::Index index, const v1::ListKeysResponse& shown) const;

  World* world_;
  std::map<std::string, ModelKey> keys_;
  std::set<raft::Index> changes_;                // entries with commands about keys
  std::map<int, queue::KeyTablePtr> published_;  // by node, since its last boot
};

}  // namespace dqueue::sim
