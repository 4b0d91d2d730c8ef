#include "client/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace dqueue::client {
namespace {

using namespace std::chrono_literals;

TEST(Convert, EveryFieldOfASpec) {
  JobSpec spec;
  spec.id = "job-1";
  spec.queue = "mail";
  spec.type = "welcome";
  spec.payload = std::string("\x00\xff{}", 4);
  spec.priority = 7;
  spec.run_time = WallTime(1700000000s + 1500us);
  spec.delay = 1250ms;
  spec.expire_time = WallTime(1800000000s);
  spec.retry = {3, RetryPolicy::Backoff::kLinear, 20ms, 4s, 0.5, 6};
  spec.idempotency_key = "key";
  spec.idempotency_window = 60s;
  spec.ordering_key = "customer-9";
  spec.headers = {{"a", "1"}, {"b", "2"}};
  spec.labels = {{"team", "x"}};
  spec.retention = 0ms;
  spec.lease_duration = 5s;
  v1::JobSpec proto;
  ToProto(std::move(spec), &proto);
  EXPECT_EQ(proto.id(), "job-1");
  EXPECT_EQ(proto.queue(), "mail");
  EXPECT_EQ(proto.type(), "welcome");
  EXPECT_EQ(proto.payload(), std::string("\x00\xff{}", 4));
  EXPECT_EQ(proto.priority(), 7);
  EXPECT_EQ(proto.run_time().seconds(), 1700000000);
  EXPECT_EQ(proto.run_time().nanos(), 1500000);
  EXPECT_EQ(proto.delay().seconds(), 1);
  EXPECT_EQ(proto.delay().nanos(), 250000000);
  EXPECT_EQ(proto.expire_time().seconds(), 1800000000);
  EXPECT_EQ(proto.retry().max_retries(), 3);
  EXPECT_EQ(proto.retry().backoff(), v1::RetryPolicy::BACKOFF_LINEAR);
  EXPECT_EQ(proto.retry().base().nanos(), 20000000);
  EXPECT_EQ(proto.retry().max_delay().seconds(), 4);
  EXPECT_EQ(proto.retry().jitter(), 0.5);
  EXPECT_EQ(proto.retry().max_expirations(), 6);
  EXPECT_EQ(proto.idempotency_key(), "key");
  EXPECT_EQ(proto.idempotency_window().seconds(), 60);
  EXPECT_EQ(proto.ordering_key(), "customer-9");
  EXPECT_EQ(proto.headers().at("b"), "2");
  EXPECT_EQ(proto.labels().at("team"), "x");
  EXPECT_TRUE(proto.has_retention());
  EXPECT_EQ(proto.retention().seconds(), 0);
  EXPECT_EQ(proto.lease_duration().seconds(), 5);
}

TEST(Convert, UnsetFieldsAreNotSent) {
  JobSpec spec;
  spec.id = "x";
  v1::JobSpec proto;
  ToProto(std::move(spec), &proto);
  EXPECT_EQ(proto.ByteSizeLong(), 3u) << proto.DebugString();
}

TEST(Convert, TimesBeforeTheEpoch) {
  JobSpec spec;
  spec.run_time = WallTime(-1500ms);
  v1::JobSpec proto;
  ToProto(std::move(spec), &proto);
  EXPECT_EQ(proto.run_time().seconds(), -2);
  EXPECT_EQ(proto.run_time().nanos(), 500000000);
  // The least time of this type is in the range of Timestamp, which begins with the year 1.
  JobSpec least;
  least.run_time = WallTime::min();
  ToProto(std::move(least), &proto);
  EXPECT_GT(proto.run_time().seconds(), -62'135'596'800);
  EXPECT_GE(proto.run_time().nanos(), 0);
}

TEST(Convert, AJob) {
  v1::Job proto;
  proto.set_id("job-1");
  proto.set_payload("{}");
  proto.set_state(v1::JOB_STATE_DEAD);
  proto.mutable_create_time()->set_seconds(10);
  proto.mutable_retry()->set_max_retries(4);
  proto.mutable_counters()->set_delivered(3);
  proto.mutable_counters()->set_failed(2);
  proto.mutable_counters()->set_expired(1);
  proto.set_dead_reason(v1::DEAD_REASON_LEASE_EXPIRED);
  proto.mutable_lease()->mutable_token()->set_term(5);
  proto.mutable_lease()->mutable_token()->set_sequence(6);
  proto.mutable_lease()->set_worker_id("w");
  proto.mutable_lease()->mutable_remaining()->set_seconds(2);
  proto.mutable_lease_duration()->set_seconds(7);
  const Job job = FromProto(std::move(proto));
  EXPECT_EQ(job.id, "job-1");
  EXPECT_EQ(job.payload, "{}");
  EXPECT_EQ(job.state, JobState::kDead);
  EXPECT_EQ(job.create_time, WallTime(10s));
  EXPECT_EQ(job.run_time, std::nullopt);
  EXPECT_EQ(job.max_retries, 4);
  EXPECT_EQ(job.delivered, 3);
  EXPECT_EQ(job.failed, 2);
  EXPECT_EQ(job.expired, 1);
  EXPECT_EQ(job.dead_reason, "LEASE_EXPIRED");
  EXPECT_EQ(job.token, (FencingToken{5, 6}));
  EXPECT_EQ(job.worker_id, "w");
  EXPECT_EQ(job.lease_remaining, 2s);
  EXPECT_EQ(job.lease_duration, 7s);
  EXPECT_EQ(FromProto(v1::Job()).lease_duration, std::nullopt);
}

TEST(Convert, StatusOfAnItem) {
  google::rpc::Status proto;
  EXPECT_TRUE(FromRpcStatus(proto).ok());
  proto.set_code(9);
  proto.set_message("over");
  google::rpc::ErrorInfo info;
  info.set_reason("LEASE_STALE");
  proto.add_details()->PackFrom(info);
  const Status status = FromRpcStatus(proto);
  EXPECT_EQ(status.code, Code::kFailedPrecondition);
  EXPECT_EQ(status.reason, "LEASE_STALE");
  EXPECT_EQ(status.message, "over");
}

TEST(Utf8, TheMiddleIsCut) {
  EXPECT_EQ(MakeUtf8Middle("short", 64), "short");
  EXPECT_EQ(MakeUtf8Middle("a\xff", 64), "a?");
  const std::string exact(100, 'x');
  EXPECT_EQ(MakeUtf8Middle(exact, 100), exact);
  const std::string text = MakeUtf8Middle("first " + std::string(5000, 'x') + " last", 100);
  EXPECT_LE(text.size(), 100u);
  EXPECT_THAT(text, testing::StartsWith("first xxx"));
  EXPECT_THAT(text, testing::EndsWith("xx last"));
  // The bytes shown and the bytes that the mark counts add up to the whole text.
  const size_t at = text.find(" […") + 1;
  const size_t mark = std::string("[… bytes cut…] ").size() + 4 + 1;
  EXPECT_EQ(std::stoul(text.substr(at + std::string("[…").size())) + text.size() - mark, 5011u)
      << text;
  // No character is cut into two.
  for (size_t max = 64; max < 80; ++max) {
    std::string umlauts;
    for (int i = 0; i < 200; ++i) umlauts += "ä";
    const std::string cut = MakeUtf8Middle(umlauts, max);
    EXPECT_TRUE(IsUtf8(cut)) << cut;
    EXPECT_LE(cut.size(), max);
  }
}

TEST(Utf8, GoodAndBad) {
  for (const std::string good :
       {"", "abc", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa4z"}) {
    EXPECT_TRUE(IsUtf8(good)) << testing::PrintToString(good);
    EXPECT_EQ(MakeUtf8(good, 100), good);
  }
  for (const std::string bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z",
                                "\xe0\x9f\xbf", "\xe1\x80", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "ok\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bad)) << testing::PrintToString(bad);
    EXPECT_TRUE(IsUtf8(MakeUtf8(bad, 100))) << testing::PrintToString(bad);
  }
  EXPECT_EQ(MakeUtf8("a\xff\xc3\xa4", 100), "a?\xc3\xa4");
  EXPECT_EQ(MakeUtf8("ab\xc3\xa4", 3), "ab");
  EXPECT_EQ(MakeUtf8("ab\xc3\xa4", 4), "ab\xc3\xa4");
}

TEST(Utf8, NamesTheFieldOfASpec) {
  const std::string bad = "\xff";
  EXPECT_EQ(FieldNotUtf8({.payload = bad}), "") << "payloads are bytes";
  EXPECT_EQ(FieldNotUtf8({.id = bad}), "id");
  EXPECT_EQ(FieldNotUtf8({.queue = bad}), "queue");
  EXPECT_EQ(FieldNotUtf8({.type = bad}), "type");
  EXPECT_EQ(FieldNotUtf8({.idempotency_key = bad}), "idempotency_key");
  EXPECT_EQ(FieldNotUtf8({.ordering_key = bad}), "ordering_key");
  EXPECT_EQ(FieldNotUtf8({.headers = {{bad, "v"}}}), "headers");
  EXPECT_EQ(FieldNotUtf8({.headers = {{"k", bad}}}), "headers");
  EXPECT_EQ(FieldNotUtf8({.labels = {{"k", bad}}}), "labels");
}

}  // namespace
}  // namespace dqueue::client
