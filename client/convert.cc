#include "client/convert.h"

#include <algorithm>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace dqueue::client {
namespace {

constexpr int64_t kNanos = 1000000000;

void SetTime(WallTime time, google::protobuf::Timestamp* out) {
  const int64_t ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  int64_t seconds = ns / kNanos;
  int64_t nanos = ns % kNanos;
  if (nanos < 0) {
    nanos += kNanos;
    --seconds;
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(nanos));
}

Duration GetDuration(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) +
         std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(duration.nanos()));
}

v1::RetryPolicy::Backoff ToProto(RetryPolicy::Backoff backoff) {
  switch (backoff) {
    case RetryPolicy::Backoff::kNone:
      return v1::RetryPolicy::BACKOFF_NONE;
    case RetryPolicy::Backoff::kFixed:
      return v1::RetryPolicy::BACKOFF_FIXED;
    case RetryPolicy::Backoff::kLinear:
      return v1::RetryPolicy::BACKOFF_LINEAR;
    case RetryPolicy::Backoff::kExponential:
      return v1::RetryPolicy::BACKOFF_EXPONENTIAL;
    case RetryPolicy::Backoff::kDefault:
      break;
  }
  return v1::RetryPolicy::BACKOFF_UNSPECIFIED;
}

bool HasPolicy(const RetryPolicy& retry) {
  return retry.max_retries || retry.backoff != RetryPolicy::Backoff::kDefault || retry.base ||
         retry.max_delay || retry.jitter || retry.max_expirations;
}

JobState FromProto(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_SCHEDULED:
      return JobState::kScheduled;
    case v1::JOB_STATE_READY:
      return JobState::kReady;
    case v1::JOB_STATE_LEASED:
      return JobState::kLeased;
    case v1::JOB_STATE_SUCCEEDED:
      return JobState::kSucceeded;
    case v1::JOB_STATE_DEAD:
      return JobState::kDead;
    case v1::JOB_STATE_CANCELLED:
      return JobState::kCancelled;
    default:
      return JobState::kUnknown;
  }
}

std::string DeadReasonName(v1::DeadReason reason) {
  switch (reason) {
    case v1::DEAD_REASON_FAILED:
      return "FAILED";
    case v1::DEAD_REASON_LEASE_EXPIRED:
      return "LEASE_EXPIRED";
    case v1::DEAD_REASON_JOB_EXPIRED:
      return "JOB_EXPIRED";
    case v1::DEAD_REASON_REJECTED:
      return "REJECTED";
    default:
      return "";
  }
}

const char* AttemptEndName(v1::Attempt::End end) {
  switch (end) {
    case v1::Attempt::END_FAILED:
      return "FAILED";
    case v1::Attempt::END_REJECTED:
      return "REJECTED";
    case v1::Attempt::END_EXPIRED:
      return "EXPIRED";
    default:
      return "";
  }
}

Attempt FromProto(v1::Attempt&& in) {
  Attempt out;
  out.number = in.number();
  out.end = AttemptEndName(in.end());
  out.worker_id = std::move(*in.mutable_worker_id());
  if (in.has_end_time()) out.end_time = GetTime(in.end_time());
  if (in.has_held()) out.held = GetDuration(in.held());
  out.error = std::move(*in.mutable_error());
  return out;
}

// Returns the length of the UTF-8 character at the start of `text`; 0 if it is not valid (RFC
// 3629).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80;  // range of the second byte
  unsigned char high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

}  // namespace

WallTime GetTime(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(
      std::chrono::seconds(time.seconds()) + std::chrono::nanoseconds(time.nanos())));
}

void ToProto(Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(duration.count() / 1000);
  out->set_nanos(static_cast<int32_t>(duration.count() % 1000 * 1000000));
}

void ToProto(const FencingToken& token, v1::LeaseToken* out) {
  out->set_term(token.term);
  out->set_sequence(token.sequence);
  out->set_job(token.job);
}

void ToProto(JobSpec&& spec, v1::JobSpec* out) {
  out->set_id(std::move(spec.id));
  if (!spec.queue.empty()) out->set_queue(std::move(spec.queue));
  if (!spec.type.empty()) out->set_type(std::move(spec.type));
  out->set_payload(std::move(spec.payload));
  out->set_priority(spec.priority);
  if (spec.run_time) SetTime(*spec.run_time, out->mutable_run_time());
  if (spec.delay) ToProto(*spec.delay, out->mutable_delay());
  if (spec.expire_time) SetTime(*spec.expire_time, out->mutable_expire_time());
  if (HasPolicy(spec.retry)) {
    v1::RetryPolicy* retry = out->mutable_retry();
    if (spec.retry.max_retries) retry->set_max_retries(*spec.retry.max_retries);
    retry->set_backoff(ToProto(spec.retry.backoff));
    if (spec.retry.base) ToProto(*spec.retry.base, retry->mutable_base());
    if (spec.retry.max_delay) ToProto(*spec.retry.max_delay, retry->mutable_max_delay());
    if (spec.retry.jitter) retry->set_jitter(*spec.retry.jitter);
    if (spec.retry.max_expirations) retry->set_max_expirations(*spec.retry.max_expirations);
  }
  if (!spec.idempotency_key.empty()) out->set_idempotency_key(std::move(spec.idempotency_key));
  if (spec.idempotency_window) {
    ToProto(*spec.idempotency_window, out->mutable_idempotency_window());
  }
  if (!spec.ordering_key.empty()) out->set_ordering_key(std::move(spec.ordering_key));
  for (auto& [key, value] : spec.headers) (*out->mutable_headers())[key] = std::move(value);
  for (auto& [key, value] : spec.labels) (*out->mutable_labels())[key] = std::move(value);
  if (spec.retention) ToProto(*spec.retention, out->mutable_retention());
  if (spec.lease_duration) ToProto(*spec.lease_duration, out->mutable_lease_duration());
}

Job FromProto(v1::Job&& in) {
  Job out;
  out.id = std::move(*in.mutable_id());
  out.queue = std::move(*in.mutable_queue());
  out.type = std::move(*in.mutable_type());
  out.payload = std::move(*in.mutable_payload());
  out.state = FromProto(in.state());
  out.priority = in.priority();
  if (in.has_create_time()) out.create_time = GetTime(in.create_time());
  if (in.has_run_time()) out.run_time = GetTime(in.run_time());
  if (in.has_expire_time()) out.expire_time = GetTime(in.expire_time());
  if (in.has_finish_time()) out.finish_time = GetTime(in.finish_time());
  out.max_retries = in.retry().max_retries();
  out.idempotency_key = std::move(*in.mutable_idempotency_key());
  out.ordering_key = std::move(*in.mutable_ordering_key());
  for (const auto& [key, value] : in.headers()) out.headers.emplace(key, value);
  for (const auto& [key, value] : in.labels()) out.labels.emplace(key, value);
  out.delivered = in.counters().delivered();
  out.failed = in.counters().failed();
  out.expired = in.counters().expired();
  out.result = std::move(*in.mutable_result());
  out.last_error = std::move(*in.mutable_last_error());
  out.dead_reason = DeadReasonName(in.dead_reason());
  if (in.has_lease()) {
    out.token = {in.lease().token().term(), in.lease().token().sequence(),
                 in.lease().token().job()};
    out.worker_id = std::move(*in.mutable_lease()->mutable_worker_id());
    out.lease_remaining = GetDuration(in.lease().remaining());
  }
  if (in.has_lease_duration()) out.lease_duration = GetDuration(in.lease_duration());
  for (v1::Attempt& attempt : *in.mutable_attempts()) {
    out.attempts.push_back(FromProto(std::move(attempt)));
  }
  return out;
}

QueueStats FromProto(const v1::QueueStats& in) {
  QueueStats out;
  out.queue = in.queue();
  out.scheduled = in.scheduled();
  out.ready = in.ready();
  out.leased = in.leased();
  out.succeeded = in.succeeded();
  out.dead = in.dead();
  out.cancelled = in.cancelled();
  out.enqueued = in.enqueued();
  out.purged = in.purged();
  out.completions = in.completions();
  out.failures = in.failures();
  out.expirations = in.expirations();
  out.deaths = in.deaths();
  out.cancellations = in.cancellations();
  out.retries = in.retries();
  out.oldest_ready_age = GetDuration(in.oldest_ready_age());
  out.paused = in.paused();
  out.refuses_enqueues = in.refuses_enqueues();
  return out;
}

void AddPage(const v1::GetStatsResponse& page, bool first, Stats* stats) {
  const QueueStats total = FromProto(page.total());
  stats->applied_index = page.applied_index();
  for (const v1::QueueStats& queue : page.queues()) stats->queues.push_back(FromProto(queue));
  if (first) {
    stats->total = total;
    return;
  }
  // Without a number of all queues, the total of a page is that of its queues.
  if (page.total_size() > 0) return;
  QueueStats& sum = stats->total;
  for (const auto count :
       {&QueueStats::scheduled, &QueueStats::ready, &QueueStats::leased, &QueueStats::succeeded,
        &QueueStats::dead, &QueueStats::cancelled, &QueueStats::enqueued, &QueueStats::purged,
        &QueueStats::completions, &QueueStats::failures, &QueueStats::expirations,
        &QueueStats::deaths, &QueueStats::cancellations, &QueueStats::retries}) {
    sum.*count += total.*count;
  }
  sum.oldest_ready_age = std::max(sum.oldest_ready_age, total.oldest_ready_age);
}

DeadGroups FromProto(v1::GroupDeadJobsResponse&& in) {
  DeadGroups out;
  out.more = in.more();
  for (v1::GroupDeadJobsResponse::Group& group : *in.mutable_groups()) {
    DeadGroup& to = out.groups.emplace_back();
    to.queue = std::move(*group.mutable_queue());
    to.type = std::move(*group.mutable_type());
    to.reason = DeadReasonName(group.reason());
    to.error_fingerprint = std::move(*group.mutable_error_fingerprint());
    to.error = std::move(*group.mutable_error());
    to.jobs = static_cast<uint64_t>(group.jobs());
    if (group.has_first_time()) to.first_time = GetTime(group.first_time());
    if (group.has_last_time()) to.last_time = GetTime(group.last_time());
    to.sample_ids.assign(group.sample_ids().begin(), group.sample_ids().end());
  }
  return out;
}

std::vector<WorkerInfo> FromProto(v1::ListWorkersResponse&& in) {
  std::vector<WorkerInfo> out;
  out.reserve(static_cast<size_t>(in.workers_size()));
  for (v1::Worker& worker : *in.mutable_workers()) {
    WorkerInfo& to = out.emplace_back();
    to.id = std::move(*worker.mutable_id());
    to.host = std::move(*worker.mutable_host());
    if (worker.has_first_time()) to.first_time = GetTime(worker.first_time());
    if (worker.has_last_time()) to.last_time = GetTime(worker.last_time());
    to.waiting = worker.waiting();
    to.leased = worker.leased();
    to.delivered = worker.delivered();
    to.completed = worker.completed();
    to.failed = worker.failed();
    to.expired = worker.expired();
    to.queues.assign(worker.queues().begin(), worker.queues().end());
    to.types.assign(worker.types().begin(), worker.types().end());
  }
  return out;
}

ClusterView FromProto(v1::GetClusterResponse&& in) {
  ClusterView out;
  out.cluster_id = std::move(*in.mutable_cluster_id());
  out.node_id = std::move(*in.mutable_node_id());
  out.role = std::move(*in.mutable_role());
  out.leader_id = std::move(*in.mutable_leader_id());
  out.leader_address = std::move(*in.mutable_leader_address());
  out.version = std::move(*in.mutable_version());
  out.term = in.term();
  out.commit_index = in.commit_index();
  out.applied_index = in.applied_index();
  out.last_index = in.last_index();
  out.snapshot_index = in.snapshot_index();
  out.state_digest = in.state_digest();
  for (v1::GetClusterResponse::Member& member : *in.mutable_members()) {
    out.members.push_back({.id = std::move(*member.mutable_id()),
                           .address = std::move(*member.mutable_address()),
                           .voter = member.voter(),
                           .leader = member.leader(),
                           .reachable = member.reachable(),
                           .match_index = member.match_index()});
  }
  return out;
}

v1::JobState ToProto(JobState state) {
  switch (state) {
    case JobState::kScheduled:
      return v1::JOB_STATE_SCHEDULED;
    case JobState::kReady:
      return v1::JOB_STATE_READY;
    case JobState::kLeased:
      return v1::JOB_STATE_LEASED;
    case JobState::kSucceeded:
      return v1::JOB_STATE_SUCCEEDED;
    case JobState::kDead:
      return v1::JOB_STATE_DEAD;
    case JobState::kCancelled:
      return v1::JOB_STATE_CANCELLED;
    case JobState::kUnknown:
      break;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

Code FromRpcCode(int code) {
  switch (static_cast<grpc::StatusCode>(code)) {
    case grpc::StatusCode::OK:
      return Code::kOk;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE:
      return Code::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND:
      return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS:
      return Code::kAlreadyExists;
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::ABORTED:
      return Code::kFailedPrecondition;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Code::kResourceExhausted;
    case grpc::StatusCode::UNAVAILABLE:
      return Code::kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Code::kDeadlineExceeded;
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return Code::kPermissionDenied;
    default:
      return Code::kInternal;
  }
}

Status FromRpcStatus(const google::rpc::Status& status) {
  Status result;
  if (status.code() == 0) return result;
  result.code = FromRpcCode(status.code());
  result.message = status.message();
  for (const google::protobuf::Any& any : status.details()) {
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&info)) result.reason = info.reason();
  }
  return result;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string MakeUtf8Middle(std::string_view text, size_t max_bytes) {
  const std::string whole = MakeUtf8(text, SIZE_MAX);
  if (whole.size() <= max_bytes) return whole;
  const auto mark = [](size_t bytes) { return " […" + std::to_string(bytes) + " bytes cut…] "; };
  const size_t room = max_bytes - std::min(max_bytes, mark(whole.size()).size());
  const std::string head = MakeUtf8(whole, room / 4);
  size_t tail = whole.size() - (room - room / 4);
  while (tail < whole.size() && (whole[tail] & 0xC0) == 0x80) ++tail;
  return head + mark(tail - head.size()) + whole.substr(tail);
}

std::string MakeUtf8(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const std::string_view next = length == 0 ? std::string_view("?") : text.substr(0, length);
    if (out.size() + next.size() > max_bytes) break;
    out += next;
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string FieldNotUtf8(const JobSpec& spec) {
  const std::pair<const char*, const std::string*> fields[] = {
      {"id", &spec.id},
      {"queue", &spec.queue},
      {"type", &spec.type},
      {"idempotency_key", &spec.idempotency_key},
      {"ordering_key", &spec.ordering_key},
  };
  for (const auto& [name, value] : fields) {
    if (!IsUtf8(*value)) return name;
  }
  for (const auto& [key, value] : spec.headers) {
    if (!IsUtf8(key) || !IsUtf8(value)) return "headers";
  }
  for (const auto& [key, value] : spec.labels) {
    if (!IsUtf8(key) || !IsUtf8(value)) return "labels";
  }
  return "";
}

size_t CostOf(const JobSpec& spec) {
  constexpr size_t kFixed = 64;
  size_t bytes = kFixed + spec.payload.size() + spec.id.size() + spec.queue.size() +
                 spec.type.size() + spec.idempotency_key.size() + spec.ordering_key.size();
  for (const auto& [key, value] : spec.headers) bytes += key.size() + value.size() + 16;
  for (const auto& [key, value] : spec.labels) bytes += key.size() + value.size() + 16;
  return bytes;
}

}  // namespace dqueue::client
