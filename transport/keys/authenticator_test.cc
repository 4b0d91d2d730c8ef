#include "transport/keys/authenticator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "transport/keys/secret_key.h"

namespace dqueue::transport {
namespace {

using queue::Scope;
using Standing = Authenticator::Standing;
using std::chrono::seconds;

class AuthenticatorTest : public testing::Test {
 protected:
  // The text of a new key that the authenticator knows.
  std::string Add(v1::KeyType type, std::vector<std::string> queues = {}, bool revoked = false) {
    const SecretKey key = MakeSecretKey(type);
    queue::KeyRecord record;
    record.id = key.id;
    record.digest = DigestOfKey(key.secret);
    record.owner_id = "owner-" + std::to_string(records_.size());
    record.type = type;
    record.scopes = queue::DefaultScopes(type);
    record.queues = std::move(queues);
    record.revoke_time_ms = revoked ? 5 : 0;
    records_.push_back(record);
    auth_.SetKeys(queue::KeyTable(records_));
    return key.secret;
  }
  Authenticator::Ruling Check(const std::string& authorization, Scope scope,
                              const std::string& source = "10.0.0.1") {
    return auth_.Check({authorization, source}, scope, now_);
  }

  Authenticator auth_{true};
  std::vector<queue::KeyRecord> records_;
  Authenticator::Clock::time_point now_{seconds(1000)};
};

TEST_F(AuthenticatorTest, KeyAllowsItsScopes) {
  const std::string key = Add(v1::KEY_TYPE_CLIENT);
  const auto ruling = Check("Bearer " + key, Scope::kJobsSubmit);
  EXPECT_EQ(ruling.standing, Standing::kAllowed);
  EXPECT_EQ(ruling.caller.key_id, records_[0].id);
  EXPECT_EQ(ruling.caller.owner_id, "owner-0");
  EXPECT_FALSE(ruling.caller.admin);
  EXPECT_EQ(ruling.caller.access, nullptr);
  EXPECT_EQ(Check("bearer " + key, Scope::kJobsRead).standing, Standing::kAllowed);

  const auto refused = Check("Bearer " + key, Scope::kJobsLease);
  EXPECT_EQ(refused.standing, Standing::kRefused);
  EXPECT_EQ(refused.error.reason, "SCOPE_MISSING");
  EXPECT_EQ(refused.error.code, absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(refused.error.metadata.at("scope"), "jobs:lease");
}

TEST_F(AuthenticatorTest, EachTypeHasExactlyItsScopes) {
  const std::pair<v1::KeyType, std::vector<Scope>> table[] = {
      {v1::KEY_TYPE_CLIENT,
       {Scope::kJobsSubmit, Scope::kJobsRead, Scope::kKeysRead, Scope::kKeysRevoke}},
      {v1::KEY_TYPE_WORKER,
       {Scope::kJobsLease, Scope::kJobsAck, Scope::kJobsRead, Scope::kKeysRead}},
      {v1::KEY_TYPE_ADMIN,
       {Scope::kJobsSubmit, Scope::kJobsRead, Scope::kJobsLease, Scope::kJobsAck,
        Scope::kQueuesManage, Scope::kKeysCreate, Scope::kKeysRevoke, Scope::kKeysRead,
        Scope::kClusterRead, Scope::kClusterManage, Scope::kMetricsRead}},
  };
  for (const auto& [type, scopes] : table) {
    const std::string key = Add(type);
    for (uint32_t bit = 1; bit < queue::kAllScopes; bit <<= 1) {
      const Scope scope = static_cast<Scope>(bit);
      const bool may = std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
      EXPECT_EQ(Check("Bearer " + key, scope).standing == Standing::kAllowed, may)
          << KeyTypeName(type) << " " << queue::ScopeName(scope);
    }
  }
}

TEST_F(AuthenticatorTest, RefusesMalformedCredentials) {
  const std::string key = Add(v1::KEY_TYPE_ADMIN);
  for (const std::string& text : {std::string(), std::string("Bearer"), std::string("Bearer "), key,
                                  "Basic " + key, "Token " + key}) {
    const auto ruling = Check(text, Scope::kJobsRead);
    EXPECT_EQ(ruling.standing, Standing::kRefused) << text;
    EXPECT_EQ(ruling.error.reason, "KEY_MISSING") << text;
    EXPECT_EQ(ruling.error.code, absl::StatusCode::kUnauthenticated);
  }
  for (const std::string& text : {"Bearer  " + key, std::string("Bearer x"), "Bearer " + key + " ",
                                  "Bearer " + key.substr(1)}) {
    const auto ruling = Check(text, Scope::kJobsRead);
    EXPECT_EQ(ruling.standing, Standing::kRefused) << text;
    EXPECT_EQ(ruling.error.reason, "KEY_INVALID") << text;
    EXPECT_EQ(ruling.error.message.find(key.substr(20)), std::string::npos);
  }
}

TEST_F(AuthenticatorTest, RightIdWithAnotherSecretIsRefused) {
  const std::string key = Add(v1::KEY_TYPE_ADMIN);
  // As if somebody had read the id in a list and could compute the check characters.
  records_[0].digest = DigestOfKey("something else");
  auth_.SetKeys(queue::KeyTable(records_));
  const auto ruling = Check("Bearer " + key, Scope::kJobsRead);
  EXPECT_EQ(ruling.standing, Standing::kRefused);
  EXPECT_EQ(ruling.error.reason, "KEY_INVALID");
}

TEST_F(AuthenticatorTest, RevokedKeyIsRefusedAtOnce) {
  const std::string key = Add(v1::KEY_TYPE_CLIENT);
  EXPECT_EQ(Check("Bearer " + key, Scope::kJobsRead).standing, Standing::kAllowed);
  records_[0].revoke_time_ms = 7;
  auth_.SetKeys(queue::KeyTable(records_));
  const auto ruling = Check("Bearer " + key, Scope::kJobsRead);
  EXPECT_EQ(ruling.standing, Standing::kRefused);
  EXPECT_EQ(ruling.error.reason, "KEY_REVOKED");
}

TEST_F(AuthenticatorTest, TellsWhenAKeyLosesRights) {
  const std::string key = Add(v1::KEY_TYPE_WORKER, {"email"});
  const auto set = [&] { return auth_.SetKeys(queue::KeyTable(records_)); };
  EXPECT_FALSE(set()) << "the same keys";
  Add(v1::KEY_TYPE_CLIENT);
  EXPECT_EQ(auth_.losses(), 0u) << "a new key takes nothing from others";
  records_[0].last_use_time_ms = 9;
  EXPECT_FALSE(set());
  records_[0].queues = {"video"};
  EXPECT_TRUE(set());
  records_[0].scopes = queue::ScopeBit(Scope::kJobsLease);
  EXPECT_TRUE(set());
  records_[0].owner_id = "another";
  EXPECT_TRUE(set());
  records_[0].revoke_time_ms = 7;
  EXPECT_TRUE(set());
  EXPECT_FALSE(set()) << "it had nothing left to lose";
  records_.erase(records_.begin());
  EXPECT_FALSE(set()) << "a revoked key is forgotten";
  records_.clear();
  EXPECT_TRUE(set()) << "a valid one is";
  EXPECT_EQ(auth_.losses(), 5u);
}

TEST_F(AuthenticatorTest, ARunningCallEndsWhenItsKeyLosesRights) {
  const std::string key = Add(v1::KEY_TYPE_WORKER, {"email"});
  const Credentials credentials{"Bearer " + key, "10.0.0.1"};
  const auto began = Check("Bearer " + key, Scope::kJobsLease);
  ASSERT_EQ(began.standing, Standing::kAllowed);
  const auto lost = [&](const queue::KeyRecord& now, const Caller* caller) {
    auth_.SetKeys(queue::KeyTable({now}));
    const auto error = auth_.LostRights(credentials, Scope::kJobsLease, caller);
    return error ? error->reason : "";
  };
  const queue::KeyRecord same = records_[0];
  queue::KeyRecord revoked = same;
  revoked.revoke_time_ms = 7;
  queue::KeyRecord elsewhere = same;
  elsewhere.queues = {"video"};
  queue::KeyRecord narrower = same;
  narrower.scopes = queue::ScopeBit(Scope::kJobsRead);
  queue::KeyRecord of_another = same;
  of_another.id = "worker_000000000000";
  const Caller* const caller = &began.caller;
  EXPECT_EQ(lost(same, caller), "");
  EXPECT_EQ(lost(revoked, caller), "KEY_REVOKED");
  EXPECT_EQ(lost(elsewhere, caller), "KEY_CHANGED");
  EXPECT_EQ(lost(narrower, caller), "SCOPE_MISSING");
  EXPECT_EQ(lost(of_another, caller), "KEY_INVALID") << "forgotten";
  // This node did not know the key when the call began: the leader judges it.
  EXPECT_EQ(lost(of_another, nullptr), "");
  EXPECT_EQ(lost(same, nullptr), "");
  EXPECT_EQ(lost(revoked, nullptr), "KEY_REVOKED");
  EXPECT_FALSE(Authenticator(false).LostRights(credentials, Scope::kJobsLease, caller));
}

TEST_F(AuthenticatorTest, QueuesComeWithTheCaller) {
  const std::string key = Add(v1::KEY_TYPE_WORKER, {"email", "video-*"});
  const auto ruling = Check("Bearer " + key, Scope::kJobsLease);
  ASSERT_NE(ruling.caller.access, nullptr);
  for (const char* queue : {"email", "video-", "video-small"}) {
    EXPECT_TRUE(ruling.caller.access->Allows(queue)) << queue;
  }
  for (const char* queue : {"", "emails", "Email", "video", "default"}) {
    EXPECT_FALSE(ruling.caller.access->Allows(queue)) << queue;
  }
}

TEST_F(AuthenticatorTest, UnknownKeysAreLeftToTheLeaderUpToALimit) {
  int unknown = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string stranger = MakeSecretKey(v1::KEY_TYPE_CLIENT).secret;
    const auto ruling = Check("Bearer " + stranger, Scope::kJobsRead, "10.9.9.9");
    EXPECT_EQ(ruling.error.reason, "KEY_INVALID");
    unknown += ruling.standing == Standing::kUnknown;
  }
  EXPECT_EQ(unknown, Authenticator::kUnknownPerSource);
  // Neither another source nor a good key pays for it, and it ends.
  const std::string stranger = MakeSecretKey(v1::KEY_TYPE_CLIENT).secret;
  EXPECT_EQ(Check("Bearer " + stranger, Scope::kJobsRead).standing, Standing::kUnknown);
  const std::string key = Add(v1::KEY_TYPE_CLIENT);
  EXPECT_EQ(Check("Bearer " + key, Scope::kJobsRead, "10.9.9.9").standing, Standing::kAllowed);
  now_ += seconds(11);
  EXPECT_EQ(Check("Bearer " + stranger, Scope::kJobsRead, "10.9.9.9").standing, Standing::kUnknown);
}

TEST_F(AuthenticatorTest, RememberedSourcesAreBounded) {
  for (int i = 0; i < 20000; ++i) Check("", Scope::kJobsRead, std::to_string(i));
  EXPECT_EQ(auth_.counts().refused, 20000u);
  EXPECT_LE(auth_.sources(), 4096u);
}

TEST_F(AuthenticatorTest, EachUseIsReportedOnce) {
  const std::string key = Add(v1::KEY_TYPE_CLIENT);
  Check("Bearer " + key, Scope::kJobsRead);
  Check("Bearer " + key, Scope::kJobsRead);
  Check("Bearer " + key, Scope::kJobsLease);
  EXPECT_EQ(auth_.TakeUses(), std::vector<std::string>{records_[0].id});
  EXPECT_TRUE(auth_.TakeUses().empty());
  EXPECT_EQ(auth_.counts().allowed, 2u);
}

}  // namespace
}  // namespace dqueue::transport
