// The keys as the log has them: what CreateKey, RevokeKey and UseKeys do. Replicated, in snapshots
// and in the digest. Records never change: a change puts a new one in place, so that whoever took
// the old one (an image, an answer) keeps what it was.
//
//  - Create: at most kKeysMax keys are valid. An id that is there already, with the same digest, is
//    answered as existing, also if it was revoked: it stays revoked. With another digest it is
//    refused; so is what can be no key (a validated call never is).
//  - Revoke: for good. Repeated, it changes nothing. The last kRevokedKeysMax are remembered; of
//    those before them nothing is known any more, and a revocation of one finds nothing.
//  - Use: sets the time of the last use, of revoked keys too: that somebody still tried to use one
//    on a node that was behind is worth knowing. Ids of no key are passed over.
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
  // From an image of this time. Empty, or why such a key cannot be there.
  std::string Restore(KeyRecord key, int64_t time_ms);

  // Null: there is none.
  RecordPtr Find(std::string_view id) const;
  // By id.
  std::vector<RecordPtr> All() const;
  size_t size() const { return keys_.size(); }
  // Built when it is asked for, and again after a change of more than a last use.
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
