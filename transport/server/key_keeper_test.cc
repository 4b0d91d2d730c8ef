// The keeper of API keys over a fake node.
#include "transport/server/key_keeper.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/keys/secret_key.h"
#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

queue::KeyTablePtr TableOf(const SecretKey& key) {
  queue::KeyRecord record;
  record.id = key.id;
  record.digest = DigestOfKey(key.secret);
  record.type = KeyTypeOf(key);
  record.scopes = queue::DefaultScopes(record.type);
  return std::make_shared<const queue::KeyTable>(std::vector<queue::KeyRecord>{record});
}

FirstKey Named(const std::string& name, const SecretKey& key) {
  return {.name = name, .owner_id = "ops", .type = KeyTypeOf(key), .secret = key.secret};
}

class KeyKeeperTest : public testing::Test {
 protected:
  void Start(FirstKeys first = {}) { keeper_ = KeyKeeper::Start(&gate_, auth_, std::move(first)); }
  Authenticator::Standing StandingOf(const SecretKey& key) {
    return auth_->Look({.authorization = "Bearer " + key.secret, .source = ""}, queue::Scope::kNone)
        .standing;
  }

  const SecretKey old_ = MakeSecretKey(v1::KEY_TYPE_ADMIN);
  const SecretKey new_ = MakeSecretKey(v1::KEY_TYPE_ADMIN);
  FakeNode node_;
  NodeGate gate_{&node_};
  const std::shared_ptr<Authenticator> auth_ = std::make_shared<Authenticator>(true);
  std::unique_ptr<KeyKeeper> keeper_;
};

TEST_F(KeyKeeperTest, TheAuthenticatorHasEachNewTableAtOnce) {
  node_.SetKeys(TableOf(old_));
  Start();
  EXPECT_EQ(StandingOf(old_), Authenticator::Standing::kAllowed);
  node_.SetKeys(TableOf(new_));
  EXPECT_EQ(StandingOf(new_), Authenticator::Standing::kAllowed);
  EXPECT_EQ(StandingOf(old_), Authenticator::Standing::kUnknown);
  keeper_.reset();
  node_.SetKeys(TableOf(old_));
  EXPECT_EQ(StandingOf(old_), Authenticator::Standing::kUnknown) << "not watched any more";
}

// A leader that has not applied its log yet does not know which keys exist.
TEST_F(KeyKeeperTest, FirstKeysAreMadeOnlyWhenTheLeaderHasAppliedItsLog) {
  FirstKeys first;
  first.always = true;
  first.keys = {Named("old", old_), Named("new", new_)};
  Start(std::move(first));
  node_.SetLeader("a", "10.0.0.1:1");
  node_.SetKeys(TableOf(old_));
  node_.SetServing(true);
  queue::CreateKeyCall call = node_.Take<queue::CreateKeyCall>();
  EXPECT_EQ(call.request.key.id, new_.id) << "the old key exists";
  call.done(v1::Key());
  keeper_.reset();
  EXPECT_EQ(node_.waiting(), 0u);
}

TEST_F(KeyKeeperTest, AFirstKeyIsTriedAgainByTheNextTimeAsLeader) {
  FirstKeys first;
  first.keys = {Named("new", new_)};
  Start(std::move(first));
  node_.SetServing(true);
  queue::CreateKeyCall call = node_.Take<queue::CreateKeyCall>();
  node_.SetServing(false);
  queue::Error lost;
  lost.code = absl::StatusCode::kUnavailable;
  lost.reason = "COMMIT_UNKNOWN";
  call.done(lost);
  node_.SetServing(true);
  EXPECT_EQ(node_.Take<queue::CreateKeyCall>().request.key.id, new_.id) << "the same key";
}

TEST_F(KeyKeeperTest, EndsWhileItWaits) {
  FirstKeys first;
  first.keys = {Named("new", new_)};
  Start(std::move(first));
  keeper_.reset();
  EXPECT_EQ(node_.waiting(), 0u);
}

}  // namespace
}  // namespace dqueue::transport
