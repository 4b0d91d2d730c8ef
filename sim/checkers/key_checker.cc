#include "sim/checkers/key_checker.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {
constexpr char kRule[] = "J28 keys";
}

v1::Key KeyChecker::ModelKey::At(raft::Index index) const {
  queue::KeyRecord key = record;
  if (RevokedAt(index)) key.revoke_time_ms = revoke_time_ms;
  for (const Use& use : uses) {
    if (use.index <= index) key.last_use_time_ms = use.time_ms;
  }
  return queue::ToProto(key);
}

const KeyChecker::ModelKey* KeyChecker::Find(const std::string& id) const {
  const auto it = keys_.find(id);
  return it == keys_.end() ? nullptr : &it->second;
}

raft::Index KeyChecker::AppliedBy(const ServerCall& call) const {
  return world_->node(call.node).node().state().applied_index();
}

// ---- The log

void KeyChecker::Apply(raft::Index index, const log::v1::CommandBatch& batch, int64_t time_ms) {
  for (const log::v1::Command& command : batch.commands()) {
    if (command.has_create_key()) {
      const log::v1::CreateKey& create = command.create_key();
      changes_.insert(index);
      if (keys_.contains(create.id())) continue;
      ModelKey& key = keys_[create.id()];
      key.record.id = create.id();
      std::copy(create.digest().begin(), create.digest().end(), key.record.digest.begin());
      key.record.name = create.name();
      key.record.owner_id = create.owner_id();
      key.record.type = static_cast<v1::KeyType>(create.type());
      key.record.scopes = create.scopes();
      key.record.queues.assign(create.queues().begin(), create.queues().end());
      key.record.create_time_ms = time_ms;
      key.created = index;
    } else if (command.has_revoke_key()) {
      changes_.insert(index);
      const auto it = keys_.find(command.revoke_key().id());
      if (it == keys_.end() || it->second.revoked != raft::Index()) continue;
      const std::string& owner = command.revoke_key().owner_id();
      if (!owner.empty() && owner != it->second.record.owner_id) continue;
      it->second.revoked = index;
      it->second.revoke_time_ms = time_ms;
    } else if (command.has_use_keys()) {
      changes_.insert(index);
      for (const std::string& id : command.use_keys().ids()) {
        const auto it = keys_.find(id);
        if (it != keys_.end()) it->second.uses.push_back({index, time_ms});
      }
    }
  }
}

void KeyChecker::AfterApply(const SimNode& node, raft::Index index) {
  if (changes_.contains(index)) Compare(node);
}

// ---- Nodes

void KeyChecker::OnBoot(const SimNode& node) {
  published_.erase(node.number());
  if (!node.damaged()) Compare(node);
}

void KeyChecker::OnPublished(const SimNode& node, queue::KeyTablePtr keys) {
  published_[node.number()] = std::move(keys);
}

void KeyChecker::Compare(const SimNode& node) const {
  const queue::StateMachine& state = node.node().state();
  const raft::Index index = state.applied_index();
  v1::ListKeysResponse shown;
  DQ_CHECK(state.ListKeys({.revoked = true}, &shown).ok());
  CheckList(node.name(), "", /*revoked=*/true, index, shown);

  const auto published = published_.find(node.number());
  const auto count =
      static_cast<size_t>(std::count_if(keys_.begin(), keys_.end(), [index](const auto& entry) {
        return entry.second.ExistsAt(index);
      }));
  for (const queue::KeyTablePtr& table :
       {state.api_keys(), published == published_.end() ? state.api_keys() : published->second}) {
    if (table->size() != count) {
      Violate(kRule, node.name() + " checks calls against " + std::to_string(table->size()) +
                         " keys, expected " + std::to_string(count));
    }
    for (const auto& [id, expected] : keys_) {
      if (!expected.ExistsAt(index)) continue;
      const queue::KeyRecord* const key = table->Find(id);
      if (key == nullptr || key->digest != expected.record.digest ||
          key->revoked() != expected.RevokedAt(index) || key->scopes != expected.record.scopes ||
          key->queues != expected.record.queues) {
        Violate(kRule, node.name() + ": key " + id + " at index " + std::to_string(index.value()) +
                           " differs from the log");
      }
    }
  }
}

void KeyChecker::CheckList(const std::string& node, const std::string& owner_id, bool revoked,
                           raft::Index index, const v1::ListKeysResponse& shown) const {
  std::map<std::string, const v1::Key*> there;
  for (const v1::Key& key : shown.keys()) {
    if (!there.emplace(key.id(), &key).second) Violate(kRule, node + " shows a key twice");
  }
  for (const auto& [id, expected] : keys_) {
    if (!expected.ExistsAt(index)) continue;
    if (!owner_id.empty() && owner_id != expected.record.owner_id) continue;
    if (expected.RevokedAt(index) && !revoked) continue;
    const auto it = there.find(id);
    const std::string at = " at index " + std::to_string(index.value());
    if (it == there.end()) Violate(kRule, node + " does not have key " + id + at);
    const v1::Key wanted = expected.At(index);
    if (it->second->SerializeAsString() != wanted.SerializeAsString()) {
      Violate(kRule, node + at + " has key " + it->second->ShortDebugString() + ", expected " +
                         wanted.ShortDebugString());
    }
    there.erase(it);
  }
  if (!there.empty()) {
    Violate(kRule,
            node + " shows key " + there.begin()->first + ", which should not be in the list");
  }
}

// ---- Answers

void KeyChecker::Answered(const ServerCall& call, const queue::CreateKeyOrder& order,
                          const v1::Key& key) {
  const std::string who = world_->node(call.node).name();
  const ModelKey* const expected = Find(order.key.id);
  if (expected == nullptr || !expected->ExistsAt(AppliedBy(call)) ||
      expected->record.digest != order.key.digest) {
    Violate(kRule, who + " acknowledges key " + order.key.id + ", which the log does not have");
  }
  if (expected->RevokedAt(call.required) && !key.has_revoke_time()) {
    Violate(kRule, who + " creates key " + order.key.id + " although it had been revoked");
  }
}

void KeyChecker::Answered(const ServerCall& call, const queue::RevokeKeyOrder& order,
                          const v1::Key& key) {
  const std::string who = world_->node(call.node).name();
  const ModelKey* const expected = Find(order.id);
  if (expected == nullptr || !expected->RevokedAt(AppliedBy(call)) || !key.has_revoke_time()) {
    Violate(kRule, who + " acknowledges that key " + order.id +
                       " is revoked, which the log does not have");
  }
  if (!order.owner_id.empty() && order.owner_id != expected->record.owner_id) {
    Violate(kRule, who + " revokes key " + order.id + " for a caller that is not its owner");
  }
}

void KeyChecker::Answered(const ServerCall& call, const queue::ListKeysOrder& order,
                          const v1::ListKeysResponse& response) {
  const raft::Index applied = AppliedBy(call);
  const std::string who = world_->node(call.node).name();
  if (applied < call.required) {
    Violate("J16 stale read", who + " lists keys at an index that is too old");
  }
  CheckList(who, order.owner_id, order.revoked, applied, response);
}

void KeyChecker::Refused(const ServerCall& call, const queue::CreateKeyOrder& order,
                         const queue::Error& error) const {
  if (error.reason != "KEY_EXISTS") return;
  const ModelKey* const other = Find(order.key.id);
  if (other == nullptr || !other->ExistsAt(AppliedBy(call)) ||
      other->record.digest == order.key.digest) {
    Violate(kRule, "creating key " + order.key.id + " is refused, but the id is not taken");
  }
}

void KeyChecker::Refused(const ServerCall& call, const queue::RevokeKeyOrder& order,
                         const queue::Error& error) const {
  if (error.reason != "KEY_NOT_FOUND") return;
  const ModelKey* const key = Find(order.id);
  const bool theirs =
      key != nullptr && (order.owner_id.empty() || order.owner_id == key->record.owner_id);
  if (theirs && key->ExistsAt(call.required)) {
    Violate(kRule, world_->node(call.node).name() + " does not find key " + order.id);
  }
}

}  // namespace dqueue::sim
