// Each field with each kind of bad value: the error has the exact field, value and limit.
#include "queue/api/validate.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "queue/api/limits.h"

namespace dqueue::queue {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'000;
const std::string kLong(129, 'a');
const std::string kShownLong = "\"" + std::string(75, 'a') + "\"...";  // kLong as errors show it

// The field, value and limit of an error as one text; "valid" if there is none.
std::string Text(const std::optional<Error>& error) {
  if (!error) return "valid";
  EXPECT_EQ(error->code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error->message, error->metadata.at("field") + " must be " +
                                error->metadata.at("limit") + "; it is " +
                                error->metadata.at("value"));
  EXPECT_LE(error->metadata.at("value").size(), 80u);
  std::string text = error->metadata.at("field") + " = " + error->metadata.at("value") + " | " +
                     error->metadata.at("limit");
  if (error->reason != "INVALID_FIELD") text = error->reason + ": " + text;
  return text;
}

template <class Message>
struct Case {
  const char* name;
  std::function<void(Message*)> change;
  std::string expected;
};

using Duration = google::protobuf::Duration;
using Timestamp = google::protobuf::Timestamp;

void Set(Duration* d, int64_t seconds, int32_t nanos = 0) {
  d->set_seconds(seconds);
  d->set_nanos(nanos);
}
void Set(Timestamp* t, int64_t seconds, int32_t nanos = 0) {
  t->set_seconds(seconds);
  t->set_nanos(nanos);
}

const char kId[] = "1 to 128 characters of A-Z a-z 0-9 . _ : -";
const char kQueue[] = "1 to 128 characters of A-Z a-z 0-9 . _ - that do not start with _";
const char kType[] = "1 to 128 characters of A-Z a-z 0-9 . _ : / -";
const char kTime[] = "0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z with 0 to 999999999 ns";
const char kExpiry[] = "1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z with 0 to 999999999 ns";
const char kUtf8[] = "valid UTF-8";

std::string Is(const std::string& field, const std::string& value, const std::string& limit) {
  return field + " = " + value + " | " + limit;
}

using Spec = v1::JobSpec;

// Checks each case as jobs[7] of a request.
void CheckJobs(const std::vector<Case<Spec>>& cases) {
  for (const auto& c : cases) {
    Spec spec;
    c.change(&spec);
    EXPECT_EQ(Text(CheckJob(spec, 7, kNowMs)), c.expected) << c.name;
  }
}

TEST(Validate, JobNames) {
  CheckJobs({
      {"empty", [](Spec*) {}, "valid"},
      {"id", [](Spec* s) { s->set_id("A-z.0:_"); }, "valid"},
      {"id of 128", [](Spec* s) { s->set_id(std::string(128, 'x')); }, "valid"},
      {"id too long", [](Spec* s) { s->set_id(kLong); }, Is("jobs[7].id", kShownLong, kId)},
      {"id with slash", [](Spec* s) { s->set_id("a/b"); }, Is("jobs[7].id", "\"a/b\"", kId)},
      {"id with space", [](Spec* s) { s->set_id("a b"); }, Is("jobs[7].id", "\"a b\"", kId)},
      {"queue too long", [](Spec* s) { s->set_queue(kLong); },
       Is("jobs[7].queue", kShownLong, kQueue)},
      {"queue path", [](Spec* s) { s->set_queue("../x"); },
       Is("jobs[7].queue", "\"../x\"", kQueue)},
      {"queue NUL", [](Spec* s) { s->set_queue(std::string("a\0b", 3)); },
       Is("jobs[7].queue", "\"a\\x00b\"", kQueue)},
      {"queue newline", [](Spec* s) { s->set_queue("a\nb"); },
       Is("jobs[7].queue", "\"a\\nb\"", kQueue)},
      {"queue emoji", [](Spec* s) { s->set_queue("\xf0\x9f\x98\x80"); },
       Is("jobs[7].queue", "\"\\xf0\\x9f\\x98\\x80\"", kQueue)},
      {"queue not UTF-8", [](Spec* s) { s->set_queue("\xff"); },
       Is("jobs[7].queue", "\"\\xff\"", kQueue)},
      {"queue with underscore first", [](Spec* s) { s->set_queue("_sys"); },
       Is("jobs[7].queue", "\"_sys\"", kQueue)},
      {"queue with quote", [](Spec* s) { s->set_queue("a\"b\\"); },
       Is("jobs[7].queue", "\"a\\\"b\\\\\"", kQueue)},
      {"type with slash", [](Spec* s) { s->set_type("mail/send:v1"); }, "valid"},
      {"type with space", [](Spec* s) { s->set_type("mail send"); },
       Is("jobs[7].type", "\"mail send\"", kType)},
  });
}

TEST(Validate, JobPayloadAndPriority) {
  CheckJobs({
      {"payload at limit", [](Spec* s) { s->set_payload(std::string(kPayloadBytesMax, 'x')); },
       "valid"},
      {"payload over limit",
       [](Spec* s) { s->set_payload(std::string(kPayloadBytesMax + 1, 'x')); },
       "PAYLOAD_TOO_LARGE: jobs[7].payload = 1048577 bytes | at most 1048576 bytes"},
      {"payload of any bytes", [](Spec* s) { s->set_payload(std::string("\xff\0", 2)); }, "valid"},
      {"priority 255", [](Spec* s) { s->set_priority(255); }, "valid"},
      {"priority 256", [](Spec* s) { s->set_priority(256); },
       Is("jobs[7].priority", "256", "0 to 255")},
      {"priority -1", [](Spec* s) { s->set_priority(-1); },
       Is("jobs[7].priority", "-1", "0 to 255")},
      {"priority min", [](Spec* s) { s->set_priority(INT32_MIN); },
       Is("jobs[7].priority", "-2147483648", "0 to 255")},
  });
}

TEST(Validate, JobTimes) {
  CheckJobs({
      {"run_time past", [](Spec* s) { Set(s->mutable_run_time(), 0); }, "valid"},
      {"run_time ten years",
       [](Spec* s) { Set(s->mutable_run_time(), kNowMs / 1000 + 3653LL * 86400); }, "valid"},
      {"run_time beyond", [](Spec* s) { Set(s->mutable_run_time(), 2'015'619'200, 1); },
       Is("jobs[7].run_time", "2015619200 s 1 ns", "at most 3653 days ahead")},
      {"run_time before 1970", [](Spec* s) { Set(s->mutable_run_time(), -1); }, "valid"},
      {"run_time zero of other languages",
       [](Spec* s) { Set(s->mutable_run_time(), -62'135'596'800); }, "valid"},
      {"run_time before the year 1",
       [](Spec* s) { Set(s->mutable_run_time(), -62'135'596'801, 999'999'999); },
       Is("jobs[7].run_time", "-62135596801 s 999999999 ns", kTime)},
      {"run_time least", [](Spec* s) { Set(s->mutable_run_time(), INT64_MIN); },
       Is("jobs[7].run_time", "-9223372036854775808 s 0 ns", kTime)},
      {"run_time nanos", [](Spec* s) { Set(s->mutable_run_time(), 5, 1'000'000'000); },
       Is("jobs[7].run_time", "5 s 1000000000 ns", kTime)},
      {"run_time nanos negative", [](Spec* s) { Set(s->mutable_run_time(), 5, -1); },
       Is("jobs[7].run_time", "5 s -1 ns", kTime)},
      {"run_time overflow", [](Spec* s) { Set(s->mutable_run_time(), INT64_MAX); },
       Is("jobs[7].run_time", "9223372036854775807 s 0 ns", kTime)},
      {"delay and run_time",
       [](Spec* s) {
         Set(s->mutable_run_time(), 5);
         Set(s->mutable_delay(), 5);
       },
       Is("jobs[7].delay", "5 s 0 ns", "unset when run_time is set")},
      {"delay 0", [](Spec* s) { Set(s->mutable_delay(), 0); }, "valid"},
      {"delay at limit", [](Spec* s) { Set(s->mutable_delay(), 3653LL * 86400); }, "valid"},
      {"delay too long", [](Spec* s) { Set(s->mutable_delay(), 3653LL * 86400, 1); },
       Is("jobs[7].delay", "315619200 s 1 ns", "0 s to 3653 days")},
      {"delay negative", [](Spec* s) { Set(s->mutable_delay(), 0, -1); },
       Is("jobs[7].delay", "0 s -1 ns", "0 s to 3653 days")},
      {"delay nanos", [](Spec* s) { Set(s->mutable_delay(), 1, 1'000'000'000); },
       Is("jobs[7].delay", "1 s 1000000000 ns", "0 s to 3653 days")},
      {"delay signs", [](Spec* s) { Set(s->mutable_delay(), 1, -1); },
       Is("jobs[7].delay", "1 s -1 ns", "0 s to 3653 days")},
      {"delay overflow", [](Spec* s) { Set(s->mutable_delay(), INT64_MAX); },
       Is("jobs[7].delay", "9223372036854775807 s 0 ns", "0 s to 3653 days")},
      {"expire_time past", [](Spec* s) { Set(s->mutable_expire_time(), 1); }, "valid"},
      {"expire_time last", [](Spec* s) { Set(s->mutable_expire_time(), 253402300799); }, "valid"},
      {"expire_time too late", [](Spec* s) { Set(s->mutable_expire_time(), 253402300800); },
       Is("jobs[7].expire_time", "253402300800 s 0 ns", kExpiry)},
      {"expire_time before 1970", [](Spec* s) { Set(s->mutable_expire_time(), -1); },
       Is("jobs[7].expire_time", "-1 s 0 ns", kExpiry)},
      {"expire_time after a run_time before 1970",
       [](Spec* s) {
         Set(s->mutable_run_time(), -62'135'596'800);
         Set(s->mutable_expire_time(), 0);
       },
       "valid"},
      {"expire_time before run_time",
       [](Spec* s) {
         Set(s->mutable_run_time(), 10);
         Set(s->mutable_expire_time(), 10);
       },
       Is("jobs[7].expire_time", "10 s 0 ns", "after run_time")},
  });
}

TEST(Validate, JobRetryLimits) {
  CheckJobs({
      {"max_retries 0", [](Spec* s) { s->mutable_retry()->set_max_retries(0); }, "valid"},
      {"max_retries 1000", [](Spec* s) { s->mutable_retry()->set_max_retries(1000); }, "valid"},
      {"max_retries -1", [](Spec* s) { s->mutable_retry()->set_max_retries(-1); },
       Is("jobs[7].retry.max_retries", "-1", "0 to 1000")},
      {"max_retries 1001", [](Spec* s) { s->mutable_retry()->set_max_retries(1001); },
       Is("jobs[7].retry.max_retries", "1001", "0 to 1000")},
      {"max_expirations", [](Spec* s) { s->mutable_retry()->set_max_expirations(INT32_MAX); },
       Is("jobs[7].retry.max_expirations", "2147483647", "0 to 1000")},
      {"max_expirations -1", [](Spec* s) { s->mutable_retry()->set_max_expirations(-1); },
       Is("jobs[7].retry.max_expirations", "-1", "0 to 1000")},
  });
}

TEST(Validate, JobBackoff) {
  CheckJobs({
      {"backoff unknown",
       [](Spec* s) { s->mutable_retry()->set_backoff(static_cast<v1::RetryPolicy::Backoff>(9)); },
       Is("jobs[7].retry.backoff", "9", "NONE (1), FIXED (2), LINEAR (3) or EXPONENTIAL (4)")},
      {"base 1 ms", [](Spec* s) { Set(s->mutable_retry()->mutable_base(), 0, 1'000'000); },
       "valid"},
      {"base 0", [](Spec* s) { Set(s->mutable_retry()->mutable_base(), 0); },
       Is("jobs[7].retry.base", "0 s 0 ns", "1 ms to 24 h")},
      {"base 1 ns", [](Spec* s) { Set(s->mutable_retry()->mutable_base(), 0, 1); },
       Is("jobs[7].retry.base", "0 s 1 ns", "1 ms to 24 h")},
      {"base over a day", [](Spec* s) { Set(s->mutable_retry()->mutable_base(), 86400, 1); },
       Is("jobs[7].retry.base", "86400 s 1 ns", "1 ms to 24 h")},
      {"max_delay less than base",
       [](Spec* s) {
         Set(s->mutable_retry()->mutable_base(), 10);
         Set(s->mutable_retry()->mutable_max_delay(), 9);
       },
       Is("jobs[7].retry.max_delay", "9 s 0 ns", "retry.base (10000 ms) to 30 days")},
      {"max_delay less than the default base",
       [](Spec* s) { Set(s->mutable_retry()->mutable_max_delay(), 0, 5); },
       Is("jobs[7].retry.max_delay", "0 s 5 ns", "retry.base (1000 ms) to 30 days")},
      {"max_delay too long",
       [](Spec* s) { Set(s->mutable_retry()->mutable_max_delay(), 30 * 86400 + 1); },
       Is("jobs[7].retry.max_delay", "2592001 s 0 ns", "retry.base (1000 ms) to 30 days")},
      {"jitter 1", [](Spec* s) { s->mutable_retry()->set_jitter(1); }, "valid"},
      {"jitter above 1", [](Spec* s) { s->mutable_retry()->set_jitter(1.5); },
       Is("jobs[7].retry.jitter", "1.500000", "0 to 1")},
      {"jitter negative", [](Spec* s) { s->mutable_retry()->set_jitter(-0.25); },
       Is("jobs[7].retry.jitter", "-0.250000", "0 to 1")},
      {"jitter NaN", [](Spec* s) { s->mutable_retry()->set_jitter(std::nan("")); },
       Is("jobs[7].retry.jitter", "nan", "0 to 1")},
      {"jitter infinite", [](Spec* s) { s->mutable_retry()->set_jitter(INFINITY); },
       Is("jobs[7].retry.jitter", "inf", "0 to 1")},
  });
}

TEST(Validate, JobIdempotencyAndOrdering) {
  CheckJobs({
      {"idempotency_key at limit", [](Spec* s) { s->set_idempotency_key(std::string(256, 'k')); },
       "valid"},
      {"idempotency_key too long", [](Spec* s) { s->set_idempotency_key(std::string(257, 'k')); },
       Is("jobs[7].idempotency_key", "\"" + std::string(75, 'k') + "\"...", "at most 256 bytes")},
      {"idempotency_key not UTF-8", [](Spec* s) { s->set_idempotency_key("k\xc3("); },
       Is("jobs[7].idempotency_key", "\"k\\xc3(\"", kUtf8)},
      {"idempotency_window short",
       [](Spec* s) { Set(s->mutable_idempotency_window(), 0, 999'999'999); },
       Is("jobs[7].idempotency_window", "0 s 999999999 ns", "1 s to 30 days")},
      {"idempotency_window long",
       [](Spec* s) { Set(s->mutable_idempotency_window(), 30 * 86400, 1); },
       Is("jobs[7].idempotency_window", "2592000 s 1 ns", "1 s to 30 days")},
      {"ordering_key too long", [](Spec* s) { s->set_ordering_key(kLong); },
       Is("jobs[7].ordering_key", kShownLong, "at most 128 bytes")},
      {"ordering_key not UTF-8", [](Spec* s) { s->set_ordering_key("\xed\xa0\x80"); },
       Is("jobs[7].ordering_key", "\"\\xed\\xa0\\x80\"", kUtf8)},
  });
}

TEST(Validate, JobHeadersAndLabels) {
  CheckJobs({
      {"64 headers",
       [](Spec* s) {
         for (int i = 0; i < 64; ++i) (*s->mutable_headers())[std::to_string(i)] = "v";
       },
       "valid"},
      {"65 headers",
       [](Spec* s) {
         for (int i = 0; i < 65; ++i) (*s->mutable_headers())[std::to_string(i)] = "v";
       },
       Is("jobs[7].headers", "65 entries", "at most 64 entries")},
      {"65 labels",
       [](Spec* s) {
         for (int i = 0; i < 65; ++i) (*s->mutable_labels())[std::to_string(i)] = "v";
       },
       Is("jobs[7].labels", "65 entries", "at most 64 entries")},
      {"label key empty", [](Spec* s) { (*s->mutable_labels())[""] = "v"; },
       Is("jobs[7].labels key", "\"\"", "1 to 128 bytes")},
      {"the smallest bad label key",
       [](Spec* s) {
         (*s->mutable_labels())[std::string(129, 'z')] = "v";
         (*s->mutable_labels())[std::string(129, 'b')] = "v";
         (*s->mutable_labels())["a"] = "v";
       },
       Is("jobs[7].labels key", "\"" + std::string(75, 'b') + "\"...", "1 to 128 bytes")},
      {"label key not UTF-8", [](Spec* s) { (*s->mutable_labels())["\xc0\x80"] = "v"; },
       Is("jobs[7].labels key", "\"\\xc0\\x80\"", kUtf8)},
      {"label value empty", [](Spec* s) { (*s->mutable_labels())["k"] = ""; }, "valid"},
      {"label value too long",
       [](Spec* s) { (*s->mutable_labels())["k"] = std::string(1025, 'v'); },
       Is("jobs[7].labels[\"k\"]", "\"" + std::string(75, 'v') + "\"...", "at most 1024 bytes")},
      {"header value not UTF-8", [](Spec* s) { (*s->mutable_headers())["k"] = "\xf4\x90\x80\x80"; },
       Is("jobs[7].headers[\"k\"]", "\"\\xf4\\x90\\x80\\x80\"", kUtf8)},
  });
}

TEST(Validate, JobRetentionAndLease) {
  CheckJobs({
      {"retention 0", [](Spec* s) { Set(s->mutable_retention(), 0); }, "valid"},
      {"retention negative", [](Spec* s) { Set(s->mutable_retention(), -1); },
       Is("jobs[7].retention", "-1 s 0 ns", "0 s to 365 days")},
      {"retention too long", [](Spec* s) { Set(s->mutable_retention(), 365 * 86400, 1); },
       Is("jobs[7].retention", "31536000 s 1 ns", "0 s to 365 days")},
      {"lease_duration short", [](Spec* s) { Set(s->mutable_lease_duration(), 0, 999'999'999); },
       Is("jobs[7].lease_duration", "0 s 999999999 ns", "1 s to 12 h")},
      {"lease_duration long", [](Spec* s) { Set(s->mutable_lease_duration(), 43200, 1); },
       Is("jobs[7].lease_duration", "43200 s 1 ns", "1 s to 12 h")},
  });
}

TEST(Validate, Enqueue) {
  v1::EnqueueJobsRequest request;
  EXPECT_EQ(Text(CheckRequest(request)), "jobs = 0 items | 1 to 10000 items");
  for (int i = 0; i < 10000; ++i) request.add_jobs();
  EXPECT_EQ(Text(CheckRequest(request)), "valid");
  request.add_jobs();
  EXPECT_EQ(Text(CheckRequest(request)), "jobs = 10001 items | 1 to 10000 items");
  request.clear_jobs();
  for (int i = 0; i < 17; ++i) request.add_jobs()->set_payload(std::string(1 << 20, 'x'));
  const std::string bytes = std::to_string(request.ByteSizeLong());
  EXPECT_EQ(Text(CheckRequest(request)),
            "PAYLOAD_TOO_LARGE: jobs = " + bytes + " bytes | at most 16777216 bytes");
  request.clear_jobs();
  request.add_jobs();
  request.set_request_id(kLong);
  EXPECT_EQ(Text(CheckRequest(request)),
            "request_id = \"" + std::string(75, 'a') + "\"... | at most 128 bytes");
  request.set_request_id("\xff");
  EXPECT_EQ(Text(CheckRequest(request)), "request_id = \"\\xff\" | valid UTF-8");
}

TEST(Validate, Lease) {
  using Request = v1::LeaseJobsRequest;
  const std::vector<Case<Request>> cases = {
      {"plain", [](Request*) {}, "valid"},
      {"no worker", [](Request* r) { r->clear_worker_id(); }, "worker_id = \"\" | 1 to 128 bytes"},
      {"long worker", [](Request* r) { r->set_worker_id(kLong); },
       "worker_id = \"" + std::string(75, 'a') + "\"... | 1 to 128 bytes"},
      {"worker not UTF-8", [](Request* r) { r->set_worker_id("\x80"); },
       "worker_id = \"\\x80\" | valid UTF-8"},
      {"100 equal queues",
       [](Request* r) {
         for (int i = 0; i < 100; ++i) r->add_queues("q");
       },
       "valid"},
      {"101 queues",
       [](Request* r) {
         for (int i = 0; i < 101; ++i) r->add_queues("q");
       },
       "queues = 101 names | at most 100 names"},
      {"bad queue",
       [](Request* r) {
         r->add_queues("q");
         r->add_queues("");
       },
       Is("queues[1]", "\"\"", kQueue)},
      {"101 types",
       [](Request* r) {
         for (int i = 0; i < 101; ++i) r->add_types("q");
       },
       "types = 101 names | at most 100 names"},
      {"bad type", [](Request* r) { r->add_types("a b"); }, Is("types[0]", "\"a b\"", kType)},
      {"max_jobs 0", [](Request* r) { r->set_max_jobs(0); }, "max_jobs = 0 | 1 to 1000"},
      {"max_jobs -1", [](Request* r) { r->set_max_jobs(-1); }, "max_jobs = -1 | 1 to 1000"},
      {"max_jobs 1000", [](Request* r) { r->set_max_jobs(1000); }, "valid"},
      {"max_jobs 10^6", [](Request* r) { r->set_max_jobs(1000000); },
       "max_jobs = 1000000 | 1 to 1000"},
      {"wait 60 s", [](Request* r) { Set(r->mutable_wait(), 60); }, "valid"},
      {"wait -1", [](Request* r) { Set(r->mutable_wait(), -1); }, "wait = -1 s 0 ns | 0 s to 60 s"},
      {"wait 10 h", [](Request* r) { Set(r->mutable_wait(), 36000); },
       "wait = 36000 s 0 ns | 0 s to 60 s"},
      {"wait a little over", [](Request* r) { Set(r->mutable_wait(), 60, 1); },
       "wait = 60 s 1 ns | 0 s to 60 s"},
      {"duration 0", [](Request* r) { Set(r->mutable_lease_duration(), 0); },
       "lease_duration = 0 s 0 ns | 1 s to 12 h"},
      {"duration 1 ns", [](Request* r) { Set(r->mutable_lease_duration(), 0, 1); },
       "lease_duration = 0 s 1 ns | 1 s to 12 h"},
      {"duration negative", [](Request* r) { Set(r->mutable_lease_duration(), -30); },
       "lease_duration = -30 s 0 ns | 1 s to 12 h"},
      {"duration overflow", [](Request* r) { Set(r->mutable_lease_duration(), INT64_MAX); },
       "lease_duration = 9223372036854775807 s 0 ns | 1 s to 12 h"},
      {"long lease_request_id", [](Request* r) { r->set_lease_request_id(kLong); },
       "lease_request_id = \"" + std::string(75, 'a') + "\"... | at most 128 bytes"},
      {"host", [](Request* r) { r->set_host(std::string(255, 'h')); }, "valid"},
      {"long host", [](Request* r) { r->set_host(std::string(256, 'h')); },
       "host = \"" + std::string(75, 'h') + "\"... | at most 255 bytes"},
  };
  for (const auto& c : cases) {
    Request request;
    request.set_worker_id("w");
    request.set_max_jobs(1);
    c.change(&request);
    EXPECT_EQ(Text(CheckRequest(request)), c.expected) << c.name;
  }
}

template <class Request>
Request OneItem() {
  Request request;
  auto* item = request.add_items();
  item->set_id("j");
  item->mutable_token()->set_term(1);
  item->mutable_token()->set_sequence(1);
  item->mutable_token()->set_job(1);
  return request;
}

// The checks that all calls with tokens share.
template <class Request>
void CheckTokenCalls() {
  Request request;
  EXPECT_EQ(Text(CheckRequest(request)), "items = 0 items | 1 to 10000 items");
  for (int i = 0; i < 10001; ++i) request.add_items();
  EXPECT_EQ(Text(CheckRequest(request)), "items = 10001 items | 1 to 10000 items");
  request = OneItem<Request>();
  EXPECT_EQ(Text(CheckRequest(request)), "valid");
  EXPECT_EQ(Text(CheckItem(request, 0)), "valid");
  request.set_worker_id(kLong);
  EXPECT_EQ(Text(CheckRequest(request)),
            "worker_id = \"" + std::string(75, 'a') + "\"... | at most 128 bytes");
  const char kToken[] = "the token of a lease: term, sequence and job of at least 1";
  request.mutable_items(0)->mutable_token()->set_sequence(0);
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].token", "1/0/1", kToken));
  request.mutable_items(0)->mutable_token()->set_sequence(5);
  request.mutable_items(0)->mutable_token()->set_term(0);
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].token", "0/5/1", kToken));
  request.mutable_items(0)->mutable_token()->set_term(7);
  request.mutable_items(0)->mutable_token()->set_job(0);
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].token", "7/5/0", kToken));
  request.mutable_items(0)->clear_token();
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].token", "0/0/0", kToken));
  request.mutable_items(0)->set_id("");
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].id", "\"\"", kId));
  request.mutable_items(0)->set_id("a\x7f");
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].id", "\"a\\x7f\"", kId));
}

TEST(Validate, CallsWithTokens) {
  CheckTokenCalls<v1::CompleteJobsRequest>();
  CheckTokenCalls<v1::FailJobsRequest>();
  CheckTokenCalls<v1::ExtendLeasesRequest>();
  CheckTokenCalls<v1::ReleaseJobsRequest>();
}

TEST(Validate, Complete) {
  auto request = OneItem<v1::CompleteJobsRequest>();
  request.mutable_items(0)->set_result(std::string(kResultBytesMax, '\xff'));
  EXPECT_EQ(Text(CheckItem(request, 0)), "valid");
  request.mutable_items(0)->set_result(std::string(kResultBytesMax + 1, 'x'));
  EXPECT_EQ(Text(CheckItem(request, 0)),
            "PAYLOAD_TOO_LARGE: items[0].result = 1048577 bytes | at most 1048576 bytes");
}

TEST(Validate, Fail) {
  auto request = OneItem<v1::FailJobsRequest>();
  request.mutable_items(0)->set_error(std::string(100000, 'x'));  // cut later
  EXPECT_EQ(Text(CheckItem(request, 0)), "valid");
  request.mutable_items(0)->set_error("\xfe");
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].error", "\"\\xfe\"", kUtf8));
  request.mutable_items(0)->set_error("e");
  Set(request.mutable_items(0)->mutable_retry_delay(), 0);
  EXPECT_EQ(Text(CheckItem(request, 0)), "valid");
  Set(request.mutable_items(0)->mutable_retry_delay(), -1);
  EXPECT_EQ(Text(CheckItem(request, 0)), Is("items[0].retry_delay", "-1 s 0 ns", "0 s to 30 days"));
  Set(request.mutable_items(0)->mutable_retry_delay(), 30 * 86400, 1);
  EXPECT_EQ(Text(CheckItem(request, 0)),
            Is("items[0].retry_delay", "2592000 s 1 ns", "0 s to 30 days"));
}

TEST(Validate, Extend) {
  auto request = OneItem<v1::ExtendLeasesRequest>();
  Set(request.mutable_lease_duration(), 0);
  EXPECT_EQ(Text(CheckRequest(request)), "lease_duration = 0 s 0 ns | 1 s to 12 h");
  Set(request.mutable_lease_duration(), -1);
  EXPECT_EQ(Text(CheckRequest(request)), "lease_duration = -1 s 0 ns | 1 s to 12 h");
  Set(request.mutable_lease_duration(), 43201);
  EXPECT_EQ(Text(CheckRequest(request)), "lease_duration = 43201 s 0 ns | 1 s to 12 h");
  Set(request.mutable_lease_duration(), 43200);
  EXPECT_EQ(Text(CheckRequest(request)), "valid");
}

template <class Request>
void CheckIdCalls() {
  Request request;
  EXPECT_EQ(Text(CheckRequest(request)), "ids = 0 items | 1 to 10000 items");
  request.add_ids("j");
  request.add_ids("a b");
  EXPECT_EQ(Text(CheckRequest(request)), "valid");
  EXPECT_EQ(Text(CheckItem(request, 0)), "valid");
  EXPECT_EQ(Text(CheckItem(request, 1)), Is("ids[1]", "\"a b\"", kId));
  for (int i = 0; i < 10000; ++i) request.add_ids("j");
  EXPECT_EQ(Text(CheckRequest(request)), "ids = 10002 items | 1 to 10000 items");
}

TEST(Validate, CancelAndRetry) {
  CheckIdCalls<v1::CancelJobsRequest>();
  CheckIdCalls<v1::RetryJobsRequest>();
}

TEST(Validate, PauseAndResume) {
  v1::PauseQueueRequest pause;
  EXPECT_EQ(Text(CheckRequest(pause)), Is("queue", "\"\"", kQueue)) << "no default";
  pause.set_queue("q");
  EXPECT_EQ(Text(CheckRequest(pause)), "valid");
  pause.set_queue("a/b");
  EXPECT_EQ(Text(CheckRequest(pause)), Is("queue", "\"a/b\"", kQueue));
  v1::ResumeQueueRequest resume;
  EXPECT_EQ(Text(CheckRequest(resume)), Is("queue", "\"\"", kQueue));
  resume.set_queue("_q");
  EXPECT_EQ(Text(CheckRequest(resume)), Is("queue", "\"_q\"", kQueue));
  resume.set_queue("q");
  EXPECT_EQ(Text(CheckRequest(resume)), "valid");
}

TEST(Validate, Delete) { CheckIdCalls<v1::DeleteJobsRequest>(); }

TEST(Validate, Purge) {
  using Request = v1::PurgeQueueRequest;
  const char states[] = "SCHEDULED (1), READY (2), SUCCEEDED (4), DEAD (5) or CANCELLED (6)";
  const auto state = [](int number) {
    return [number](Request* r) {
      r->add_states(v1::JOB_STATE_READY);
      r->add_states(static_cast<v1::JobState>(number));
    };
  };
  const std::vector<Case<Request>> cases = {
      {"queue only", [](Request*) {}, "valid"},
      {"no queue", [](Request* r) { r->clear_queue(); }, Is("queue", "\"\"", kQueue)},
      {"bad queue", [](Request* r) { r->set_queue("a b"); }, Is("queue", "\"a b\"", kQueue)},
      {"dead", state(v1::JOB_STATE_DEAD), "valid"},
      {"cancelled", state(v1::JOB_STATE_CANCELLED), "valid"},
      {"unspecified", state(0), Is("states[1]", "0", states)},
      {"leased", state(v1::JOB_STATE_LEASED), Is("states[1]", "3", states)},
      {"unknown", state(7), Is("states[1]", "7", states)},
      {"max_jobs at limit", [](Request* r) { r->set_max_jobs(10000); }, "valid"},
      {"too many", [](Request* r) { r->set_max_jobs(10001); },
       Is("max_jobs", "10001", "0 to 10000")},
      {"negative", [](Request* r) { r->set_max_jobs(-1); }, Is("max_jobs", "-1", "0 to 10000")},
  };
  for (const auto& c : cases) {
    Request request;
    request.set_queue("q");
    c.change(&request);
    EXPECT_EQ(Text(CheckRequest(request)), c.expected) << c.name;
  }
}

TEST(Validate, GroupDeadJobs) {
  using Request = v1::GroupDeadJobsRequest;
  const std::vector<Case<Request>> cases = {
      {"every dead job", [](Request*) {}, "valid"},
      {"bad queue", [](Request* r) { r->set_queue("a b"); }, Is("queue", "\"a b\"", kQueue)},
      {"bad type", [](Request* r) { r->set_type("a b"); }, Is("type", "\"a b\"", kType)},
  };
  for (const auto& c : cases) {
    Request request;
    c.change(&request);
    EXPECT_EQ(Text(CheckRequest(request)), c.expected) << c.name;
  }
}

TEST(Validate, Redrive) {
  using Request = v1::RedriveJobsRequest;
  const std::vector<Case<Request>> cases = {
      {"every dead job", [](Request*) {}, "valid"},
      {"bad queue", [](Request* r) { r->set_queue("a b"); }, Is("queue", "\"a b\"", kQueue)},
      {"bad type", [](Request* r) { r->set_type("a b"); }, Is("type", "\"a b\"", kType)},
      {"error", [](Request* r) { r->set_error_contains(std::string(4096, 'e')); }, "valid"},
      {"long error", [](Request* r) { r->set_error_contains(std::string(4097, 'e')); },
       Is("error_contains", "\"" + std::string(75, 'e') + "\"...", "at most 4096 bytes")},
      {"error not UTF-8", [](Request* r) { r->set_error_contains("\xff"); },
       Is("error_contains", "\"\\xff\"", kUtf8)},
      {"fingerprint", [](Request* r) { r->set_error_fingerprint("0123456789abcdef"); }, "valid"},
      {"bad fingerprint", [](Request* r) { r->set_error_fingerprint("0123456789ABCDEF"); },
       Is("error_fingerprint", "\"0123456789ABCDEF\"",
          "16 hexadecimal digits (0-9 a-f), as GroupDeadJobs shows it")},
      {"too many", [](Request* r) { r->set_max_jobs(10001); },
       Is("max_jobs", "10001", "0 to 10000")},
  };
  for (const auto& c : cases) {
    Request request;
    c.change(&request);
    EXPECT_EQ(Text(CheckRequest(request)), c.expected) << c.name;
  }
}

TEST(Validate, Reads) {
  v1::GetJobRequest get;
  EXPECT_EQ(Text(CheckRequest(get)), Is("id", "\"\"", kId));
  get.set_id("j");
  EXPECT_EQ(Text(CheckRequest(get)), "valid");

  v1::ListJobsRequest list;
  EXPECT_EQ(Text(CheckRequest(list)), "valid");
  list.set_page_size(1000);
  EXPECT_EQ(Text(CheckRequest(list)), "valid");
  list.set_page_size(-1);
  EXPECT_EQ(Text(CheckRequest(list)), "page_size = -1 | 0 to 1000");
  list.set_page_size(1'000'000'000);
  EXPECT_EQ(Text(CheckRequest(list)), "page_size = 1000000000 | 0 to 1000");
  list.set_state(static_cast<v1::JobState>(77));
  EXPECT_EQ(Text(CheckRequest(list)), "state = 77 | a JobState (0 to 6)");
  list.set_type("\x01");
  EXPECT_EQ(Text(CheckRequest(list)), Is("type", "\"\\x01\"", kType));
  list.set_queue("_x");
  EXPECT_EQ(Text(CheckRequest(list)), Is("queue", "\"_x\"", kQueue));

  v1::GetStatsRequest stats;
  EXPECT_EQ(Text(CheckRequest(stats)), "valid");
  stats.set_queue("a/b");
  EXPECT_EQ(Text(CheckRequest(stats)), Is("queue", "\"a/b\"", kQueue));
  stats.clear_queue();
  stats.set_page_size(1001);
  EXPECT_EQ(Text(CheckRequest(stats)), Is("page_size", "1001", "0 to 1000"));
  v1::ListWorkersRequest workers;
  EXPECT_EQ(Text(CheckRequest(workers)), "valid");
  workers.set_page_size(-1);
  EXPECT_EQ(Text(CheckRequest(workers)), Is("page_size", "-1", "0 to 1000"));
}

TEST(Validate, IsUtf8AgreesWithProtobuf) {
  const std::string good[] = {"",
                              "a",
                              "\x7f",
                              "\xc2\x80",
                              "\xdf\xbf",
                              "\xe0\xa0\x80",
                              "\xed\x9f\xbf",
                              "\xee\x80\x80",
                              "\xef\xbf\xbf",
                              "\xf0\x90\x80\x80",
                              "\xf4\x8f\xbf\xbf",
                              std::string("\0", 1)};
  for (const std::string& text : good) EXPECT_TRUE(IsUtf8(text)) << ShownValue(text);
  const std::string bad[] = {
      "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xc2",         "\xc2(",
      "\xe0\x9f\xbf", "\xe2\x82",         "\xed\xa0\x80",     "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
      "\xf0\x9f\x98", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"};
  for (const std::string& text : bad) EXPECT_FALSE(IsUtf8(text)) << ShownValue(text);
  // Protobuf parses a string field if and only if IsUtf8() accepts the bytes.
  google::protobuf::LogSilencer silencer;
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {'x', static_cast<char>(first), static_cast<char>(second)};
      const std::string wire = std::string("\x0a\x03") + text;  // field 1, length 3
      v1::GetJobRequest request;
      ASSERT_EQ(IsUtf8(text), request.ParseFromString(wire)) << first << " " << second;
    }
  }
}

TEST(Validate, CutsAtACharacter) {
  EXPECT_EQ(CutUtf8("abc", 3), "abc");
  EXPECT_EQ(CutUtf8("abc", 2), "ab");
  EXPECT_EQ(CutUtf8("a\xc3\xa4z", 2), "a");
  EXPECT_EQ(CutUtf8("a\xc3\xa4z", 3), "a\xc3\xa4");
  EXPECT_EQ(CutUtf8("\xf0\x9f\x98\x80", 3), "");
}

TEST(Validate, RoundsUpToMilliseconds) {
  Duration d;
  Set(&d, 2, 1);
  EXPECT_EQ(DurationMs(d), 2001);
  Set(&d, 2, 1'000'000);
  EXPECT_EQ(DurationMs(d), 2001);
  Timestamp t;
  Set(&t, 2, 999'999'999);
  EXPECT_EQ(TimestampMs(t), 3000);
}

}  // namespace
}  // namespace dqueue::queue
