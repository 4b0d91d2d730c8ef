// The text of an API key:
//
//   client_ 3fXa09QmZr7K Qh…(32)…w2 8Kd0Zu
//   type    id           secret     check
//
// 12, 32 and 6 letters and digits. Type and id are open: a key is named by them in lists, logs and
// the cluster's state, beside a SHA-256 of the whole text. The secret has 190 bits from the
// system's generator, so one round of a plain hash is enough: there is nothing to guess from a
// dictionary. The check characters tell a mistyped or invented key without a look into any table.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dqueue/v1/service.pb.h"
#include "queue/api/key.h"

namespace dqueue::transport {

struct SecretKey {
  std::string id;      // "client_3fXa09QmZr7K"
  std::string secret;  // the whole text
};

// A fresh one. DQ_CHECK: the type is a real one, and the system has random numbers.
SecretKey MakeSecretKey(v1::KeyType type);

// nullopt: not a key, whatever its secret.
std::optional<SecretKey> ParseSecretKey(std::string_view text);
v1::KeyType KeyTypeOf(const SecretKey& key);

// "client", "worker", "admin"; "" of anything else.
std::string_view KeyTypeName(v1::KeyType type);
v1::KeyType KeyTypeNamed(std::string_view name);

queue::KeyDigest DigestOfKey(std::string_view text);
// In a time that does not depend on the digests.
bool SameDigest(const queue::KeyDigest& a, const queue::KeyDigest& b);

}  // namespace dqueue::transport
