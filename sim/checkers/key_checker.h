// The keys as the committed commands make them, worked out a second time and with their past; and
// what nodes and answers say of them held against that. Rule J28: a key whose creation was
// acknowledged is there on every node that has applied so much, in every life of it, and once
// revoked it is never valid again.
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

  // An entry was applied for the first time. time_ms: the log's, after it.
  void Apply(raft::Index index, const log::v1::CommandBatch& batch, int64_t time_ms);
  // By `node`, also as one that others had applied before.
  void AfterApply(const SimNode& node, raft::Index index);
  // All keys of the node, and those it has told its watcher of, against the model at its index.
  void Compare(const SimNode& node) const;
  void OnBoot(const SimNode& node);
  void OnTold(const SimNode& node, queue::KeyTablePtr keys);

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
    queue::KeyRecord record;  // as it was made
    raft::Index created;
    raft::Index revoked;  // 0: never
    int64_t revoke_time_ms = 0;
    std::vector<Use> uses;

    bool ThereAt(raft::Index index) const { return created <= index; }
    bool RevokedAt(raft::Index index) const { return revoked != raft::Index() && revoked <= index; }
    v1::Key At(raft::Index index) const;
  };

  const ModelKey* Find(const std::string& id) const;
  raft::Index AppliedBy(const ServerCall& call) const;
  // What a list must show at this index.
  void CheckList(const std::string& who, const std::string& owner_id, bool revoked,
                 raft::Index index, const v1::ListKeysResponse& shown) const;

  World* world_;
  std::map<std::string, ModelKey> keys_;
  std::set<raft::Index> changes_;           // entries with commands about keys
  std::map<int, queue::KeyTablePtr> told_;  // by node, in its present life
};

}  // namespace dqueue::sim
