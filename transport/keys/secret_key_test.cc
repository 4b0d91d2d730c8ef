#include "transport/keys/secret_key.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace dqueue::transport {
namespace {

TEST(SecretKeyTest, IsReadBack) {
  for (const v1::KeyType type : {v1::KEY_TYPE_CLIENT, v1::KEY_TYPE_WORKER, v1::KEY_TYPE_ADMIN}) {
    const SecretKey key = MakeSecretKey(type);
    const auto parsed = ParseSecretKey(key.secret);
    ASSERT_TRUE(parsed.has_value()) << key.secret;
    EXPECT_EQ(parsed->id, key.id);
    EXPECT_EQ(parsed->secret, key.secret);
    EXPECT_EQ(KeyTypeOf(*parsed), type);
    EXPECT_TRUE(key.secret.starts_with(key.id));
    EXPECT_EQ(key.secret.size(), key.id.size() + 38);
    EXPECT_EQ(key.id.size(), KeyTypeName(type).size() + 13);
  }
}

TEST(SecretKeyTest, NoTwoAreAlike) {
  std::set<std::string> ids;
  std::set<std::string> secrets;
  constexpr int kKeys = 2000;
  for (int i = 0; i < kKeys; ++i) {
    const SecretKey key = MakeSecretKey(v1::KEY_TYPE_CLIENT);
    ids.insert(key.id);
    secrets.insert(key.secret.substr(key.id.size()));
  }
  EXPECT_EQ(ids.size(), kKeys);
  EXPECT_EQ(secrets.size(), kKeys);
}

TEST(SecretKeyTest, EveryLetterOccurs) {
  std::set<char> letters;
  for (int i = 0; i < 200; ++i) {
    const SecretKey key = MakeSecretKey(v1::KEY_TYPE_ADMIN);
    letters.insert(key.secret.begin() + 6, key.secret.end());
  }
  EXPECT_EQ(letters.size(), 62u);
}

TEST(SecretKeyTest, RefusesWhatIsNoKey) {
  const std::string good = MakeSecretKey(v1::KEY_TYPE_WORKER).secret;
  EXPECT_FALSE(ParseSecretKey(""));
  EXPECT_FALSE(ParseSecretKey("worker_"));
  EXPECT_FALSE(ParseSecretKey("_" + good.substr(7)));
  EXPECT_FALSE(ParseSecretKey("root_" + good.substr(7)));
  EXPECT_FALSE(ParseSecretKey("admin_" + good.substr(7))) << "the type is part of the check";
  EXPECT_FALSE(ParseSecretKey(good + "0"));
  EXPECT_FALSE(ParseSecretKey(good.substr(0, good.size() - 1)));
  EXPECT_FALSE(ParseSecretKey(" " + good));
  EXPECT_FALSE(ParseSecretKey(good + "\n"));
  EXPECT_FALSE(ParseSecretKey(std::string("worker_\0", 8) + good.substr(8)));
  int refused = 0;
  for (size_t i = 7; i < good.size(); ++i) {
    std::string other = good;
    other[i] = other[i] == 'a' ? 'b' : 'a';
    refused += !ParseSecretKey(other);
  }
  // Each change goes unseen with a chance of one in 62^6.
  EXPECT_EQ(refused, static_cast<int>(good.size() - 7));
}

TEST(SecretKeyTest, DigestIsSha256) {
  const queue::KeyDigest digest = DigestOfKey("abc");
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(digest[0], 0xba);
  EXPECT_EQ(digest[1], 0x78);
  EXPECT_EQ(digest[31], 0xad);
  EXPECT_TRUE(SameDigest(digest, DigestOfKey("abc")));
  EXPECT_FALSE(SameDigest(digest, DigestOfKey("abd")));
}

}  // namespace
}  // namespace dqueue::transport
