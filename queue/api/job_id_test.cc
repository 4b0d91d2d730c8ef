#include "queue/api/job_id.h"

#include <regex>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace dqueue::queue {
namespace {

const char kVersion7[] = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
const char kVersion8[] = "[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

TEST(JobId, IsAUuidOfVersion7ThatBeginsWithTheTime) {
  JobIdGenerator ids(1);
  const std::string id = ids.Next(0x0123456789ab);
  EXPECT_TRUE(std::regex_match(id, std::regex(kVersion7))) << id;
  EXPECT_EQ(id.substr(0, 13), "01234567-89ab");
}

TEST(JobId, AscendsWithinAMillisecondAndWhenTheClockGoesBack) {
  JobIdGenerator ids(1);
  std::string last;
  for (int i = 0; i < 20000; ++i) {
    const std::string id = ids.Next(i < 10000 ? 1'700'000'000'000 : 1'600'000'000'000 - i);
    ASSERT_LT(last, id);
    last = id;
  }
}

TEST(JobId, NegativeTimeCountsAsZero) {
  JobIdGenerator ids(1);
  EXPECT_EQ(ids.Next(-5).substr(0, 13), "00000000-0000");
}

TEST(JobId, AnotherSeedGivesOtherIds) {
  JobIdGenerator a(1);
  JobIdGenerator b(2);
  JobIdGenerator c(1);
  const std::string id = a.Next(1000);
  EXPECT_NE(id, b.Next(1000));
  EXPECT_EQ(id, c.Next(1000));
  c.Reseed(3);
  EXPECT_NE(a.Next(1000), c.Next(1000));
}

TEST(JobId, DerivedIdsFollowFromRequestAndPositionOnly) {
  std::set<std::string> ids;
  for (const char* request : {"", "r", "r1", "r2", "request-with-a-longer-name-than-usual-0001"}) {
    for (uint64_t position = 0; position < 100; ++position) {
      const std::string id = DerivedJobId(request, position);
      ASSERT_TRUE(std::regex_match(id, std::regex(kVersion8))) << id;
      EXPECT_TRUE(ids.insert(id).second) << request << " " << position;
      EXPECT_EQ(id, DerivedJobId(request, position));
    }
  }
}

TEST(JobId, DerivedRequestKeysAre16BytesOfRequestAndPosition) {
  std::set<std::string> keys;
  for (const char* request : {"", "r", "r1", "r2"}) {
    for (uint64_t position = 0; position < 100; ++position) {
      const std::string key = DerivedRequestKey(request, position);
      ASSERT_EQ(key.size(), 16u);
      EXPECT_TRUE(keys.insert(key).second) << request << " " << position;
    }
  }
}

TEST(JobId, DerivedIdsNeverChange) {
  // A client that repeats a request after an upgrade must meet its jobs.
  EXPECT_EQ(DerivedJobId("order-7", 0), "bbffd254-f125-8495-84be-3969a8432c4d");
  EXPECT_EQ(DerivedJobId("order-7", 1), "b6a95dfa-a8a5-80f3-8b6f-f057673aeaa2");
}

}  // namespace
}  // namespace dqueue::queue
