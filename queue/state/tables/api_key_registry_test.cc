// The commands about API keys, through the state machine.
#include "queue/state/tables/api_key_registry.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Listed(const StateMachine& machine, std::string_view owner = "",
                                bool revoked = false) {
  v1::ListKeysResponse keys;
  EXPECT_TRUE(machine.ListKeys({.owner_id = std::string(owner), .revoked = revoked}, &keys).ok());
  std::vector<std::string> ids;
  for (const v1::Key& key : keys.keys()) ids.push_back(key.id());
  return ids;
}

class ApiKeyRegistryTest : public ::testing::Test {
 protected:
  ~ApiKeyRegistryTest() override { EXPECT_EQ(machine_.CheckConsistency(), ""); }

  CommandResult Apply(const BatchBuilder& batch) { return ApplyNext(machine_, batch).back(); }
  ResultCode Create(const KeyRecord& key, int64_t time_ms = 1000) {
    return Apply(BatchBuilder(time_ms).CreateKey(key)).code;
  }

  StateMachine machine_;
};

TEST_F(ApiKeyRegistryTest, AKeyKeepsItsFields) {
  KeyRecord key = MakeKey("client_a", "ann");
  key.queues = {"mail", "shop-*"};
  const CommandResult result = Apply(BatchBuilder(5000).CreateKey(key));
  EXPECT_EQ(result.code, ResultCode::kOk);
  ASSERT_NE(result.key, nullptr);
  EXPECT_EQ(result.key->create_time_ms, 5000);
  const KeyRecord* const found = machine_.api_keys()->Find("client_a");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->digest, key.digest);
  EXPECT_EQ(found->name, key.name);
  EXPECT_EQ(found->owner_id, "ann");
  EXPECT_EQ(found->type, key.type);
  EXPECT_EQ(found->scopes, key.scopes);
  EXPECT_THAT(found->queues, ElementsAre("mail", "shop-*"));
  EXPECT_FALSE(found->revoked());
  EXPECT_EQ(found->last_use_time_ms, 0);
}

TEST_F(ApiKeyRegistryTest, ARepeatedCreationChangesNothing) {
  EXPECT_EQ(Create(MakeKey("a"), 1000), ResultCode::kOk);
  KeyRecord renamed = MakeKey("a");
  renamed.name = "another name";
  const CommandResult result = Apply(BatchBuilder(2000).CreateKey(renamed));
  EXPECT_EQ(result.code, ResultCode::kExisting);
  EXPECT_EQ(result.key->name, "key of ann");
  EXPECT_EQ(result.key->create_time_ms, 1000);
}

TEST_F(ApiKeyRegistryTest, AnIdBelongsToOneKey) {
  EXPECT_EQ(Create(MakeKey("a")), ResultCode::kOk);
  KeyRecord other = MakeKey("a");
  other.digest[31] ^= 1;
  EXPECT_EQ(Create(other), ResultCode::kKeyRefused);
  EXPECT_EQ(machine_.api_keys()->Find("a")->digest, MakeKey("a").digest);
}

TEST_F(ApiKeyRegistryTest, InvalidKeysAreRefused) {
  struct Case {
    const char* what;
    void (*change)(log::v1::CreateKey*);
  };
  const Case cases[] = {
      {"no id", [](log::v1::CreateKey* key) { key->clear_id(); }},
      {"a long id", [](log::v1::CreateKey* key) { key->set_id(std::string(65, 'i')); }},
      {"no digest", [](log::v1::CreateKey* key) { key->clear_digest(); }},
      {"a short digest", [](log::v1::CreateKey* key) { key->set_digest(std::string(31, 'd')); }},
      {"a long digest", [](log::v1::CreateKey* key) { key->set_digest(std::string(33, 'd')); }},
      {"a long name", [](log::v1::CreateKey* key) { key->set_name(std::string(129, 'n')); }},
      {"a long owner", [](log::v1::CreateKey* key) { key->set_owner_id(std::string(129, 'o')); }},
      {"no type", [](log::v1::CreateKey* key) { key->clear_type(); }},
      {"type 4", [](log::v1::CreateKey* key) { key->set_type(4); }},
      {"type 4294967295", [](log::v1::CreateKey* key) { key->set_type(UINT32_MAX); }},
      {"no scopes", [](log::v1::CreateKey* key) { key->clear_scopes(); }},
      {"an unknown scope", [](log::v1::CreateKey* key) { key->set_scopes(1 | 1 << 11); }},
      {"an empty queue", [](log::v1::CreateKey* key) { key->add_queues(""); }},
      {"a long queue", [](log::v1::CreateKey* key) { key->add_queues(std::string(130, 'q')); }},
      {"queues out of order",
       [](log::v1::CreateKey* key) {
         key->add_queues("b");
         key->add_queues("a");
       }},
      {"a queue twice",
       [](log::v1::CreateKey* key) {
         key->add_queues("a");
         key->add_queues("a");
       }},
      {"101 queues",
       [](log::v1::CreateKey* key) {
         for (int i = 100; i <= 200; ++i) key->add_queues(std::to_string(i));
       }},
  };
  for (const Case& c : cases) {
    log::v1::CommandBatch batch = BatchBuilder(1000).CreateKey(MakeKey("a")).batch();
    c.change(batch.mutable_commands(0)->mutable_create_key());
    Effects effects;
    machine_.Apply(machine_.applied_index().Next(), batch.SerializeAsString(), &effects);
    EXPECT_EQ(effects.results.at(0).code, ResultCode::kKeyRefused) << c.what;
    EXPECT_EQ(effects.results.at(0).key, nullptr) << c.what;
  }
  EXPECT_TRUE(machine_.api_keys()->empty());
}

TEST_F(ApiKeyRegistryTest, ARevokedKeyIsRevokedForGood) {
  Create(MakeKey("a"));
  CommandResult result = Apply(BatchBuilder(2000).RevokeKey("a"));
  EXPECT_EQ(result.code, ResultCode::kOk);
  EXPECT_EQ(result.key->revoke_time_ms, 2000);
  result = Apply(BatchBuilder(3000).RevokeKey("a"));
  EXPECT_EQ(result.code, ResultCode::kOk) << "again";
  EXPECT_EQ(result.key->revoke_time_ms, 2000);
  result = Apply(BatchBuilder(4000).CreateKey(MakeKey("a")));
  EXPECT_EQ(result.code, ResultCode::kExisting) << "a creation that comes late";
  EXPECT_TRUE(result.key->revoked());
  EXPECT_TRUE(machine_.api_keys()->Find("a")->revoked());
}

TEST_F(ApiKeyRegistryTest, ARevocationAtTheBeginningOfTimeCounts) {
  Create(MakeKey("a"), 0);
  Apply(BatchBuilder(0).RevokeKey("a").UseKeys({"a"}));
  EXPECT_TRUE(machine_.api_keys()->Find("a")->revoked());
  StateMachine restored;
  EXPECT_TRUE(
      Restore(TakeImage(machine_), machine_.applied_index(), machine_.Digest(), &restored).ok());
}

TEST_F(ApiKeyRegistryTest, OnlyTheOwnerIfOneIsNamed) {
  Create(MakeKey("a", "ann"));
  EXPECT_EQ(Apply(BatchBuilder(2000).RevokeKey("a", "bob")).code, ResultCode::kNotFound);
  EXPECT_EQ(Apply(BatchBuilder(2000).RevokeKey("b", "ann")).code, ResultCode::kNotFound);
  EXPECT_FALSE(machine_.api_keys()->Find("a")->revoked());
  EXPECT_EQ(Apply(BatchBuilder(2000).RevokeKey("a", "ann")).code, ResultCode::kOk);
  EXPECT_TRUE(machine_.api_keys()->Find("a")->revoked());
}

TEST_F(ApiKeyRegistryTest, ValidKeysAreLimited) {
  BatchBuilder batch(1000);
  for (size_t i = 0; i < kKeysMax; ++i) batch.CreateKey(MakeKey("k" + std::to_string(i)));
  EXPECT_EQ(Apply(batch).code, ResultCode::kOk);
  EXPECT_EQ(Create(MakeKey("one more")), ResultCode::kTooManyKeys);
  EXPECT_EQ(Create(MakeKey("k7")), ResultCode::kExisting) << "not one more";
  Apply(BatchBuilder(2000).RevokeKey("k7"));
  EXPECT_EQ(Create(MakeKey("one more")), ResultCode::kOk);
  EXPECT_EQ(Create(MakeKey("and another")), ResultCode::kTooManyKeys);
  StateMachine restored;
  EXPECT_TRUE(
      Restore(TakeImage(machine_), machine_.applied_index(), machine_.Digest(), &restored).ok());
}

TEST_F(ApiKeyRegistryTest, TheOldestRevokedKeysAreForgotten) {
  Create(MakeKey("first"));
  Create(MakeKey("second"));
  Apply(BatchBuilder(1000).RevokeKey("second"));
  Apply(BatchBuilder(1001).RevokeKey("first"));
  BatchBuilder batch(2000);
  for (size_t i = 0; i + 1 < kRevokedKeysMax; ++i) {
    const std::string id = "k" + std::to_string(i);
    batch.CreateKey(MakeKey(id)).RevokeKey(id);
  }
  Apply(batch);
  EXPECT_EQ(machine_.api_keys()->size(), kRevokedKeysMax);
  EXPECT_EQ(machine_.api_keys()->Find("second"), nullptr);
  EXPECT_NE(machine_.api_keys()->Find("first"), nullptr);
  EXPECT_EQ(Apply(BatchBuilder(2000).RevokeKey("second")).code, ResultCode::kNotFound);
  StateMachine restored;
  EXPECT_TRUE(
      Restore(TakeImage(machine_), machine_.applied_index(), machine_.Digest(), &restored).ok());
}

TEST_F(ApiKeyRegistryTest, AUseIsRecordedAndUnknownIdsAreIgnored) {
  Create(MakeKey("a"));
  Create(MakeKey("b"));
  Apply(BatchBuilder(1500).RevokeKey("b"));
  const CommandResult result = Apply(BatchBuilder(2000).UseKeys({"a", "nobody", "", "b"}));
  EXPECT_EQ(result.code, ResultCode::kOk);
  v1::ListKeysResponse keys;
  EXPECT_TRUE(machine_.ListKeys({.revoked = true}, &keys).ok());
  ASSERT_EQ(keys.keys_size(), 2);
  EXPECT_EQ(keys.keys(0).last_use_time().seconds(), 2);
  EXPECT_EQ(keys.keys(1).last_use_time().seconds(), 2);
  EXPECT_TRUE(keys.keys(1).has_revoke_time());
}

TEST_F(ApiKeyRegistryTest, TheTableIsTheSameUntilMoreThanAUseChanges) {
  EXPECT_TRUE(machine_.api_keys()->empty());
  KeyTablePtr before = machine_.api_keys();
  Create(MakeKey("a"));
  EXPECT_NE(machine_.api_keys(), before);
  EXPECT_EQ(before->Find("a"), nullptr) << "a table that is held does not change";
  before = machine_.api_keys();
  Apply(BatchBuilder(2000).UseKeys({"a"}).Enqueue(MakeJob("job")));
  Create(MakeKey("a"));
  Apply(BatchBuilder(2000).RevokeKey("nobody"));
  EXPECT_EQ(machine_.api_keys(), before);
  Apply(BatchBuilder(2000).RevokeKey("a"));
  EXPECT_NE(machine_.api_keys(), before);
  EXPECT_FALSE(before->Find("a")->revoked());
  before = machine_.api_keys();
  Apply(BatchBuilder(2000).RevokeKey("a"));
  EXPECT_EQ(machine_.api_keys(), before);
}

TEST_F(ApiKeyRegistryTest, ListsAreByTimeAndOfOneOwner) {
  Create(MakeKey("z", "ann"), 1000);
  Create(MakeKey("y", "bob"), 2000);
  Create(MakeKey("x", "ann"), 2000);
  Apply(BatchBuilder(3000).RevokeKey("z"));
  EXPECT_THAT(Listed(machine_), ElementsAre("x", "y"));
  EXPECT_THAT(Listed(machine_, "", true), ElementsAre("z", "x", "y"));
  EXPECT_THAT(Listed(machine_, "ann"), ElementsAre("x"));
  EXPECT_THAT(Listed(machine_, "ann", true), ElementsAre("z", "x"));
  EXPECT_THAT(Listed(machine_, "carl", true), ElementsAre());
}

TEST_F(ApiKeyRegistryTest, EveryFieldIsInTheDigest) {
  const auto digest_of = [](const KeyRecord& key, auto... more) {
    StateMachine machine;
    BatchBuilder batch(1000);
    batch.CreateKey(key);
    (..., more(batch));
    EXPECT_EQ(ApplyNext(machine, batch)[0].code, ResultCode::kOk);
    EXPECT_EQ(machine.Digest(), machine.RecomputeDigest());
    return machine.Digest();
  };
  std::vector<uint64_t> digests = {digest_of(MakeKey("a")), digest_of(MakeKey("b"))};
  const auto with = [&](auto change) {
    KeyRecord key = MakeKey("a");
    change(key);
    digests.push_back(digest_of(key));
  };
  with([](KeyRecord& key) { key.digest[0] ^= 1; });
  with([](KeyRecord& key) { key.name += "x"; });
  with([](KeyRecord& key) { key.owner_id += "x"; });
  with([](KeyRecord& key) { key.type = v1::KEY_TYPE_WORKER; });
  with([](KeyRecord& key) { key.scopes = 1; });
  with([](KeyRecord& key) { key.queues = {"q"}; });
  with([](KeyRecord& key) { key.queues = {"q", "r"}; });
  digests.push_back(digest_of(MakeKey("a"), [](BatchBuilder& b) { b.RevokeKey("a"); }));
  digests.push_back(digest_of(MakeKey("a"), [](BatchBuilder& b) { b.UseKeys({"a"}); }));
  std::sort(digests.begin(), digests.end());
  EXPECT_EQ(std::unique(digests.begin(), digests.end()), digests.end());
}

}  // namespace
}  // namespace dqueue::queue
