// Requests about keys with every kind of bad value: the exact field, value and limit.
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"

namespace dqueue::queue {
namespace {

constexpr char kText[] = "1 to 128 bytes of printable UTF-8";
constexpr char kAnyId[] = "client_, worker_ or admin_ and 12 characters of A-Z a-z 0-9";
constexpr char kClientId[] = "client_ and 12 characters of A-Z a-z 0-9";
constexpr char kPattern[] =
    "1 to 128 characters of A-Z a-z 0-9 . _ - that do not start with _, or a beginning of one "
    "and *";
constexpr char kScopes[] = "at least one of the known scopes (bits 1 to 2047)";

std::string Told(const std::optional<Error>& error) {
  if (!error) return "fine";
  EXPECT_EQ(error->code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error->reason, "INVALID_FIELD");
  EXPECT_LE(error->metadata.at("value").size(), 80u);
  return error->metadata.at("field") + " = " + error->metadata.at("value") + " | " +
         error->metadata.at("limit");
}

CreateKeyOrder Good() {
  CreateKeyOrder order;
  order.key.id = "client_AZaz09bcdefg";
  order.key.digest.fill(7);
  order.key.name = "shop";
  order.key.owner_id = "ann";
  order.key.type = v1::KEY_TYPE_CLIENT;
  order.key.scopes = DefaultScopes(v1::KEY_TYPE_CLIENT);
  return order;
}

struct Case {
  const char* name;
  std::function<void(KeyRecord&)> change;
  std::string told;
};

TEST(ValidateKey, Create) {
  const std::string long_name(129, 'q');
  const std::vector<Case> cases = {
      {"as it is", [](KeyRecord&) {}, "fine"},
      {"no name", [](KeyRecord& k) { k.name = ""; }, std::string("name = \"\" | ") + kText},
      {"128 bytes", [](KeyRecord& k) { k.name.assign(128, 'n'); }, "fine"},
      {"129 bytes", [](KeyRecord& k) { k.name.assign(129, ' '); },
       "name = \"" + std::string(75, ' ') + "\"... | " + kText},
      {"spaces and umlauts", [](KeyRecord& k) { k.name = "M\xc3\xbcller & Co \xf0\x9f\x98\x80"; },
       "fine"},
      {"no UTF-8", [](KeyRecord& k) { k.name = "a\xff"; },
       std::string("name = \"a\\xff\" | ") + kText},
      {"a line end", [](KeyRecord& k) { k.name = "a\nb"; },
       std::string("name = \"a\\nb\" | ") + kText},
      {"a zero byte", [](KeyRecord& k) { k.name = std::string("\0", 1); },
       std::string("name = \"\\x00\" | ") + kText},
      {"U+007F", [](KeyRecord& k) { k.name = "\x7f"; }, std::string("name = \"\\x7f\" | ") + kText},
      {"U+0085", [](KeyRecord& k) { k.name = "\xc2\x85"; },
       std::string("name = \"\\xc2\\x85\" | ") + kText},
      {"U+00A0", [](KeyRecord& k) { k.name = "\xc2\xa0"; }, "fine"},
      {"no owner", [](KeyRecord& k) { k.owner_id = ""; },
       std::string("owner_id = \"\" | ") + kText},
      {"an owner with a tab", [](KeyRecord& k) { k.owner_id = "a\tb"; },
       std::string("owner_id = \"a\\x09b\" | ") + kText},
      {"no type", [](KeyRecord& k) { k.type = v1::KEY_TYPE_UNSPECIFIED; },
       "type = 0 | CLIENT (1), WORKER (2) or ADMIN (3)"},
      {"type 4", [](KeyRecord& k) { k.type = static_cast<v1::KeyType>(4); },
       "type = 4 | CLIENT (1), WORKER (2) or ADMIN (3)"},
      {"no scopes", [](KeyRecord& k) { k.scopes = 0; }, std::string("scopes = 0 | ") + kScopes},
      {"all scopes", [](KeyRecord& k) { k.scopes = kAllScopes; }, "fine"},
      {"an unknown scope", [](KeyRecord& k) { k.scopes = kAllScopes + 1; },
       std::string("scopes = 2048 | ") + kScopes},
      {"names and beginnings",
       [](KeyRecord& k) {
         k.queues = {"b", "a-*", "a", "*"};
       },
       "fine"},
      {"the longest",
       [&](KeyRecord& k) {
         k.queues = {long_name.substr(1), long_name.substr(1) + "*"};
       },
       "fine"},
      {"100 queues",
       [](KeyRecord& k) {
         for (int i = 0; i < 100; ++i) k.queues.push_back(std::to_string(i));
       },
       "fine"},
      {"101 queues",
       [](KeyRecord& k) {
         for (int i = 0; i < 101; ++i) k.queues.push_back(std::to_string(i));
       },
       "queues = 101 names | at most 100 names"},
      {"an empty queue",
       [](KeyRecord& k) {
         k.queues = {"a", ""};
       },
       std::string("queues[1] = \"\" | ") + kPattern},
      {"two stars", [](KeyRecord& k) { k.queues = {"a**"}; },
       std::string("queues[0] = \"a**\" | ") + kPattern},
      {"a star inside", [](KeyRecord& k) { k.queues = {"a*b"}; },
       std::string("queues[0] = \"a*b\" | ") + kPattern},
      {"a reserved name", [](KeyRecord& k) { k.queues = {"_a*"}; },
       std::string("queues[0] = \"_a*\" | ") + kPattern},
      {"a long name", [&](KeyRecord& k) { k.queues = {long_name}; },
       "queues[0] = \"" + std::string(75, 'q') + "\"... | " + kPattern},
      {"a queue twice",
       [](KeyRecord& k) {
         k.queues = {"a", "b", "a"};
       },
       "queues[2] = \"a\" | another one than those before it"},
      {"no id", [](KeyRecord& k) { k.id = ""; }, std::string("id = \"\" | ") + kClientId},
      {"the id of a worker", [](KeyRecord& k) { k.id = "worker_AZaz09bcdefg"; },
       std::string("id = \"worker_AZaz09bcdefg\" | ") + kClientId},
      {"a worker", [](KeyRecord& k) { k.id = "worker_AZaz09bcdefg", k.type = v1::KEY_TYPE_WORKER; },
       "fine"},
      {"an admin", [](KeyRecord& k) { k.id = "admin_AZaz09bcdefg", k.type = v1::KEY_TYPE_ADMIN; },
       "fine"},
      {"11 characters", [](KeyRecord& k) { k.id = "client_AZaz09bcdef"; },
       std::string("id = \"client_AZaz09bcdef\" | ") + kClientId},
      {"13 characters", [](KeyRecord& k) { k.id += "h"; },
       std::string("id = \"client_AZaz09bcdefgh\" | ") + kClientId},
      {"another character", [](KeyRecord& k) { k.id.back() = '-'; },
       std::string("id = \"client_AZaz09bcdef-\" | ") + kClientId},
      {"no digest", [](KeyRecord& k) { k.digest.fill(0); },
       "digest = all zeros | the SHA-256 of the key"},
  };
  for (const Case& c : cases) {
    CreateKeyOrder order = Good();
    c.change(order.key);
    EXPECT_EQ(Told(CheckRequest(order)), c.told) << c.name;
  }
}

// Before there is an id.
TEST(ValidateKey, KeyWithoutIdAndDigest) {
  KeyRecord key = Good().key;
  key.id = "";
  key.digest.fill(0);
  EXPECT_EQ(Told(CheckKey(key)), "fine");
  key.name = "";
  EXPECT_EQ(Told(CheckKey(key)), std::string("name = \"\" | ") + kText);
}

TEST(ValidateKey, ListRevokeAndUse) {
  EXPECT_EQ(Told(CheckRequest(ListKeysOrder{})), "fine");
  EXPECT_EQ(Told(CheckRequest(ListKeysOrder{.owner_id = "ann"})), "fine");
  EXPECT_EQ(Told(CheckRequest(ListKeysOrder{.owner_id = "\x01"})),
            std::string("owner_id = \"\\x01\" | ") + kText);
  EXPECT_EQ(Told(CheckRequest(ListKeysOrder{.page_size = 1001})), "page_size = 1001 | 0 to 1000");

  const std::string id = "admin_000000000000";
  EXPECT_EQ(Told(CheckRequest(RevokeKeyOrder{.id = id, .owner_id = ""})), "fine");
  EXPECT_EQ(Told(CheckRequest(RevokeKeyOrder{.id = id, .owner_id = "ann"})), "fine");
  EXPECT_EQ(Told(CheckRequest(RevokeKeyOrder{.id = "admin_", .owner_id = ""})),
            std::string("id = \"admin_\" | ") + kAnyId);
  EXPECT_EQ(Told(CheckRequest(RevokeKeyOrder{.id = id, .owner_id = std::string(129, 'o')})),
            "owner_id = \"" + std::string(75, 'o') + "\"... | " + kText);

  EXPECT_EQ(Told(CheckRequest(UseKeysOrder{{id, id}})), "fine");
  EXPECT_EQ(Told(CheckRequest(UseKeysOrder{{}})), "ids = 0 items | 1 to 1000 items");
  EXPECT_EQ(Told(CheckRequest(UseKeysOrder{std::vector<std::string>(1001, id)})),
            "ids = 1001 items | 1 to 1000 items");
  EXPECT_EQ(Told(CheckRequest(UseKeysOrder{{id, "job-1"}})),
            std::string("ids[1] = \"job-1\" | ") + kAnyId);
}

}  // namespace
}  // namespace dqueue::queue
