#include "queue/api/key.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "queue/api/proto_time.h"

namespace dqueue::queue {
namespace {

struct NamedScope {
  Scope scope;
  std::string_view name;
};
constexpr NamedScope kScopes[] = {
    {Scope::kJobsSubmit, "jobs:submit"},     {Scope::kJobsRead, "jobs:read"},
    {Scope::kJobsLease, "jobs:lease"},       {Scope::kJobsAck, "jobs:ack"},
    {Scope::kQueuesManage, "queues:manage"}, {Scope::kKeysCreate, "keys:create"},
    {Scope::kKeysRevoke, "keys:revoke"},     {Scope::kKeysRead, "keys:read"},
    {Scope::kClusterRead, "cluster:read"},   {Scope::kClusterManage, "cluster:manage"},
    {Scope::kMetricsRead, "metrics:read"},
};
static_assert((uint32_t{1} << std::size(kScopes)) - 1 == kAllScopes);

}  // namespace

std::string_view ScopeName(Scope scope) {
  for (const NamedScope& named : kScopes) {
    if (named.scope == scope) return named.name;
  }
  return "";
}

Scope ScopeNamed(std::string_view name) {
  for (const NamedScope& named : kScopes) {
    if (named.name == name) return named.scope;
  }
  return Scope::kNone;
}

std::vector<std::string> ScopeNames(uint32_t scopes) {
  std::vector<std::string> names;
  for (const NamedScope& named : kScopes) {
    if ((scopes & ScopeBit(named.scope)) != 0) names.emplace_back(named.name);
  }
  return names;
}

uint32_t DefaultScopes(v1::KeyType type) {
  switch (type) {
    case v1::KEY_TYPE_CLIENT:
      return ScopeBit(Scope::kJobsSubmit) | ScopeBit(Scope::kJobsRead) |
             ScopeBit(Scope::kKeysRead) | ScopeBit(Scope::kKeysRevoke);
    case v1::KEY_TYPE_WORKER:
      return ScopeBit(Scope::kJobsLease) | ScopeBit(Scope::kJobsAck) | ScopeBit(Scope::kJobsRead) |
             ScopeBit(Scope::kKeysRead);
    case v1::KEY_TYPE_ADMIN:
      return kAllScopes;
    default:
      return 0;
  }
}

QueueAccess::QueueAccess(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {}

bool QueueAccess::Allows(std::string_view queue) const {
  for (const std::string& pattern : patterns_) {
    std::string_view name = pattern;
    if (name.ends_with('*')) {
      name.remove_suffix(1);
      if (queue.starts_with(name)) return true;
    } else if (queue == name) {
      return true;
    }
  }
  return false;
}

bool QueueAccess::Covers(std::string_view pattern) const {
  if (!pattern.ends_with('*')) return Allows(pattern);
  pattern.remove_suffix(1);
  return std::any_of(patterns_.begin(), patterns_.end(), [pattern](std::string_view seen) {
    if (!seen.ends_with('*')) return false;
    seen.remove_suffix(1);
    return pattern.starts_with(seen);
  });
}

v1::Key ToProto(const KeyRecord& key) {
  v1::Key out;
  out.set_id(key.id);
  out.set_name(key.name);
  out.set_owner_id(key.owner_id);
  out.set_type(key.type);
  for (std::string& name : ScopeNames(key.scopes)) out.add_scopes(std::move(name));
  for (const std::string& queue : key.queues) out.add_queues(queue);
  SetMs(key.create_time_ms, out.mutable_create_time());
  if (key.revoked()) SetMs(key.revoke_time_ms, out.mutable_revoke_time());
  if (key.last_use_time_ms != 0) SetMs(key.last_use_time_ms, out.mutable_last_use_time());
  return out;
}

KeyTable::KeyTable(std::vector<KeyRecord> keys) {
  for (KeyRecord& key : keys) {
    std::string id = key.id;
    keys_.emplace(std::move(id), std::move(key));
  }
}

const KeyRecord* KeyTable::Find(std::string_view id) const {
  const auto found = keys_.find(std::string(id));
  return found == keys_.end() ? nullptr : &found->second;
}

}  // namespace dqueue::queue
