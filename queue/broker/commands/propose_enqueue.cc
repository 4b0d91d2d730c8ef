#include "queue/broker/commands/propose_enqueue.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "queue/api/error_status.h"
#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/refusals.h"
#include "queue/broker/visible_job.h"
#include "queue/broker/work.h"

namespace dqueue::queue {
namespace {

constexpr char kDefaultName[] = "default";
// Limit on the jobs of an answer (return_jobs). The first job may exceed it. With the ids of a full
// batch an answer stays below 4 MiB, which is what gRPC clients accept by default.
constexpr size_t kReturnedBytesMax = 2 << 20;

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

// 0: at once.
int64_t RunTimeMs(const v1::JobSpec& spec, int64_t now_ms) {
  if (spec.has_delay()) {
    const int64_t delay_ms = DurationMs(spec.delay());
    return delay_ms == 0 ? 0 : now_ms + delay_ms;
  }
  if (!spec.has_run_time()) return 0;
  const int64_t run_ms = TimestampMs(spec.run_time());
  return run_ms > now_ms ? run_ms : 0;
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

// Moves what is large out of `spec`, which CheckJob found well formed.
void FillLogJob(v1::JobSpec* spec, const std::string& id, int64_t now_ms,
                int32_t default_max_retries, log::v1::Enqueue::Job* out) {
  out->set_id(id);
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
  out->set_run_time_ms(RunTimeMs(*spec, now_ms));
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

class EnqueueWork : public Work {
 public:
  // `state` and `jobs` must outlive it.
  EnqueueWork(EnqueueCall* call, const Admission& admission, const StateMachine& state,
              const JobPresenter& jobs)
      : Work(call->deadline, admission),
        state_(state),
        jobs_(jobs),
        all_or_nothing_(call->request.all_or_nothing()),
        return_jobs_(call->request.return_jobs()),
        access_(call->access),
        done_(std::move(call->done)) {
    const int count = call->request.jobs_size();
    response.mutable_results()->Reserve(count);
    for (int i = 0; i < count; ++i) response.add_results();
  }

  // Of an all-or-nothing call, `item` is 0 and stands for all jobs.
  void Set(Time now, uint32_t item, const CommandResult& result, bool) override {
    const bool accepted = result.code == ResultCode::kOk || result.code == ResultCode::kExisting;
    if (all_or_nothing_ && response.results_size() > 1) {
      return accepted ? SetAll(now, result) : RejectAll(result);
    }
    v1::EnqueueJobsResponse::Result* out = response.mutable_results(static_cast<int>(item));
    if (accepted) {
      out->set_created(result.code == ResultCode::kOk);
      if (result.code == ResultCode::kExisting) out->set_id(result.existing_id);
      if (return_jobs_) AddJob(now, result.sequence, out);
    } else if (all_or_nothing_) {
      rejected_ = BatchRejectedError(out->id(), result);
    } else {
      *out->mutable_error() = ToRpcStatus(EnqueueRefusedError(out->id(), result));
    }
  }
  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(rejected_);
    if (error) return done_(*std::move(error));
    done_(std::move(response));
  }

  v1::EnqueueJobsResponse response;

 private:
  void SetAll(Time now, const CommandResult& result) {
    for (auto& each : *response.mutable_results()) each.set_created(true);
    for (const auto& [item, id] : result.existing) {
      DQ_CHECK(item < static_cast<uint32_t>(response.results_size()));
      response.mutable_results(static_cast<int>(item))->set_created(false);
      response.mutable_results(static_cast<int>(item))->set_id(id);
    }
    if (!return_jobs_) return;
    DQ_CHECK(result.sequences.size() == static_cast<size_t>(response.results_size()));
    for (int i = 0; i < response.results_size(); ++i) {
      AddJob(now, result.sequences[i], response.mutable_results(i));
    }
  }
  void RejectAll(const CommandResult& result) {
    DQ_CHECK(result.failed_item < static_cast<uint32_t>(response.results_size()));
    rejected_ = BatchRejectedError(response.results(result.failed_item).id(), result);
  }

  // Adds the job to its result, unless the job is gone or the jobs would exceed kReturnedBytesMax.
  void AddJob(Time now, uint64_t sequence, v1::EnqueueJobsResponse::Result* result) {
    if (returned_bytes_ >= kReturnedBytesMax) return;
    const JobRef ref = FindVisible(state_, result->id(), access_);
    // The id may be another job's by now: after a deletion in the same batch, or because an
    // idempotency key outlives its job.
    if (ref == JobRef{} || state_.Sequence(ref) != sequence) return;
    jobs_.Fill(now, ref, result->mutable_job());
    const size_t bytes = result->job().ByteSizeLong();
    if (returned_bytes_ > 0 && returned_bytes_ + bytes > kReturnedBytesMax) {
      result->clear_job();
      returned_bytes_ = kReturnedBytesMax;
      return;
    }
    returned_bytes_ += bytes;
  }

  const StateMachine& state_;
  const JobPresenter& jobs_;
  const bool all_or_nothing_;
  const bool return_jobs_;
  const QueueAccessPtr access_;
  size_t returned_bytes_ = 0;
  std::function<void(Outcome<v1::EnqueueJobsResponse>)> done_;
  std::optional<Error> rejected_;
};

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

}  // namespace

EnqueueProposer::EnqueueProposer(const BrokerOptions& options, const Admission& admission,
                                 const LogClock& clock, const StateMachine& state,
                                 const JobPresenter& jobs, CommandLog& commands, uint64_t seed)
    : options_(options),
      admission_(admission),
      clock_(clock),
      state_(state),
      jobs_(jobs),
      commands_(commands),
      seed_(seed),
      ids_(seed) {}

void EnqueueProposer::Begin(raft::Term term) {
  ids_.Reseed(HashSequence(seed_).Add(uint64_t{2}).Add(term.value()).Finish());
}

void EnqueueProposer::TakeId(v1::EnqueueJobsRequest* request, int i, int64_t now_ms,
                             std::string* id, log::v1::Enqueue::Job* out) {
  // A log that older programs may read must not have the fields of level 1.
  const bool remembered = !request->request_id().empty() && state_.level() > 0;
  if (!request->jobs(i).id().empty()) {
    *id = std::move(*request->mutable_jobs(i)->mutable_id());
    if (remembered) out->set_request_key(DerivedRequestKey(request->request_id(), i));
  } else if (!request->request_id().empty()) {
    *id = DerivedJobId(request->request_id(), i);
    if (remembered) out->set_id_of_request(true);
  } else {
    *id = ids_.Next(now_ms);
  }
}

void EnqueueProposer::Submit(Time now, EnqueueCall call) {
  v1::EnqueueJobsRequest& request = call.request;
  if (auto error = CheckRequest(request)) return call.done(*std::move(error));
  if (auto error = CheckQueues(call)) return call.done(*std::move(error));
  const int jobs = request.jobs_size();
  const bool all_or_nothing = request.all_or_nothing();
  const int64_t now_ms = clock_.NowMs(now);
  auto owned = std::make_unique<EnqueueWork>(&call, admission_, state_, jobs_);
  EnqueueWork& work = *owned;
  int refused = 0;
  for (int i = 0; i < jobs; ++i) {
    if (auto error = CheckJob(request.jobs(i), i, now_ms)) {
      if (all_or_nothing) return work.Answer(std::move(error));
      *work.response.mutable_results(i)->mutable_error() = ToRpcStatus(*error);
      ++refused;
    }
  }
  if (refused == jobs) return work.Answer(std::nullopt);
  const size_t commands = all_or_nothing ? 1 : jobs - refused;
  if (auto error = admission_.AdmitEnqueue(now, call.deadline, commands, request.GetCachedSize())) {
    return work.Answer(std::move(error));
  }

  WorkPart part(std::move(owned));
  const auto fill = [&](int i, log::v1::Enqueue::Job* out) {
    std::string* id = work.response.mutable_results(i)->mutable_id();
    TakeId(&request, i, now_ms, id, out);
    FillLogJob(request.mutable_jobs(i), *id, now_ms, options_.max_retries, out);
  };
  if (all_or_nothing) {
    log::v1::Enqueue all;
    all.mutable_jobs()->Reserve(jobs);
    for (int i = 0; i < jobs; ++i) fill(i, all.add_jobs());
    return commands_.Append(log::v1::Command::kEnqueueFieldNumber, all, {.part = std::move(part)});
  }
  for (int i = 0; i < jobs; ++i) {
    if (work.response.results(i).has_error()) continue;
    one_.Clear();
    fill(i, one_.add_jobs());
    commands_.Append(log::v1::Command::kEnqueueFieldNumber, one_,
                     {.part = part.Another(), .item = static_cast<uint32_t>(i)});
  }
  part.Done();
}

}  // namespace dqueue::queue
