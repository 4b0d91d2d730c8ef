// The text of an API key:
//
//   client_ 3fXa09QmZr7K Qh…(32)…w2 8Kd0Zu
//   type    id           secret     check
//
// 12, 32 and 6 letters and digits. Type and id are public: they name the key in lists, logs and the
// cluster's state, which also holds a SHA-256 of the whole text. The secret has 190 bits from the
// system's generator, so one round of a plain hash is enough: no dictionary contains it. The check
// characters reveal a mistyped or invented key without a table lookup.
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

// Makes a key. DQ_CHECK: the type is valid, and the system has random numbers.
SecretKey MakeSecretKey(v1::KeyType type);

// nullopt: not the form of a key. The secret is not checked.
std::optional<SecretKey> ParseSecretKey(std::string_view text);
v1::KeyType KeyTypeOf(const SecretKey& key);

// "client", "worker" or "admin"; "" for any other value.
std::string_view KeyTypeName(v1::KeyType type);
v1::KeyType KeyTypeNamed(std::string_view name);

queue::KeyDigest DigestOfKey(std::string_view text);
// Compares in constant time.
bool SameDigest(const queue::KeyDigest& a, const queue::KeyDigest& b);

}  // namespace dqueue::transport
