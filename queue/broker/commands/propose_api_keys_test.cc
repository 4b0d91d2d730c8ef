// Calls about API keys: their answers, and when these are given.
#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/broker/testing/broker_fixture.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;

class BrokerKeysTest : public BrokerTest {
 protected:
  static std::string IdOf(char c) { return "client_" + std::string(12, c); }
  static CreateKeyOrder Order(char c, const std::string& owner = "ann") {
    return {MakeKey(IdOf(c), owner)};
  }
  ReplyPtr<v1::Key> Create(CreateKeyOrder order, QueueAccessPtr access = nullptr) {
    CreateKeyCall call;
    call.request = std::move(order);
    call.access = std::move(access);
    const auto reply = SubmitCall(std::move(call));
    Run();
    return reply;
  }
  ReplyPtr<v1::Key> Revoke(const std::string& id, const std::string& owner = "") {
    const auto reply = Submit<RevokeKeyCall>({.id = id, .owner_id = owner});
    Run();
    return reply;
  }
  std::vector<std::string> List(const std::string& owner = "", bool revoked = false) {
    const auto reply = Submit<ListKeysCall>({.owner_id = owner, .revoked = revoked});
    Run();
    EXPECT_EQ(reply->reason(), "OK");
    std::vector<std::string> ids;
    for (const v1::Key& key : reply->value().keys()) ids.push_back(key.id());
    return ids;
  }
};

TEST_F(BrokerKeysTest, AKeyIsAnsweredWhenItIsApplied) {
  CreateKeyOrder order = Order('a');
  order.key.queues = {"shop-*", "mail"};
  const auto reply = Submit<CreateKeyCall>(order);
  EXPECT_EQ(Take(), 1u);
  EXPECT_FALSE(reply->answered());
  CommitAll();
  ASSERT_EQ(reply->reason(), "OK");
  const v1::Key& key = reply->value();
  EXPECT_EQ(key.id(), IdOf('a'));
  EXPECT_EQ(key.name(), "key of ann");
  EXPECT_EQ(key.owner_id(), "ann");
  EXPECT_EQ(key.type(), v1::KEY_TYPE_CLIENT);
  EXPECT_THAT(key.scopes(), ElementsAre("jobs:submit", "jobs:read", "keys:revoke", "keys:read"));
  EXPECT_THAT(key.queues(), ElementsAre("mail", "shop-*"));
  EXPECT_EQ(key.create_time().seconds(), kStartMs / 1000);
  EXPECT_FALSE(key.has_revoke_time());
  EXPECT_EQ(state_->api_keys()->Find(IdOf('a'))->digest, order.key.digest);
}

TEST_F(BrokerKeysTest, ARepeatedCreationIsAnsweredAlike) {
  const auto first = Create(Order('a'));
  Advance(5s);
  const auto again = Create(Order('a'));
  ASSERT_EQ(again->reason(), "OK");
  EXPECT_EQ(again->value().SerializeAsString(), first->value().SerializeAsString());
  CreateKeyOrder other = Order('a');
  other.key.digest[0] ^= 1;
  const auto refused = Create(other);
  EXPECT_EQ(refused->reason(), "KEY_EXISTS");
  EXPECT_EQ(refused->error().code, absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(refused->error().metadata.at("id"), IdOf('a'));
}

TEST_F(BrokerKeysTest, ARevocationIsRepeatable) {
  Create(Order('a'));
  Advance(5s);
  const auto first = Revoke(IdOf('a'), "ann");
  ASSERT_EQ(first->reason(), "OK");
  EXPECT_EQ(first->value().revoke_time().seconds(), kStartMs / 1000 + 5);
  Advance(5s);
  const auto again = Revoke(IdOf('a'));
  ASSERT_EQ(again->reason(), "OK");
  EXPECT_EQ(again->value().SerializeAsString(), first->value().SerializeAsString());
}

TEST_F(BrokerKeysTest, AnothersKeyIsNotFound) {
  Create(Order('a', "ann"));
  const auto unknown = Revoke(IdOf('b'), "bob");
  const auto anothers = Revoke(IdOf('a'), "bob");
  EXPECT_EQ(unknown->reason(), "KEY_NOT_FOUND");
  EXPECT_EQ(anothers->reason(), "KEY_NOT_FOUND");
  EXPECT_EQ(anothers->error().code, absl::StatusCode::kNotFound);
  EXPECT_EQ(anothers->error().metadata.at("id"), IdOf('a'));
  EXPECT_THAT(List(), ElementsAre(IdOf('a')));
}

TEST_F(BrokerKeysTest, TooManyKeys) {
  BatchBuilder fill(kStartMs);
  for (size_t i = 0; i < kKeysMax; ++i) fill.CreateKey(MakeKey("k" + std::to_string(i)));
  ApplyForeign(fill.batch());
  const auto reply = Create(Order('a'));
  EXPECT_EQ(reply->reason(), "TOO_MANY_KEYS");
  EXPECT_EQ(reply->error().code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(reply->error().metadata.at("limit"), "1000");
}

TEST_F(BrokerKeysTest, AListIsConfirmedAndOfOneOwner) {
  Create(Order('a', "ann"));
  Create(Order('b', "bob"));
  Revoke(IdOf('a'));
  const auto reply = Submit<ListKeysCall>({.owner_id = "", .revoked = true});
  EXPECT_FALSE(reply->answered()) << "before a round";
  EXPECT_TRUE(Begin());
  EndRound(/*confirmed=*/false);
  EXPECT_EQ(reply->reason(), "NO_LEADER");
  EXPECT_THAT(List(), ElementsAre(IdOf('b')));
  EXPECT_THAT(List("", true), ElementsAre(IdOf('a'), IdOf('b')));
  EXPECT_THAT(List("ann", true), ElementsAre(IdOf('a')));
  EXPECT_THAT(List("ann"), ElementsAre());
}

TEST_F(BrokerKeysTest, UsesAreNoted) {
  Create(Order('a'));
  Advance(60s);
  const auto reply = Submit<UseKeysCall>({{IdOf('a'), IdOf('b')}});
  EXPECT_FALSE(reply->answered());
  Run();
  EXPECT_EQ(reply->reason(), "OK");
  v1::ListKeysResponse keys;
  EXPECT_TRUE(state_->ListKeys({}, &keys).ok());
  ASSERT_EQ(keys.keys_size(), 1);
  EXPECT_EQ(keys.keys(0).last_use_time().seconds(), kStartMs / 1000 + 60);
}

TEST_F(BrokerKeysTest, BadOrdersAreRefusedAtOnce) {
  const auto create = Submit<CreateKeyCall>({});
  EXPECT_EQ(create->reason(), "INVALID_FIELD");
  EXPECT_EQ(create->error().metadata.at("field"), "name");
  EXPECT_EQ(Submit<RevokeKeyCall>({})->reason(), "INVALID_FIELD");
  EXPECT_EQ(Submit<ListKeysCall>({.owner_id = "\n"})->reason(), "INVALID_FIELD");
  EXPECT_EQ(Submit<UseKeysCall>({})->reason(), "INVALID_FIELD");
  EXPECT_EQ(Take(), 0u);
}

TEST_F(BrokerKeysTest, WithoutLeadershipNothingIsKnown) {
  StepDown();
  EXPECT_EQ(Submit<CreateKeyCall>(Order('a'))->reason(), "NOT_LEADER");
  EXPECT_EQ(Submit<RevokeKeyCall>({.id = IdOf('a'), .owner_id = ""})->reason(), "NOT_LEADER");
  EXPECT_EQ(Submit<ListKeysCall>({})->reason(), "NOT_LEADER");
  EXPECT_EQ(Submit<UseKeysCall>({{IdOf('a')}})->reason(), "NOT_LEADER");
}

TEST_F(BrokerKeysTest, ALostBatchMayHaveHadItsEffect) {
  const auto create = Submit<CreateKeyCall>(Order('a'));
  Take();
  LoseOne();
  EXPECT_EQ(create->reason(), "COMMIT_UNKNOWN");
}

TEST_F(BrokerKeysTest, NobodyGivesAwayMoreThanHeHas) {
  const auto access =
      std::make_shared<const QueueAccess>(std::vector<std::string>{"mail", "shop-*"});
  struct Case {
    std::vector<std::string> queues;
    std::string told;
  };
  const Case cases[] = {
      {{}, "*"},
      {{"*"}, "*"},
      {{"mail", "shop-1", "shop-", "shop-*", "shop-eu-*"}, "OK"},
      {{"mail*"}, "mail*"},
      {{"mail", "post"}, "post"},
      {{"shop*"}, "shop*"},
      {{"shop"}, "shop"},
  };
  char c = 'a';
  for (const Case& each : cases) {
    CreateKeyOrder order = Order(c++);
    order.key.queues = each.queues;
    const auto reply = Create(order, access);
    if (each.told == "OK") {
      EXPECT_EQ(reply->reason(), "OK");
      continue;
    }
    EXPECT_EQ(reply->reason(), "QUEUE_DENIED");
    EXPECT_EQ(reply->error().metadata.at("queue"), each.told);
  }
  EXPECT_EQ(List().size(), 1u);
}

}  // namespace
}  // namespace dqueue::queue
