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

// Larger answers are made on another thread. In bytes and jobs.
constexpr size_t kAnswerHereBytesMax = 128 << 10;
constexpr int kAnswerHereJobsMax = 200;
// Calls that one turn serves, at most.
constexpr size_t kServedMax = 1024;

void AddAllExtras(const std::vector<JobExtras>& extras, v1::LeaseJobsResponse* response) {
  for (int i = 0; i < response->jobs_size(); ++i) AddExtras(extras[i], response->mutable_jobs(i));
}

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
                       Confirmations& confirmations, WorkerRegistry& workers, JobTimes& times,
                       Elsewhere& elsewhere)
    : state_(state),
      admission_(admission),
      clock_(clock),
      grants_(grants),
      waits_(waits),
      requests_(requests),
      confirmations_(confirmations),
      workers_(workers),
      times_(times),
      elsewhere_(elsewhere) {}

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
  // In the order of arrival; only those that may be served in this turn are sorted.
  const size_t served = std::min(calls.size(), kServedMax);
  std::partial_sort(calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(served),
                    calls.end());
  size_t next = 0;
  for (; next < served && !admission_.pace().Exhausted(); ++next) {
    const LeaseWait* const wait = waits_.Find(calls[next]);
    if (wait == nullptr) continue;  // its deadline passed
    if (!admission_.pace().Allows(LeaseWaits::CostOfSleep(*wait))) break;
    Serve(now, calls[next]);
  }
  // The others are not looked at: there may be very many. Of those whose deadline passed, the next
  // round finds nothing.
  for (; next < calls.size(); ++next) waits_.WaitForRound(calls[next]);
}

void LeaseCalls::OnNotConfirmed(const std::vector<uint64_t>& calls) {
  for (const uint64_t number : calls) {
    if (admission_.pace().Exhausted()) {
      waits_.WaitForRound(number);
    } else if (waits_.Find(number) != nullptr) {
      waits_.Finish(number, admission_.NotServing());
    }
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
  admission_.pace().Spend(kFindNs);
  Granted granted;
  if (IsCancelled(wait->call) || RepeatGrants(now, *wait, &granted)) {
    return Finish(number, std::move(granted));
  }
  if (waits_.EarlierIsWoken(number, *wait)) return waits_.WaitForRound(number);
  admission_.pace().Spend(LeaseWaits::CostOfSleep(*wait));
  TakeJobs(now, *wait, &granted);
  workers_.Delivered(wait->worker, static_cast<size_t>(granted.response.jobs_size()));
  if (granted.response.jobs_size() > 0 || now >= wait->wait_until) {
    return Finish(number, std::move(granted));
  }
  waits_.Sleep(number, wait);
}

void LeaseCalls::Finish(uint64_t number, Granted granted) {
  // Small answers are made here: another thread would have to wake up for each.
  const bool large =
      granted.bytes > kAnswerHereBytesMax || granted.response.jobs_size() > kAnswerHereJobsMax;
  if (!large) {
    AddAllExtras(granted.extras, &granted.response);
    return waits_.Finish(number, std::move(granted.response));
  }
  elsewhere_.Run([done = waits_.End(number), granted = std::move(granted)]() mutable {
    AddAllExtras(granted.extras, &granted.response);
    done(std::move(granted.response));
  });
}

void LeaseCalls::TakeJobs(Time now, const LeaseWait& wait, Granted* granted) {
  const v1::LeaseJobsResponse* const response = &granted->response;
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
      bytes += AddJob(now, log_now_ms, wait, job, lease_request, granted);
    }
  }
}

size_t LeaseCalls::AddJob(Time now, int64_t log_now_ms, const LeaseWait& wait, JobRef job,
                          uint32_t request, Granted* granted) {
  const JobView view = state_.View(job);
  const LeaseInfo& lease =
      grants_.Grant(now, job, view, wait.worker, LeaseDurationOf(wait.call.request), request);
  const int64_t waited_ms = std::max<int64_t>(log_now_ms - view.since_ms, 0);
  times_.Dispatched(lease.owner.queue, std::chrono::milliseconds(waited_ms));
  Show(now, lease, granted);
  const v1::Job& shown = granted->response.jobs(granted->response.jobs_size() - 1);
  if (on_grant_) on_grant_(shown.id(), lease.token);
  return shown.payload().size() + shown.result().size() + granted->extras.back().attempts.size();
}

void LeaseCalls::Show(Time now, const LeaseInfo& lease, Granted* granted) {
  v1::Job* const out = granted->response.add_jobs();
  JobExtras& extras = granted->extras.emplace_back();
  state_.FillJobWithout(lease.job, out, &extras);
  grants_.FillLease(now, lease, out);
  // Small fields cost most: headers, labels and attempts count several times.
  const size_t bytes = out->payload().size() + out->result().size() +
                       8 * (extras.headers.size() + extras.labels.size() + extras.attempts.size());
  granted->bytes += bytes;
  admission_.pace().Spend(kFindNs + kShowNs + CostOfCopying(out->payload().size()));
}

bool LeaseCalls::RepeatGrants(Time now, const LeaseWait& wait, Granted* granted) {
  if (wait.call.request.lease_request_id().empty()) return false;
  const LeaseRequests::Grants* const grants = requests_.Find(LeaseRequestKey(wait.call));
  if (grants == nullptr) return false;
  for (const auto& [job, token] : *grants) {
    const LeaseInfo* lease = grants_.Find(job);
    if (lease == nullptr || lease->token != token || lease->acking() || lease->expires <= now) {
      continue;
    }
    grants_.Redeliver(job);
    Show(now, *lease, granted);
  }
  return granted->response.jobs_size() > 0;
}

}  // namespace dqueue::queue
