#include "transport/keys/secret_key.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>

#include "base/check.h"

namespace dqueue::transport {
namespace {

constexpr std::string_view kLetters =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t kIdLetters = 12;
constexpr size_t kSecretLetters = 32;
constexpr size_t kCheckLetters = 6;
constexpr v1::KeyType kTypes[] = {v1::KEY_TYPE_CLIENT, v1::KEY_TYPE_WORKER, v1::KEY_TYPE_ADMIN};

// Every letter has the same probability: bytes beyond the last whole multiple are skipped.
void AppendRandomLetters(size_t count, std::string* out) {
  constexpr unsigned kUsable = 256 / kLetters.size() * kLetters.size();
  while (count > 0) {
    uint8_t bytes[64];
    DQ_CHECK(RAND_bytes(bytes, sizeof bytes) == 1);
    for (const uint8_t byte : bytes) {
      if (byte >= kUsable || count == 0) continue;
      *out += kLetters[byte % kLetters.size()];
      --count;
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
  }
}

std::string CheckLetters(std::string_view text) {
  const queue::KeyDigest digest = DigestOfKey(text);
  std::string letters;
  for (size_t i = 0; i < kCheckLetters; ++i) letters += kLetters[digest[i] % kLetters.size()];
  return letters;
}

}  // namespace

std::string_view KeyTypeName(v1::KeyType type) {
  switch (type) {
    case v1::KEY_TYPE_CLIENT:
      return "client";
    case v1::KEY_TYPE_WORKER:
      return "worker";
    case v1::KEY_TYPE_ADMIN:
      return "admin";
    default:
      return "";
  }
}

v1::KeyType KeyTypeNamed(std::string_view name) {
  for (const v1::KeyType type : kTypes) {
    if (name == KeyTypeName(type)) return type;
  }
  return v1::KEY_TYPE_UNSPECIFIED;
}

SecretKey MakeSecretKey(v1::KeyType type) {
  DQ_CHECK(!KeyTypeName(type).empty());
  SecretKey key;
  key.id = std::string(KeyTypeName(type)) + "_";
  AppendRandomLetters(kIdLetters, &key.id);
  key.secret = key.id;
  AppendRandomLetters(kSecretLetters, &key.secret);
  key.secret += CheckLetters(key.secret);
  return key;
}

std::optional<SecretKey> ParseSecretKey(std::string_view text) {
  const size_t underscore = text.find('_');
  if (underscore == std::string_view::npos) return std::nullopt;
  if (KeyTypeNamed(text.substr(0, underscore)) == v1::KEY_TYPE_UNSPECIFIED) return std::nullopt;
  const std::string_view letters = text.substr(underscore + 1);
  if (letters.size() != kIdLetters + kSecretLetters + kCheckLetters) return std::nullopt;
  const auto is_letter = [](char c) { return kLetters.find(c) != std::string_view::npos; };
  if (!std::all_of(letters.begin(), letters.end(), is_letter)) return std::nullopt;
  const std::string_view body = text.substr(0, text.size() - kCheckLetters);
  if (CheckLetters(body) != text.substr(body.size())) return std::nullopt;
  return SecretKey{std::string(text.substr(0, underscore + 1 + kIdLetters)), std::string(text)};
}

v1::KeyType KeyTypeOf(const SecretKey& key) {
  return KeyTypeNamed(std::string_view(key.id).substr(0, key.id.find('_')));
}

queue::KeyDigest DigestOfKey(std::string_view text) {
  queue::KeyDigest digest;
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
  return digest;
}

bool SameDigest(const queue::KeyDigest& a, const queue::KeyDigest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace dqueue::transport
