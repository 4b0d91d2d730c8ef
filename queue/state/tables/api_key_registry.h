// API keys, as CreateKey, RevokeKey and UseKeys leave them. Replicated, in snapshots and in the
// digest. A record never changes: a change replaces it, so that an image or an answer that holds
// the old record stays consistent.
//
//  - Create: at most kKeysMax keys are valid. An existing id with the same digest is answered as
//    existing; a revoked key stays revoked. An existing id with another digest is refused, and so
//    is a key that cannot exist (a validated call never makes one).
//  - Revoke: for good. Repeating it changes nothing. The last kRevokedKeysMax revoked keys are
//    remembered; earlier ones are forgotten, and revoking such a key finds nothing.
//  - Use: sets the time of the last use, also of a revoked key, so that attempts to use it on a
//    node that is behind are visible. Unknown ids are ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "queue/api/key.h"
#include "queue/state/command_reader.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// The fields of CreateKey, RevokeKey or UseKeys. Views into the entry.
struct KeyCommand {
  std::string_view id;
  std::string_view digest;
  std::string_view name;
  std::string_view owner_id;
  uint32_t type = 0;
  uint32_t scopes = 0;
  std::vector<std::string_view> queues;  // create
  std::vector<std::string_view> ids;     // use
};
// `kind` is one of IsOfKeys().
ReadStatus ReadKeyCommand(CommandKind kind, std::string_view message, KeyCommand* out);

class ApiKeyRegistry {
 public:
  using RecordPtr = std::shared_ptr<const KeyRecord>;

  // `message`: as in the entry; ReadKeyCommand has found it well formed. time_ms: the log's.
  CommandResult Apply(CommandKind kind, std::string_view message, int64_t time_ms);
  // Adds a key from an image of this time. Empty, or why such a key cannot exist.
  std::string Restore(KeyRecord key, int64_t time_ms);

  // Null: there is none.
  RecordPtr Find(std::string_view id) const;
  // By id.
  std::vector<RecordPtr> All() const;
  size_t size() const { return keys_.size(); }
  // Built on demand, and rebuilt after any change but a last use.
  KeyTablePtr table() const;

  // Order-independent, over all keys; 0: none.
  uint64_t hash_sum() const { return hash_sum_; }
  uint64_t RecomputeHashSum() const;
  // Empty if everything derived agrees with the keys.
  std::string Problem() const;
  size_t memory_bytes() const;

 private:
  CommandResult Create(const KeyCommand& command, int64_t time_ms);
  CommandResult Revoke(const KeyCommand& command, int64_t time_ms);
  void Use(std::string_view id, int64_t time_ms);
  size_t valid() const { return keys_.size() - revoked_.size(); }
  void Put(KeyRecord key);
  void Drop(const std::string& id);
  static uint64_t HashOf(const KeyRecord& key);

  absl::btree_map<std::string, RecordPtr, std::less<>> keys_;
  absl::btree_set<std::pair<int64_t, std::string>> revoked_;  // by when; then by id
  uint64_t hash_sum_ = 0;
  size_t text_bytes_ = 0;
  mutable KeyTablePtr table_;
};

}  // namespace dqueue::queue
