#include "queue/api/validate.h"

#include <array>
#include <cmath>

#include "queue/api/error_fingerprint.h"
#include "queue/api/limits.h"

namespace dqueue::queue {
namespace {

constexpr size_t kShownCharsMax = 80;
constexpr int64_t kNanosPerMs = 1'000'000;
// The ranges of google.protobuf.Duration and Timestamp.
constexpr int64_t kDurationSecondsMax = 315'576'000'000;
// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
constexpr int64_t kTimestampSecondsMin = -62'135'596'800;
constexpr int64_t kTimestampSecondsMax = 253'402'300'799;

using CharSet = std::array<bool, 256>;

constexpr CharSet WithAlphanumericsAnd(std::string_view more) {
  CharSet set{};
  for (int c = '0'; c <= '9'; ++c) set[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) set[c] = set[c - 'a' + 'A'] = true;
  for (const char c : more) set[static_cast<unsigned char>(c)] = true;
  return set;
}

constexpr CharSet kIdChars = WithAlphanumericsAnd("._:-");
constexpr CharSet kQueueChars = WithAlphanumericsAnd("._-");
constexpr CharSet kTypeChars = WithAlphanumericsAnd("._:/-");

constexpr char kIdLimit[] = "1 to 128 characters of A-Z a-z 0-9 . _ : -";
constexpr char kTypeLimit[] = "1 to 128 characters of A-Z a-z 0-9 . _ : / -";
constexpr char kUtf8Limit[] = "valid UTF-8";
constexpr char kLeaseDurationLimit[] = "1 s to 12 h";
constexpr char kRetryLimit[] = "0 to 1000";
static_assert(kNameBytesMax == 128 && kLeaseMsMin == 1000 && kLeaseMsMax == 12 * 3600 * 1000 &&
              kRetriesMax == 1000);

bool OnlyOf(const CharSet& set, std::string_view text) {
  for (const char c : text) {
    if (!set[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

bool IsName(const CharSet& set, std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && OnlyOf(set, text);
}
bool IsId(std::string_view text) { return IsName(kIdChars, text); }
bool IsType(std::string_view text) { return IsName(kTypeChars, text); }

// "jobs[3].priority"; the name is only made when something is wrong.
std::string ItemField(const char* items, int index, const char* field) {
  std::string name = items;
  name += '[';
  name += std::to_string(index);
  name += ']';
  if (*field != '\0') {
    name += '.';
    name += field;
  }
  return name;
}

std::string BytesLimit(size_t min, size_t max) {
  return min == 0 ? "at most " + std::to_string(max) + " bytes"
                  : std::to_string(min) + " to " + std::to_string(max) + " bytes";
}

Error TooLarge(std::string field, size_t bytes, size_t max) {
  Error error =
      InvalidField(std::move(field), std::to_string(bytes) + " bytes", BytesLimit(0, max));
  error.reason = "PAYLOAD_TOO_LARGE";
  return error;
}

// Free text: UTF-8 of min to max bytes.
bool IsText(std::string_view text, size_t min, size_t max) {
  return text.size() >= min && text.size() <= max && IsUtf8(text);
}
Error BadText(std::string field, std::string_view text, size_t min, size_t max) {
  const bool fits = text.size() >= min && text.size() <= max;
  return InvalidField(std::move(field), ShownValue(text),
                      fits ? std::string(kUtf8Limit) : BytesLimit(min, max));
}
std::optional<Error> CheckText(const char* field, std::string_view text, size_t min, size_t max) {
  if (IsText(text, min, max)) return std::nullopt;
  return BadText(field, text, min, max);
}

std::string Shown(const google::protobuf::Duration& d) {
  return std::to_string(d.seconds()) + " s " + std::to_string(d.nanos()) + " ns";
}

std::string Shown(const google::protobuf::Timestamp& t) {
  return std::to_string(t.seconds()) + " s " + std::to_string(t.nanos()) + " ns";
}

bool IsDuration(const google::protobuf::Duration& d) {
  if (d.seconds() < -kDurationSecondsMax || d.seconds() > kDurationSecondsMax) return false;
  if (d.nanos() <= -1'000'000'000 || d.nanos() >= 1'000'000'000) return false;
  return !(d.seconds() > 0 && d.nanos() < 0) && !(d.seconds() < 0 && d.nanos() > 0);
}

// min_ms <= d <= max_ms, exactly: nothing is rounded into the range. min_ms >= 0.
bool InRange(const google::protobuf::Duration& d, int64_t min_ms, int64_t max_ms) {
  if (!IsDuration(d) || d.seconds() < 0 || d.nanos() < 0) return false;
  const int64_t whole_ms = d.seconds() * 1000 + d.nanos() / kNanosPerMs;
  return whole_ms >= min_ms && DurationMs(d) <= max_ms;
}

std::optional<Error> CheckRetry(const v1::RetryPolicy& retry, int index) {
  const auto bad = [index](const char* field, std::string value, std::string limit) {
    return InvalidField(ItemField("jobs", index, field), std::move(value), std::move(limit));
  };
  if (retry.has_max_retries() && (retry.max_retries() < 0 || retry.max_retries() > kRetriesMax)) {
    return bad("retry.max_retries", std::to_string(retry.max_retries()), kRetryLimit);
  }
  if (!v1::RetryPolicy::Backoff_IsValid(retry.backoff())) {
    return bad("retry.backoff", std::to_string(static_cast<int>(retry.backoff())),
               "NONE (1), FIXED (2), LINEAR (3) or EXPONENTIAL (4)");
  }
  if (retry.has_base() && !InRange(retry.base(), 1, kBackoffBaseMsMax)) {
    return bad("retry.base", Shown(retry.base()), "1 ms to 24 h");
  }
  const int64_t base_ms = retry.has_base() ? DurationMs(retry.base()) : kBackoffBaseMsDefault;
  if (retry.has_max_delay() && !InRange(retry.max_delay(), base_ms, kBackoffMsMax)) {
    return bad("retry.max_delay", Shown(retry.max_delay()),
               "retry.base (" + std::to_string(base_ms) + " ms) to 30 days");
  }
  // Written so that NaN fails.
  if (retry.has_jitter() && !(retry.jitter() >= 0 && retry.jitter() <= 1)) {
    return bad("retry.jitter", std::to_string(retry.jitter()), "0 to 1");
  }
  if (retry.has_max_expirations() &&
      (retry.max_expirations() < 0 || retry.max_expirations() > kRetriesMax)) {
    return bad("retry.max_expirations", std::to_string(retry.max_expirations()), kRetryLimit);
  }
  return std::nullopt;
}

std::optional<Error> CheckTimes(const v1::JobSpec& job, int index, int64_t now_ms) {
  const auto bad = [index](const char* field, std::string value, std::string limit) {
    return InvalidField(ItemField("jobs", index, field), std::move(value), std::move(limit));
  };
  const auto is_time = [](const google::protobuf::Timestamp& t, int64_t seconds_min) {
    return t.seconds() >= seconds_min && t.seconds() <= kTimestampSecondsMax && t.nanos() >= 0 &&
           t.nanos() < 1'000'000'000;
  };
  constexpr char kTimeLimit[] = "T00:00:00Z to 9999-12-31T23:59:59Z with 0 to 999999999 ns";
  if (job.has_run_time()) {
    if (job.has_delay()) {
      return bad("delay", Shown(job.delay()), "unset when run_time is set");
    }
    // The zero time of some languages is in the year 1. As any time in the past it means now.
    if (!is_time(job.run_time(), kTimestampSecondsMin)) {
      return bad("run_time", Shown(job.run_time()), std::string("0001-01-01") + kTimeLimit);
    }
    if (auto error = CheckRunTime(job.run_time(), index, now_ms)) return error;
  }
  if (job.has_delay() && !InRange(job.delay(), 0, kRunTimeAheadMsMax)) {
    return bad("delay", Shown(job.delay()), "0 s to 3653 days");
  }
  if (job.has_expire_time()) {
    // A zero time probably means none here. Taken as a time in the past it would lose the job.
    if (!is_time(job.expire_time(), 0)) {
      return bad("expire_time", Shown(job.expire_time()), std::string("1970-01-01") + kTimeLimit);
    }
    if (job.has_run_time() && TimestampMs(job.expire_time()) <= TimestampMs(job.run_time())) {
      return bad("expire_time", Shown(job.expire_time()), "after run_time");
    }
  }
  return std::nullopt;
}

std::optional<Error> CheckMap(const google::protobuf::Map<std::string, std::string>& map,
                              const char* field, int index) {
  if (map.empty()) return std::nullopt;
  if (map.size() > kLabelsMax) {
    return InvalidField(ItemField("jobs", index, field), std::to_string(map.size()) + " entries",
                        "at most " + std::to_string(kLabelsMax) + " entries");
  }
  // The first bad key in order, not in the map's own: the same answer everywhere.
  const std::string* bad_key = nullptr;
  for (const auto& [key, value] : map) {
    const bool good = IsText(key, 1, kNameBytesMax) && IsText(value, 0, kLabelValueBytesMax);
    if (!good && (bad_key == nullptr || key < *bad_key)) bad_key = &key;
  }
  if (bad_key == nullptr) return std::nullopt;
  const std::string name = ItemField("jobs", index, field);
  if (!IsText(*bad_key, 1, kNameBytesMax)) {
    return BadText(name + " key", *bad_key, 1, kNameBytesMax);
  }
  return BadText(name + "[" + ShownValue(*bad_key) + "]", map.at(*bad_key), 0, kLabelValueBytesMax);
}

std::optional<Error> CheckCount(const char* field, size_t count) {
  if (count >= 1 && count <= kBatchItemsMax) return std::nullopt;
  return InvalidField(field, std::to_string(count) + " items",
                      "1 to " + std::to_string(kBatchItemsMax) + " items");
}

template <class Request>
std::optional<Error> CheckBatch(const char* field, size_t count, const Request& request) {
  if (auto error = CheckCount(field, count)) return error;
  const size_t bytes = request.ByteSizeLong();
  if (bytes > kBatchBytesMax) return TooLarge(field, bytes, kBatchBytesMax);
  return std::nullopt;
}

template <class Item>
std::optional<Error> CheckHolder(const Item& item, int index) {
  if (!IsId(item.id())) {
    return InvalidField(ItemField("items", index, "id"), ShownValue(item.id()), kIdLimit);
  }
  if (item.token().term() == 0 || item.token().sequence() == 0 || item.token().job() == 0) {
    return InvalidField(ItemField("items", index, "token"),
                        std::to_string(item.token().term()) + "/" +
                            std::to_string(item.token().sequence()) + "/" +
                            std::to_string(item.token().job()),
                        "the token of a lease: term, sequence and job of at least 1");
  }
  return std::nullopt;
}

std::optional<Error> CheckIdAt(const std::string& id, int index) {
  if (IsId(id)) return std::nullopt;
  return InvalidField(ItemField("ids", index, ""), ShownValue(id), kIdLimit);
}

std::optional<Error> CheckQueue(const std::string& queue) {
  if (IsQueueName(queue)) return std::nullopt;
  return InvalidField("queue", ShownValue(queue), kQueueNameLimit);
}

// Empty: every type.
std::optional<Error> CheckType(const std::string& type) {
  if (type.empty() || IsType(type)) return std::nullopt;
  return InvalidField("type", ShownValue(type), kTypeLimit);
}

std::optional<Error> CheckPickJobs(int32_t max_jobs) {
  if (max_jobs >= 0 && max_jobs <= kPickJobsMax) return std::nullopt;
  return InvalidField("max_jobs", std::to_string(max_jobs), "0 to 10000");
}

std::optional<Error> CheckLeaseDuration(const google::protobuf::Duration& d) {
  if (InRange(d, kLeaseMsMin, kLeaseMsMax)) return std::nullopt;
  return InvalidField("lease_duration", Shown(d), kLeaseDurationLimit);
}

}  // namespace

const char kQueueNameLimit[] = "1 to 128 characters of A-Z a-z 0-9 . _ - that do not start with _";
bool IsQueueName(std::string_view text) { return IsName(kQueueChars, text) && text[0] != '_'; }

Error InvalidField(std::string field, std::string value, std::string limit) {
  Error error;
  error.code = absl::StatusCode::kInvalidArgument;
  error.reason = "INVALID_FIELD";
  error.message = field + " must be " + limit + "; it is " + value;
  error.metadata["field"] = std::move(field);
  error.metadata["value"] = std::move(value);
  error.metadata["limit"] = std::move(limit);
  return error;
}

std::string ShownValue(std::string_view value) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string shown = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    std::string piece;
    if (c == '"' || c == '\\') {
      piece = {'\\', c};
    } else if (c == '\n') {
      piece = "\\n";
    } else if (byte < 0x20 || byte >= 0x7f) {
      piece = {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
    } else {
      piece = c;
    }
    if (shown.size() + piece.size() + 4 > kShownCharsMax) return shown + "\"...";
    shown += piece;
  }
  return shown + "\"";
}

// The same strings as Protobuf's own check: no overlong forms, no surrogates, nothing above
// U+10FFFF.
bool IsUtf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  const auto continues = [end](const unsigned char* q, int n) {
    if (end - q < n) return false;
    for (int i = 0; i < n; ++i) {
      if ((q[i] & 0xc0) != 0x80) return false;
    }
    return true;
  };
  while (p < end) {
    const unsigned char c = *p++;
    if (c < 0x80) continue;
    if (c >= 0xc2 && c <= 0xdf) {
      if (!continues(p, 1)) return false;
      p += 1;
    } else if (c >= 0xe0 && c <= 0xef) {
      if (!continues(p, 2)) return false;
      if ((c == 0xe0 && p[0] < 0xa0) || (c == 0xed && p[0] > 0x9f)) return false;
      p += 2;
    } else if (c >= 0xf0 && c <= 0xf4) {
      if (!continues(p, 3)) return false;
      if ((c == 0xf0 && p[0] < 0x90) || (c == 0xf4 && p[0] > 0x8f)) return false;
      p += 3;
    } else {
      return false;
    }
  }
  return true;
}

std::string_view CutUtf8(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0) == 0x80) --max;
  return text.substr(0, max);
}

int64_t DurationMs(const google::protobuf::Duration& duration) {
  return duration.seconds() * 1000 + (duration.nanos() + kNanosPerMs - 1) / kNanosPerMs;
}

int64_t TimestampMs(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1000 + (time.nanos() + kNanosPerMs - 1) / kNanosPerMs;
}

std::optional<Error> CheckRunTime(const google::protobuf::Timestamp& run_time, int index,
                                  int64_t now_ms) {
  if (TimestampMs(run_time) <= now_ms + kRunTimeAheadMsMax) return std::nullopt;
  return InvalidField(ItemField("jobs", index, "run_time"), Shown(run_time),
                      "at most 3653 days ahead");
}

std::optional<Error> CheckRequest(const v1::EnqueueJobsRequest& request) {
  if (auto error = CheckBatch("jobs", request.jobs_size(), request)) return error;
  return CheckText("request_id", request.request_id(), 0, kNameBytesMax);
}

std::optional<Error> CheckJob(const v1::JobSpec& job, int index, int64_t now_ms) {
  const auto bad = [index](const char* field, std::string value, std::string limit) {
    return InvalidField(ItemField("jobs", index, field), std::move(value), std::move(limit));
  };
  if (!job.id().empty() && !IsId(job.id())) return bad("id", ShownValue(job.id()), kIdLimit);
  if (!job.queue().empty() && !IsQueueName(job.queue())) {
    return bad("queue", ShownValue(job.queue()), kQueueNameLimit);
  }
  if (!job.type().empty() && !IsType(job.type())) {
    return bad("type", ShownValue(job.type()), kTypeLimit);
  }
  if (job.payload().size() > kPayloadBytesMax) {
    return TooLarge(ItemField("jobs", index, "payload"), job.payload().size(), kPayloadBytesMax);
  }
  if (job.priority() < 0 || job.priority() > kPriorityMax) {
    return bad("priority", std::to_string(job.priority()), "0 to 255");
  }
  if (job.has_run_time() || job.has_delay() || job.has_expire_time()) {
    if (auto error = CheckTimes(job, index, now_ms)) return error;
  }
  if (job.has_retry()) {
    if (auto error = CheckRetry(job.retry(), index)) return error;
  }
  if (!IsText(job.idempotency_key(), 0, kIdempotencyKeyBytesMax)) {
    return BadText(ItemField("jobs", index, "idempotency_key"), job.idempotency_key(), 0,
                   kIdempotencyKeyBytesMax);
  }
  if (job.has_idempotency_window() &&
      !InRange(job.idempotency_window(), 1000, kIdempotencyWindowMsMax)) {
    return bad("idempotency_window", Shown(job.idempotency_window()), "1 s to 30 days");
  }
  if (!IsText(job.ordering_key(), 0, kNameBytesMax)) {
    return BadText(ItemField("jobs", index, "ordering_key"), job.ordering_key(), 0, kNameBytesMax);
  }
  if (auto error = CheckMap(job.headers(), "headers", index)) return error;
  if (auto error = CheckMap(job.labels(), "labels", index)) return error;
  if (job.has_retention() && !InRange(job.retention(), 0, kRetentionMsMax)) {
    return bad("retention", Shown(job.retention()), "0 s to 365 days");
  }
  if (job.has_lease_duration() && !InRange(job.lease_duration(), kLeaseMsMin, kLeaseMsMax)) {
    return bad("lease_duration", Shown(job.lease_duration()), kLeaseDurationLimit);
  }
  return std::nullopt;
}

std::optional<Error> CheckRequest(const v1::LeaseJobsRequest& request) {
  if (auto error = CheckText("worker_id", request.worker_id(), 1, kNameBytesMax)) return error;
  const auto count_limit = "at most " + std::to_string(kLeaseFiltersMax) + " names";
  if (static_cast<size_t>(request.queues_size()) > kLeaseFiltersMax) {
    return InvalidField("queues", std::to_string(request.queues_size()) + " names", count_limit);
  }
  for (int i = 0; i < request.queues_size(); ++i) {
    if (!IsQueueName(request.queues(i))) {
      return InvalidField(ItemField("queues", i, ""), ShownValue(request.queues(i)),
                          kQueueNameLimit);
    }
  }
  if (static_cast<size_t>(request.types_size()) > kLeaseFiltersMax) {
    return InvalidField("types", std::to_string(request.types_size()) + " names", count_limit);
  }
  for (int i = 0; i < request.types_size(); ++i) {
    if (!IsType(request.types(i))) {
      return InvalidField(ItemField("types", i, ""), ShownValue(request.types(i)), kTypeLimit);
    }
  }
  if (request.max_jobs() < 1 || request.max_jobs() > kLeaseJobsMax) {
    return InvalidField("max_jobs", std::to_string(request.max_jobs()), "1 to 1000");
  }
  if (request.has_wait() && !InRange(request.wait(), 0, kWaitMsMax)) {
    return InvalidField("wait", Shown(request.wait()), "0 s to 60 s");
  }
  if (request.has_lease_duration()) {
    if (auto error = CheckLeaseDuration(request.lease_duration())) return error;
  }
  if (auto error = CheckText("host", request.host(), 0, kHostBytesMax)) return error;
  return CheckText("lease_request_id", request.lease_request_id(), 0, kNameBytesMax);
}

// worker_id of the calls below is only used in reports: it may be empty.
template <class Request>
static std::optional<Error> CheckItemsOf(const Request& request) {
  if (auto error = CheckBatch("items", request.items_size(), request)) return error;
  return CheckText("worker_id", request.worker_id(), 0, kNameBytesMax);
}

std::optional<Error> CheckRequest(const v1::CompleteJobsRequest& request) {
  return CheckItemsOf(request);
}
std::optional<Error> CheckRequest(const v1::FailJobsRequest& request) {
  return CheckItemsOf(request);
}
std::optional<Error> CheckRequest(const v1::ReleaseJobsRequest& request) {
  return CheckItemsOf(request);
}
std::optional<Error> CheckRequest(const v1::ExtendLeasesRequest& request) {
  if (auto error = CheckItemsOf(request)) return error;
  if (!request.has_lease_duration()) return std::nullopt;
  return CheckLeaseDuration(request.lease_duration());
}
std::optional<Error> CheckRequest(const v1::CancelJobsRequest& request) {
  return CheckBatch("ids", request.ids_size(), request);
}
std::optional<Error> CheckRequest(const v1::RetryJobsRequest& request) {
  return CheckBatch("ids", request.ids_size(), request);
}
std::optional<Error> CheckRequest(const v1::DeleteJobsRequest& request) {
  return CheckBatch("ids", request.ids_size(), request);
}

std::optional<Error> CheckRequest(const v1::PauseQueueRequest& request) {
  return CheckQueue(request.queue());
}
std::optional<Error> CheckRequest(const v1::ResumeQueueRequest& request) {
  return CheckQueue(request.queue());
}

std::optional<Error> CheckRequest(const v1::PurgeQueueRequest& request) {
  if (auto error = CheckQueue(request.queue())) return error;
  for (int i = 0; i < request.states_size(); ++i) {
    const int state = request.states(i);
    if (!v1::JobState_IsValid(state) || state == v1::JOB_STATE_UNSPECIFIED ||
        state == v1::JOB_STATE_LEASED) {
      return InvalidField(ItemField("states", i, ""), std::to_string(state),
                          "SCHEDULED (1), READY (2), SUCCEEDED (4), DEAD (5) or CANCELLED (6)");
    }
  }
  return CheckPickJobs(request.max_jobs());
}

std::optional<Error> CheckRequest(const v1::RedriveJobsRequest& request) {
  if (!request.queue().empty()) {
    if (auto error = CheckQueue(request.queue())) return error;
  }
  if (auto error = CheckType(request.type())) return error;
  if (auto error = CheckText("error_contains", request.error_contains(), 0, kErrorBytesMax)) {
    return error;
  }
  if (!request.error_fingerprint().empty() && !ParseFingerprint(request.error_fingerprint())) {
    return InvalidField("error_fingerprint", ShownValue(request.error_fingerprint()),
                        "16 hexadecimal digits (0-9 a-f), as GroupDeadJobs shows it");
  }
  return CheckPickJobs(request.max_jobs());
}

std::optional<Error> CheckRequest(const v1::GroupDeadJobsRequest& request) {
  if (!request.queue().empty()) {
    if (auto error = CheckQueue(request.queue())) return error;
  }
  return CheckType(request.type());
}

std::optional<Error> CheckPageSize(int32_t page_size, int32_t max) {
  if (page_size >= 0 && page_size <= max) return std::nullopt;
  return InvalidField("page_size", std::to_string(page_size), "0 to " + std::to_string(max));
}

std::optional<Error> CheckRequest(const v1::ListWorkersRequest& request) {
  return CheckPageSize(request.page_size(), kStatsPageSizeMax);
}

std::optional<Error> CheckRequest(const v1::GetJobRequest& request) {
  if (IsId(request.id())) return std::nullopt;
  return InvalidField("id", ShownValue(request.id()), kIdLimit);
}

std::optional<Error> CheckRequest(const v1::ListJobsRequest& request) {
  if (!request.queue().empty()) {
    if (auto error = CheckQueue(request.queue())) return error;
  }
  if (auto error = CheckType(request.type())) return error;
  if (!v1::JobState_IsValid(request.state())) {
    return InvalidField("state", std::to_string(static_cast<int>(request.state())),
                        "a JobState (0 to 6)");
  }
  return CheckPageSize(request.page_size(), kPageSizeMax);
}

std::optional<Error> CheckRequest(const v1::GetStatsRequest& request) {
  if (!request.queue().empty()) {
    if (auto error = CheckQueue(request.queue())) return error;
  }
  return CheckPageSize(request.page_size(), kStatsPageSizeMax);
}

std::optional<Error> CheckItem(const v1::CompleteJobsRequest& request, int index) {
  const auto& item = request.items(index);
  if (auto error = CheckHolder(item, index)) return error;
  if (item.result().size() <= kResultBytesMax) return std::nullopt;
  return TooLarge(ItemField("items", index, "result"), item.result().size(), kResultBytesMax);
}

std::optional<Error> CheckItem(const v1::FailJobsRequest& request, int index) {
  const auto& item = request.items(index);
  if (auto error = CheckHolder(item, index)) return error;
  if (!IsUtf8(item.error())) {
    return InvalidField(ItemField("items", index, "error"), ShownValue(item.error()), kUtf8Limit);
  }
  if (item.has_retry_delay() && !InRange(item.retry_delay(), 0, kBackoffMsMax)) {
    return InvalidField(ItemField("items", index, "retry_delay"), Shown(item.retry_delay()),
                        "0 s to 30 days");
  }
  return std::nullopt;
}

std::optional<Error> CheckItem(const v1::ExtendLeasesRequest& request, int index) {
  return CheckHolder(request.items(index), index);
}
std::optional<Error> CheckItem(const v1::ReleaseJobsRequest& request, int index) {
  return CheckHolder(request.items(index), index);
}
std::optional<Error> CheckItem(const v1::CancelJobsRequest& request, int index) {
  return CheckIdAt(request.ids(index), index);
}
std::optional<Error> CheckItem(const v1::RetryJobsRequest& request, int index) {
  return CheckIdAt(request.ids(index), index);
}
std::optional<Error> CheckItem(const v1::DeleteJobsRequest& request, int index) {
  return CheckIdAt(request.ids(index), index);
}

}  // namespace dqueue::queue
