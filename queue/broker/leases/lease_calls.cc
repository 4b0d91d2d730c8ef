#include "queue/broker/leases/lease_calls.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/check.h"
#include "queue/api/proto_time.h"
#include "queue/api/validate.h"
#include "queue/broker/mutants.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {
namespace {

// Granting stops once an answer has this many bytes of payloads.
constexpr size_t kAnswerBytesMax = 8 << 20;
// Jobs taken at a time, so that few must be released when the answer is full.
constexpr size_t kTakeStep = 64;

Duration WaitOf(const v1::LeaseJobsRequest& request) {
  return std::chrono::milliseconds(request.has_wait() ? DurationMs(request.wait()) : 0);
}

std::optional<Duration> LeaseDurationOf(const v1::LeaseJobsRequest& request) {
  if (!request.has_lease_duration()) return std::nullopt;
  return std::chrono::milliseconds(DurationMs(request.lease_duration()));
}

std::vector<std::string> WithoutRepetitions(
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<std::string> result;
  result.reserve(names.size());
  for (const std::string& name : names) {
    if (std::find(result.begin(), result.end(), name) == result.end()) result.push_back(name);
  }
  return result;
}

// Names the lease request among those of all workers. The lengths make the key unambiguous: names
// may hold any character.
std::string LeaseRequestKey(const LeaseCall& call) {
  const auto with_length = [](const std::string& text) {
    return std::to_string(text.size()) + ':' + text;
  };
  std::string key = with_length(call.request.worker_id());
  key += with_length(call.request.lease_request_id());
  // Names are no secrets: a caller with access to other queues must not get these jobs by using
  // the same names.
  if (call.access != nullptr) {
    for (const std::string& pattern : call.access->patterns()) key += with_length(pattern);
  }
  return key;
}

}  // namespace

LeaseCalls::LeaseCalls(StateMachine& state, const Admission& admission, const LogClock& clock,
                       Grants& grants, LeaseWaits& waits, LeaseRequests& requests,
                       Confirmations& confirmations, WorkerRegistry& workers, JobTimes& times)
    : state_(state),
      admission_(admission),
      clock_(clock),
      grants_(grants),
      waits_(waits),
      requests_(requests),
      confirmations_(confirmations),
      workers_(workers),
      times_(times) {}

void LeaseCalls::Submit(Time now, LeaseCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  LeaseWait wait;
  wait.queues = WithoutRepetitions(call.request.queues());
  if (wait.queues.empty()) wait.queues.push_back("default");
  for (const std::string& queue : wait.queues) {
    if (!Allows(call.access, queue)) return call.done(QueueDeniedError(queue));
  }
  if (auto error = admission_.AdmitWait(now, call.deadline)) return call.done(*std::move(error));
  wait.types = WithoutRepetitions(call.request.types());
  wait.wait_until = now + WaitOf(call.request);
  wait.call = std::move(call);
  const v1::LeaseJobsRequest& request = wait.call.request;
  wait.worker = workers_.Heard(request.worker_id(), now, clock_.wall_ms());
  workers_.Asked(wait.worker, request.host(), wait.queues, wait.types);
  waits_.Add(std::move(wait));
  ServeUnconfirmed(now);
}

void LeaseCalls::OnConfirmed(Time now, std::vector<uint64_t> calls) {
  std::sort(calls.begin(), calls.end());
  for (const uint64_t number : calls) Serve(now, number);
}

void LeaseCalls::OnNotConfirmed(const std::vector<uint64_t>& calls) {
  for (const uint64_t number : calls) {
    if (waits_.Find(number) != nullptr) waits_.Finish(number, admission_.NotServing());
  }
}

void LeaseCalls::ServeUnconfirmed(Time now) {
  if (!DQ_MUTANT(mutants::kGrantWithoutConfirmation) || !admission_.serving()) return;
  OnConfirmed(now, confirmations_.TakeLeaseCalls());
}

void LeaseCalls::Serve(Time now, uint64_t number) {
  LeaseWait* const wait = waits_.Find(number);
  if (wait == nullptr) return;  // its deadline passed
  DQ_CHECK(admission_.serving() && !wait->asleep);
  v1::LeaseJobsResponse response;
  if (IsCancelled(wait->call) || RepeatGrants(now, *wait, &response)) {
    return waits_.Finish(number, std::move(response));
  }
  if (waits_.EarlierIsWoken(number, *wait)) return waits_.WaitForRound(number);
  TakeJobs(now, *wait, &response);
  workers_.Delivered(wait->worker, static_cast<size_t>(response.jobs_size()));
  if (response.jobs_size() > 0 || now >= wait->wait_until) {
    return waits_.Finish(number, std::move(response));
  }
  waits_.Sleep(number, wait);
}

void LeaseCalls::TakeJobs(Time now, const LeaseWait& wait, v1::LeaseJobsResponse* response) {
  const v1::LeaseJobsRequest& request = wait.call.request;
  const auto max = static_cast<size_t>(request.max_jobs());
  uint32_t lease_request = 0;
  size_t bytes = 0;
  std::vector<JobRef> taken;
  const int64_t log_now_ms = clock_.NowMs(now);
  while (static_cast<size_t>(response->jobs_size()) < max && bytes < kAnswerBytesMax) {
    taken.clear();
    state_.TakeReady(wait.queues, wait.types, std::min(max - response->jobs_size(), kTakeStep),
                     &taken);
    if (taken.empty()) return;
    for (const JobRef job : taken) {
      if (grants_.KeepBack(job)) continue;
      if (bytes >= kAnswerBytesMax) {
        waits_.ReleaseJob(job);
        continue;
      }
      if (lease_request == 0 && !request.lease_request_id().empty()) {
        lease_request = requests_.Open(LeaseRequestKey(wait.call));
      }
      bytes += AddJob(now, log_now_ms, wait, job, lease_request, response);
    }
  }
}

void LeaseCalls::FillJob(JobRef job, v1::Job* out) const {
  state_.FillJob(job, /*full=*/true, out);
  // Most jobs are at their first attempt.
  if (out->counters().delivered() > 0) state_.FillAttempts(job, out);
}

size_t LeaseCalls::AddJob(Time now, int64_t log_now_ms, const LeaseWait& wait, JobRef job,
                          uint32_t request, v1::LeaseJobsResponse* response) {
  const JobView view = state_.View(job);
  const LeaseInfo& lease =
      grants_.Grant(now, job, view, wait.worker, LeaseDurationOf(wait.call.request), request);
  const int64_t waited_ms = std::max<int64_t>(log_now_ms - view.since_ms, 0);
  times_.Dispatched(lease.owner.queue, std::chrono::milliseconds(waited_ms));
  v1::Job* const out = response->add_jobs();
  FillJob(job, out);
  grants_.FillLease(now, lease, out);
  if (on_grant_) on_grant_(out->id(), lease.token);
  size_t bytes = out->payload().size() + out->result().size();
  for (const v1::Attempt& attempt : out->attempts()) bytes += attempt.ByteSizeLong();
  return bytes;
}

bool LeaseCalls::RepeatGrants(Time now, const LeaseWait& wait, v1::LeaseJobsResponse* response) {
  if (wait.call.request.lease_request_id().empty()) return false;
  const LeaseRequests::Grants* const grants = requests_.Find(LeaseRequestKey(wait.call));
  if (grants == nullptr) return false;
  for (const auto& [job, token] : *grants) {
    const LeaseInfo* lease = grants_.Find(job);
    if (lease == nullptr || lease->token != token || lease->acking() || lease->expires <= now) {
      continue;
    }
    grants_.Redeliver(job);
    v1::Job* const out = response->add_jobs();
    FillJob(job, out);
    grants_.FillLease(now, *lease, out);
  }
  return response->jobs_size() > 0;
}

}  // namespace dqueue::queue
