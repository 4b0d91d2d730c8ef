#include <algorithm>

#include "queue/api/limits.h"
#include "queue/api/validate.h"

namespace dqueue::queue {
namespace {

constexpr size_t kKeyIdTailChars = 12;
constexpr char kTextLimit[] = "1 to 128 bytes of printable UTF-8";
constexpr char kIdLimit[] = "client_, worker_ or admin_ and 12 characters of A-Z a-z 0-9";
static_assert(kKeyTextBytesMax == 128);

// The prefix of the ids of keys of this type; empty: there is no such type.
std::string_view PrefixOf(v1::KeyType type) {
  switch (type) {
    case v1::KEY_TYPE_CLIENT:
      return "client_";
    case v1::KEY_TYPE_WORKER:
      return "worker_";
    case v1::KEY_TYPE_ADMIN:
      return "admin_";
    default:
      return "";
  }
}

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool IsIdOf(v1::KeyType type, std::string_view id) {
  const std::string_view prefix = PrefixOf(type);
  if (prefix.empty() || !id.starts_with(prefix)) return false;
  id.remove_prefix(prefix.size());
  return id.size() == kKeyIdTailChars && std::all_of(id.begin(), id.end(), IsAlphanumeric);
}

std::optional<Error> CheckId(std::string field, std::string_view id) {
  for (const v1::KeyType type : {v1::KEY_TYPE_CLIENT, v1::KEY_TYPE_WORKER, v1::KEY_TYPE_ADMIN}) {
    if (IsIdOf(type, id)) return std::nullopt;
  }
  return InvalidField(std::move(field), ShownValue(id), kIdLimit);
}

// UTF-8 without the control characters U+0000 to U+001F and U+007F to U+009F.
bool IsPrintable(std::string_view text) {
  if (!IsUtf8(text)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    // In UTF-8 this byte leads one character of two bytes, so there is another behind it.
    if (byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) return false;
  }
  return true;
}

std::optional<Error> CheckText(const char* field, std::string_view text) {
  if (!text.empty() && text.size() <= kKeyTextBytesMax && IsPrintable(text)) return std::nullopt;
  return InvalidField(field, ShownValue(text), kTextLimit);
}

// A name of a queue, or a prefix and '*'.
bool IsPattern(std::string_view text) {
  if (!text.ends_with('*')) return IsQueueName(text);
  text.remove_suffix(1);
  return text.empty() || IsQueueName(text);
}

std::optional<Error> CheckQueues(const std::vector<std::string>& queues) {
  if (queues.size() > kKeyQueuesMax) {
    return InvalidField("queues", std::to_string(queues.size()) + " names",
                        "at most " + std::to_string(kKeyQueuesMax) + " names");
  }
  for (size_t i = 0; i < queues.size(); ++i) {
    const std::string field = "queues[" + std::to_string(i) + "]";
    if (!IsPattern(queues[i])) {
      return InvalidField(field, ShownValue(queues[i]),
                          std::string(kQueueNameLimit) + ", or a beginning of one and *");
    }
    if (std::find(queues.begin(), queues.begin() + static_cast<ptrdiff_t>(i), queues[i]) !=
        queues.begin() + static_cast<ptrdiff_t>(i)) {
      return InvalidField(field, ShownValue(queues[i]), "another one than those before it");
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Error> CheckKey(const KeyRecord& key) {
  if (auto error = CheckText("name", key.name)) return error;
  if (auto error = CheckText("owner_id", key.owner_id)) return error;
  if (PrefixOf(key.type).empty()) {
    return InvalidField("type", std::to_string(static_cast<int>(key.type)),
                        "CLIENT (1), WORKER (2) or ADMIN (3)");
  }
  if (key.scopes == 0 || (key.scopes & ~kAllScopes) != 0) {
    return InvalidField(
        "scopes", std::to_string(key.scopes),
        "at least one of the known scopes (bits 1 to " + std::to_string(kAllScopes) + ")");
  }
  return CheckQueues(key.queues);
}

std::optional<Error> CheckRequest(const CreateKeyOrder& order) {
  if (auto error = CheckKey(order.key)) return error;
  if (!IsIdOf(order.key.type, order.key.id)) {
    return InvalidField(
        "id", ShownValue(order.key.id),
        std::string(PrefixOf(order.key.type)) + " and 12 characters of A-Z a-z 0-9");
  }
  if (order.key.digest == KeyDigest{}) {
    return InvalidField("digest", "all zeros", "the SHA-256 of the key");
  }
  return std::nullopt;
}

std::optional<Error> CheckRequest(const ListKeysOrder& order) {
  if (auto error = CheckPageSize(order.page_size, kStatsPageSizeMax)) return error;
  return order.owner_id.empty() ? std::nullopt : CheckText("owner_id", order.owner_id);
}

std::optional<Error> CheckRequest(const RevokeKeyOrder& order) {
  if (auto error = CheckId("id", order.id)) return error;
  return order.owner_id.empty() ? std::nullopt : CheckText("owner_id", order.owner_id);
}

std::optional<Error> CheckRequest(const UseKeysOrder& order) {
  if (order.ids.empty() || order.ids.size() > kKeysMax) {
    return InvalidField("ids", std::to_string(order.ids.size()) + " items",
                        "1 to " + std::to_string(kKeysMax) + " items");
  }
  for (size_t i = 0; i < order.ids.size(); ++i) {
    if (auto error = CheckId("ids[" + std::to_string(i) + "]", order.ids[i])) return error;
  }
  return std::nullopt;
}

}  // namespace dqueue::queue
