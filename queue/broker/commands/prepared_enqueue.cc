#include "queue/broker/commands/prepared_enqueue.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "dqueue/v1/command.pb.h"
#include "queue/api/error_status.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/refusals.h"
#include "queue/broker/visible_job.h"

namespace dqueue::queue {
namespace {

constexpr char kDefaultName[] = "default";
// The leader checks run times with its own clock.
constexpr int64_t kNoTimeLimit = std::numeric_limits<int64_t>::max() - kRunTimeAheadMsMax;

void FillPairs(const google::protobuf::Map<std::string, std::string>& from,
               google::protobuf::RepeatedPtrField<log::v1::KeyValue>* to) {
  if (from.empty()) return;
  std::vector<const google::protobuf::MapPair<std::string, std::string>*> sorted;
  sorted.reserve(from.size());
  for (const auto& pair : from) sorted.push_back(&pair);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const auto* pair : sorted) {
    log::v1::KeyValue* out = to->Add();
    out->set_key(pair->first);
    out->set_value(pair->second);
  }
}

void FillRetry(const v1::RetryPolicy& retry, int32_t default_max_retries,
               log::v1::Enqueue::Job* out) {
  out->set_max_retries(retry.has_max_retries() ? retry.max_retries() : default_max_retries);
  out->set_max_expirations(retry.has_max_expirations() ? retry.max_expirations()
                                                       : kDefaultMaxExpirations);
  out->set_backoff(retry.backoff() == v1::RetryPolicy::BACKOFF_UNSPECIFIED
                       ? v1::RetryPolicy::BACKOFF_EXPONENTIAL
                       : retry.backoff());
  const int64_t base_ms = retry.has_base() ? DurationMs(retry.base()) : kBackoffBaseMsDefault;
  out->set_backoff_base_ms(base_ms);
  out->set_backoff_max_ms(retry.has_max_delay() ? DurationMs(retry.max_delay())
                                                : std::max(base_ms, kBackoffMsDefault));
  out->set_jitter_permille(retry.has_jitter()
                               ? static_cast<uint32_t>(std::lround(retry.jitter() * 1000))
                               : kJitterPermilleDefault);
}

// All but what the leader decides. Moves what is large out of `spec`, which CheckJob found well
// formed.
void FillLogJob(v1::JobSpec* spec, int32_t default_max_retries, log::v1::Enqueue::Job* out) {
  if (spec->queue().empty()) {
    out->set_queue(kDefaultName);
  } else {
    out->set_queue(std::move(*spec->mutable_queue()));
  }
  if (spec->type().empty()) {
    out->set_type(kDefaultName);
  } else {
    out->set_type(std::move(*spec->mutable_type()));
  }
  out->set_payload(std::move(*spec->mutable_payload()));
  out->set_priority(static_cast<uint32_t>(spec->priority()));
  if (spec->has_expire_time()) {
    // 0 would mean never.
    out->set_expire_time_ms(std::max<int64_t>(TimestampMs(spec->expire_time()), 1));
  }
  FillRetry(spec->retry(), default_max_retries, out);
  if (!spec->idempotency_key().empty()) {
    out->set_idempotency_key(std::move(*spec->mutable_idempotency_key()));
    out->set_idempotency_window_ms(spec->has_idempotency_window()
                                       ? DurationMs(spec->idempotency_window())
                                       : kIdempotencyWindowMsDefault);
  }
  if (!spec->ordering_key().empty()) out->set_ordering_key(spec->ordering_key());
  FillPairs(spec->headers(), out->mutable_headers());
  FillPairs(spec->labels(), out->mutable_labels());
  out->set_retention_ms(spec->has_retention() ? DurationMs(spec->retention()) : -1);
  if (spec->has_lease_duration()) out->set_lease_duration_ms(DurationMs(spec->lease_duration()));
}

// Why the call as a whole is refused, whatever its jobs say.
std::optional<Error> CheckQueues(const EnqueueCall& call) {
  if (call.access == nullptr) return std::nullopt;
  for (const v1::JobSpec& job : call.request.jobs()) {
    const std::string queue = job.queue().empty() ? kDefaultName : job.queue();
    if (!IsQueueName(queue)) continue;  // CheckJob refuses it
    if (!Allows(call.access, queue)) return QueueDeniedError(queue);
  }
  return std::nullopt;
}

PreparedEnqueue::Job PrepareJob(const BrokerOptions& options, int item, v1::JobSpec* spec,
                                log::v1::Enqueue::Job* scratch, std::string* bytes) {
  PreparedEnqueue::Job job;
  job.item = item;
  job.id = std::move(*spec->mutable_id());
  if (spec->has_delay()) {
    job.delay_ms = DurationMs(spec->delay());
  } else if (spec->has_run_time()) {
    job.run_time_ms = TimestampMs(spec->run_time());
    job.run_time = spec->run_time();
  }
  job.begin = bytes->size();
  scratch->Clear();
  FillLogJob(spec, options.max_retries, scratch);
  scratch->AppendToString(bytes);
  job.end = bytes->size();
  return job;
}

}  // namespace

bool Prepare(const BrokerOptions& options, EnqueueCall* call) {
  v1::EnqueueJobsRequest& request = call->request;
  std::optional<Error> error = CheckRequest(request);
  if (!error) error = CheckQueues(*call);
  if (error) {
    call->done(*std::move(error));
    return false;
  }
  auto prepared = std::make_shared<PreparedEnqueue>();
  const int count = request.jobs_size();
  prepared->bytes.reserve(request.ByteSizeLong() + static_cast<size_t>(count) * 48);
  prepared->jobs.reserve(count);
  prepared->response.mutable_results()->Reserve(count);
  log::v1::Enqueue::Job scratch;
  for (int i = 0; i < count; ++i) {
    v1::EnqueueJobsResponse::Result* const result = prepared->response.add_results();
    if (auto refused = CheckJob(request.jobs(i), i, kNoTimeLimit)) {
      if (request.all_or_nothing()) {
        call->done(*std::move(refused));
        return false;
      }
      *result->mutable_error() = ToRpcStatus(*refused);
      continue;
    }
    prepared->jobs.push_back(
        PrepareJob(options, i, request.mutable_jobs(i), &scratch, &prepared->bytes));
  }
  if (prepared->jobs.empty()) {
    call->done(std::move(prepared->response));
    return false;
  }
  prepared->request_id = std::move(*request.mutable_request_id());
  prepared->all_or_nothing = request.all_or_nothing();
  prepared->return_jobs = request.return_jobs();
  v1::EnqueueJobsRequest().Swap(&request);
  call->prepared = std::move(prepared);
  return true;
}

}  // namespace dqueue::queue
