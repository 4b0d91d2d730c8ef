// API keys: the scopes and queues that a caller may use. The replicated state holds digests of
// keys; the keys themselves are known to their users only. This header has the types. transport/
// creates, reads and checks keys; the broker enforces QueueAccess.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::queue {

// A permission. The values are bits in the log and in snapshots, and never change.
enum class Scope : uint32_t {
  kNone = 0,
  kJobsSubmit = 1 << 0,
  kJobsRead = 1 << 1,
  kJobsLease = 1 << 2,
  kJobsAck = 1 << 3,
  kQueuesManage = 1 << 4,
  kKeysCreate = 1 << 5,
  kKeysRevoke = 1 << 6,
  kKeysRead = 1 << 7,
  kClusterRead = 1 << 8,
  kClusterManage = 1 << 9,
  kMetricsRead = 1 << 10,
};
inline constexpr uint32_t kAllScopes = (1u << 11) - 1;
constexpr uint32_t ScopeBit(Scope scope) { return static_cast<uint32_t>(scope); }

// "jobs:submit". Of kNone: "".
std::string_view ScopeName(Scope scope);
// kNone: no scope has this name.
Scope ScopeNamed(std::string_view name);
// In the order of their bits.
std::vector<std::string> ScopeNames(uint32_t scopes);
// The default scopes of a key of this type.
uint32_t DefaultScopes(v1::KeyType type);

// The queues that a caller may access: names, and prefixes that end in '*'.
class QueueAccess {
 public:
  explicit QueueAccess(std::vector<std::string> patterns);
  bool Allows(std::string_view queue) const;
  // True if every queue that `pattern` (a name, or a prefix and '*') matches is allowed.
  bool Covers(std::string_view pattern) const;
  const std::vector<std::string>& patterns() const { return patterns_; }

 private:
  std::vector<std::string> patterns_;
};
// Null: unrestricted.
using QueueAccessPtr = std::shared_ptr<const QueueAccess>;
inline bool Allows(const QueueAccessPtr& access, std::string_view queue) {
  return access == nullptr || access->Allows(queue);
}

inline constexpr size_t kKeysMax = 1000;         // that are valid
inline constexpr size_t kRevokedKeysMax = 1000;  // the last ones are remembered
inline constexpr size_t kKeyQueuesMax = 100;
inline constexpr size_t kKeyTextBytesMax = 128;  // of a name and of an owner
inline constexpr size_t kKeyIdBytesMax = 64;

using KeyDigest = std::array<uint8_t, 32>;

struct KeyRecord {
  std::string id;
  KeyDigest digest{};
  std::string name;
  std::string owner_id;
  v1::KeyType type = v1::KEY_TYPE_UNSPECIFIED;
  uint32_t scopes = 0;
  std::vector<std::string> queues;  // sorted; empty: all
  int64_t create_time_ms = 0;
  int64_t revoke_time_ms = 0;    // 0: valid
  int64_t last_use_time_ms = 0;  // 0: never

  bool revoked() const { return revoke_time_ms != 0; }
};
v1::Key ToProto(const KeyRecord& key);

// All keys as a node has applied them. Immutable: any thread may hold one.
class KeyTable {
 public:
  explicit KeyTable(std::vector<KeyRecord> keys);
  // Null: no such key. Revoked keys are found.
  const KeyRecord* Find(std::string_view id) const;
  // By id.
  auto begin() const { return keys_.begin(); }
  auto end() const { return keys_.end(); }
  bool empty() const { return keys_.empty(); }
  size_t size() const { return keys_.size(); }

 private:
  absl::btree_map<std::string, KeyRecord> keys_;
};
using KeyTablePtr = std::shared_ptr<const KeyTable>;

// ---- requests to the broker ----

// `key`: id, name, owner_id, type, scopes, queues. transport/ checks it before it makes the key,
// and the broker checks it again.
struct CreateKeyOrder {
  KeyRecord key;
};
struct ListKeysOrder {
  std::string owner_id = {};  // empty: of all owners
  bool revoked = false;
  int32_t page_size = 0;  // 0: kStatsPageSizeMax
  std::string page_token = {};
};
struct RevokeKeyOrder {
  std::string id;
  std::string owner_id;  // not empty: only a key of this owner
};
// Answered when the command is applied. Callers need not repeat it.
struct UseKeysOrder {
  std::vector<std::string> ids;
};
struct UseKeysDone {};

}  // namespace dqueue::queue
