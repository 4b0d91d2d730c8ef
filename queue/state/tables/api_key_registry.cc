#include "queue/state/tables/api_key_registry.h"

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "dqueue/v1/command.pb.h"
#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/state/mutants.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kKeySeed = 0x6170696b6579;

// A time of 0 means "never", so an event at time 0 is recorded a little later.
int64_t MomentOf(int64_t time_ms) { return std::max<int64_t>(time_ms, 1); }

size_t TextBytes(const KeyRecord& key) {
  size_t bytes = key.id.size() + key.name.size() + key.owner_id.size();
  for (const std::string& queue : key.queues) bytes += sizeof(std::string) + queue.size();
  return bytes;
}

// Why such a key cannot exist; empty if it can. Checks sizes only: requests were validated before.
std::string ProblemOf(const KeyRecord& key) {
  if (key.id.empty() || key.id.size() > kKeyIdBytesMax) return "a key with a bad id";
  const std::string what = "key " + key.id + ": ";
  if (key.name.size() > kKeyTextBytesMax) return what + "a long name";
  if (key.owner_id.size() > kKeyTextBytesMax) return what + "a long owner";
  if (key.type == v1::KEY_TYPE_UNSPECIFIED || !v1::KeyType_IsValid(key.type)) {
    return what + "an unknown type";
  }
  if (key.scopes == 0 || (key.scopes & ~kAllScopes) != 0) return what + "unknown scopes";
  if (key.queues.size() > kKeyQueuesMax) return what + "too many queues";
  for (const std::string& queue : key.queues) {
    if (queue.empty() || queue.size() > kNameBytesMax + 1) return what + "a bad queue";
  }
  if (std::adjacent_find(key.queues.begin(), key.queues.end(), std::greater_equal<>()) !=
      key.queues.end()) {
    return what + "queues out of order";
  }
  return "";
}

CommandResult Answer(ResultCode code, ApiKeyRegistry::RecordPtr key = nullptr) {
  CommandResult result;
  result.code = code;
  result.key = std::move(key);
  return result;
}

}  // namespace

ReadStatus ReadKeyCommand(CommandKind kind, std::string_view message, KeyCommand* out) {
  using log::v1::CreateKey;
  using log::v1::RevokeKey;
  using log::v1::UseKeys;
  static_assert(CreateKey::kIdFieldNumber == 1 && RevokeKey::kIdFieldNumber == 1 &&
                UseKeys::kIdsFieldNumber == 1);
  const bool creates = kind == CommandKind::kCreateKey;
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    if (field.tag == BytesTag(1)) {
      if (kind == CommandKind::kUseKeys) {
        out->ids.push_back(field.bytes);
      } else {
        out->id = field.bytes;
      }
    } else if (field.tag == BytesTag(RevokeKey::kOwnerIdFieldNumber) &&
               kind == CommandKind::kRevokeKey) {
      out->owner_id = field.bytes;
    } else if (!creates) {
      return ReadStatus::kUnknown;
    } else if (field.tag == BytesTag(CreateKey::kDigestFieldNumber)) {
      out->digest = field.bytes;
    } else if (field.tag == BytesTag(CreateKey::kNameFieldNumber)) {
      out->name = field.bytes;
    } else if (field.tag == BytesTag(CreateKey::kOwnerIdFieldNumber)) {
      out->owner_id = field.bytes;
    } else if (field.tag == NumberTag(CreateKey::kTypeFieldNumber)) {
      out->type = static_cast<uint32_t>(field.value);
    } else if (field.tag == NumberTag(CreateKey::kScopesFieldNumber)) {
      out->scopes = static_cast<uint32_t>(field.value);
    } else if (field.tag == BytesTag(CreateKey::kQueuesFieldNumber)) {
      out->queues.push_back(field.bytes);
    } else {
      return ReadStatus::kUnknown;
    }
  }
  return reader.ok() ? ReadStatus::kOk : ReadStatus::kMalformed;
}

CommandResult ApiKeyRegistry::Apply(CommandKind kind, std::string_view message, int64_t time_ms) {
  KeyCommand command;
  DQ_CHECK(ReadKeyCommand(kind, message, &command) == ReadStatus::kOk);
  if (kind == CommandKind::kCreateKey) return Create(command, time_ms);
  if (kind == CommandKind::kRevokeKey) return Revoke(command, time_ms);
  DQ_CHECK(kind == CommandKind::kUseKeys);
  for (const std::string_view id : command.ids) Use(id, time_ms);
  return Answer(ResultCode::kOk);
}

CommandResult ApiKeyRegistry::Create(const KeyCommand& command, int64_t time_ms) {
  KeyRecord key;
  if (command.digest.size() != key.digest.size()) return Answer(ResultCode::kKeyRefused);
  std::copy(command.digest.begin(), command.digest.end(), key.digest.begin());
  key.id = std::string(command.id);
  key.name = std::string(command.name);
  key.owner_id = std::string(command.owner_id);
  if (v1::KeyType_IsValid(static_cast<int>(command.type))) {
    key.type = static_cast<v1::KeyType>(command.type);
  }
  key.scopes = command.scopes;
  key.queues.assign(command.queues.begin(), command.queues.end());
  key.create_time_ms = time_ms;
  if (!ProblemOf(key).empty()) return Answer(ResultCode::kKeyRefused);
  if (const auto it = keys_.find(key.id); it != keys_.end()) {
    if (it->second->digest != key.digest) return Answer(ResultCode::kKeyRefused);
    if (!it->second->revoked() || !DQ_MUTANT(mutants::kRevokedKeyCreatedAgain)) {
      return Answer(ResultCode::kExisting, it->second);
    }
    Drop(key.id);
  }
  if (valid() >= kKeysMax) return Answer(ResultCode::kTooManyKeys);
  const std::string id = key.id;
  Put(std::move(key));
  table_ = nullptr;
  return Answer(ResultCode::kOk, keys_.at(id));
}

CommandResult ApiKeyRegistry::Revoke(const KeyCommand& command, int64_t time_ms) {
  const auto it = keys_.find(command.id);
  if (it == keys_.end() ||
      (!command.owner_id.empty() && it->second->owner_id != command.owner_id)) {
    return Answer(ResultCode::kNotFound);
  }
  if (!it->second->revoked() && !DQ_MUTANT(mutants::kRevokeNotApplied)) {
    KeyRecord key = *it->second;
    key.revoke_time_ms = MomentOf(time_ms);
    const std::string id = key.id;
    Put(std::move(key));
    const RecordPtr revoked = keys_.at(id);
    if (revoked_.size() > kRevokedKeysMax) Drop(std::string(revoked_.begin()->second));
    table_ = nullptr;
    return Answer(ResultCode::kOk, revoked);
  }
  return Answer(ResultCode::kOk, it->second);
}

void ApiKeyRegistry::Use(std::string_view id, int64_t time_ms) {
  const auto it = keys_.find(id);
  if (it == keys_.end()) return;
  KeyRecord key = *it->second;
  key.last_use_time_ms = MomentOf(time_ms);
  Put(std::move(key));
}

std::string ApiKeyRegistry::Restore(KeyRecord key, int64_t time_ms) {
  if (std::string problem = ProblemOf(key); !problem.empty()) return problem;
  const std::string what = "key " + key.id + ": ";
  if (keys_.contains(key.id)) return what + "it is there twice";
  if (std::max({key.create_time_ms, key.revoke_time_ms, key.last_use_time_ms}) >
      MomentOf(time_ms)) {
    return what + "a time to come";
  }
  if (key.revoked() ? revoked_.size() >= kRevokedKeysMax : valid() >= kKeysMax) {
    return what + "more keys than there can be";
  }
  Put(std::move(key));
  return "";
}

ApiKeyRegistry::RecordPtr ApiKeyRegistry::Find(std::string_view id) const {
  const auto it = keys_.find(id);
  return it == keys_.end() ? nullptr : it->second;
}

std::vector<ApiKeyRegistry::RecordPtr> ApiKeyRegistry::All() const {
  std::vector<RecordPtr> all;
  all.reserve(keys_.size());
  for (const auto& [id, key] : keys_) all.push_back(key);
  return all;
}

KeyTablePtr ApiKeyRegistry::table() const {
  if (table_ == nullptr) {
    std::vector<KeyRecord> keys;
    keys.reserve(keys_.size());
    for (const auto& [id, key] : keys_) keys.push_back(*key);
    table_ = std::make_shared<const KeyTable>(std::move(keys));
  }
  return table_;
}

void ApiKeyRegistry::Put(KeyRecord key) {
  if (keys_.contains(key.id)) Drop(std::string(key.id));
  hash_sum_ += HashOf(key);
  text_bytes_ += TextBytes(key);
  if (key.revoked()) revoked_.emplace(key.revoke_time_ms, key.id);
  std::string id = key.id;
  keys_.emplace(std::move(id), std::make_shared<const KeyRecord>(std::move(key)));
}

void ApiKeyRegistry::Drop(const std::string& id) {
  const auto it = keys_.find(id);
  DQ_CHECK(it != keys_.end());
  const KeyRecord& key = *it->second;
  hash_sum_ -= HashOf(key);
  text_bytes_ -= TextBytes(key);
  if (key.revoked()) DQ_CHECK(revoked_.erase({key.revoke_time_ms, key.id}) == 1);
  keys_.erase(it);
}

uint64_t ApiKeyRegistry::HashOf(const KeyRecord& key) {
  HashSequence hash(kKeySeed);
  hash.Add(key.id)
      .Add(std::string_view(reinterpret_cast<const char*>(key.digest.data()), key.digest.size()))
      .Add(key.name)
      .Add(key.owner_id)
      .Add(static_cast<uint64_t>(key.type))
      .Add(uint64_t{key.scopes})
      .Add(static_cast<uint64_t>(key.create_time_ms))
      .Add(static_cast<uint64_t>(key.revoke_time_ms))
      .Add(static_cast<uint64_t>(key.last_use_time_ms));
  for (const std::string& queue : key.queues) hash.Add(queue);
  return hash.Finish();
}

uint64_t ApiKeyRegistry::RecomputeHashSum() const {
  uint64_t sum = 0;
  for (const auto& [id, key] : keys_) sum += HashOf(*key);
  return sum;
}

std::string ApiKeyRegistry::Problem() const {
  size_t revoked = 0;
  for (const auto& [id, key] : keys_) {
    if (id != key->id) return "key " + id + " is found under another id";
    if (std::string problem = ProblemOf(*key); !problem.empty()) return problem;
    if (!key->revoked()) continue;
    ++revoked;
    if (!revoked_.contains({key->revoke_time_ms, id})) return "key " + id + " is never forgotten";
  }
  if (revoked != revoked_.size()) return "the number of revoked keys is wrong";
  if (revoked > kRevokedKeysMax || valid() > kKeysMax) return "more keys than there can be";
  if (table_ == nullptr) return "";
  if (table_->size() != keys_.size()) return "the table of keys has other keys";
  for (const auto& [id, key] : keys_) {
    const KeyRecord* const shown = table_->Find(id);
    if (shown == nullptr || shown->digest != key->digest ||
        shown->revoke_time_ms != key->revoke_time_ms) {
      return "key " + id + " is another one in the table of keys";
    }
  }
  return "";
}

size_t ApiKeyRegistry::memory_bytes() const {
  // Of a record: the reference count, and its entry in the map.
  return keys_.size() * (sizeof(KeyRecord) + 16 + sizeof(std::string) + sizeof(RecordPtr)) +
         text_bytes_ + revoked_.size() * sizeof(std::pair<int64_t, std::string>);
}

}  // namespace dqueue::queue
