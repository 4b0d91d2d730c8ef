// Grants, and who waits for them. A lease call waits for a confirmation round; if then nothing is
// ready, it sleeps on its queues until a job becomes ready or its wait is over. A job wakes the
// call that came first among those that want it, and the woken call waits for a round of its own.
//
// No wake-up is lost: a woken call that goes without having emptied what it was woken for passes
// the wake-up on. So while a job is ready, nobody who wants it sleeps unless someone woken for such
// a job is still to be served.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/api/proto_time.h"
#include "queue/api/validate.h"
#include "queue/broker/broker_impl.h"
#include "queue/broker/mutants.h"

namespace dqueue::queue {
namespace {

// Granting stops once an answer has this many bytes of payloads.
constexpr size_t kAnswerBytesMax = 8 << 20;
// Jobs taken at a time, so that few must be given back when the answer is full.
constexpr size_t kTakeStep = 64;

Duration WaitOf(const v1::LeaseJobsRequest& request) {
  return std::chrono::milliseconds(request.has_wait() ? DurationMs(request.wait()) : 0);
}

bool IsCancelled(const LeaseCall& call) {
  return call.cancelled != nullptr && call.cancelled->load(std::memory_order_relaxed);
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

}  // namespace

void BrokerImpl::Submit(Time now, int64_t, LeaseCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  std::vector<std::string> queues = WithoutRepetitions(call.request.queues());
  if (queues.empty()) queues.push_back("default");
  for (const std::string& queue : queues) {
    if (!Allows(call.access, queue)) return call.done(QueueDeniedError(queue));
  }
  if (auto error = AdmitWaiting(now, call.deadline)) return call.done(*std::move(error));
  const uint64_t number = next_number_++;
  LeaseWait& wait = lease_waits_[number];
  wait.queues = std::move(queues);
  wait.types = WithoutRepetitions(call.request.types());
  wait.wait_until = now + WaitOf(call.request);
  wait.call = std::move(call);
  wait.worker = workers_.Heard(wait.call.request.worker_id(), now, wall_ms_);
  workers_.Asked(wait.worker, wait.call.request.host(), wait.queues, wait.types);
  workers_.BeginWait(wait.worker);
  SetTimer(number, &wait.timer, wait.call.deadline);
  gathering_.leases.push_back(number);
  ServeUnconfirmed(now);
}

void BrokerImpl::Serve(Time now, std::vector<uint64_t> calls) {
  std::sort(calls.begin(), calls.end());
  for (const uint64_t number : calls) ServeOne(now, number);
}

void BrokerImpl::ServeOne(Time now, uint64_t number) {
  const auto it = lease_waits_.find(number);
  if (it == lease_waits_.end()) return;  // its deadline passed
  LeaseWait& wait = it->second;
  DQ_CHECK(serving_ && !wait.asleep);
  v1::LeaseJobsResponse response;
  if (IsCancelled(wait.call) || RepeatGrant(now, wait, &response)) {
    return FinishLease(number, std::move(response));
  }
  if (OlderIsWoken(wait, number)) {
    // What is ready belongs to calls that have waited longer and whose round is still running.
    gathering_.leases.push_back(number);
    return;
  }
  TakeJobs(now, wait, &response);
  workers_.Delivered(wait.worker, static_cast<size_t>(response.jobs_size()));
  if (response.jobs_size() > 0 || now >= wait.wait_until) {
    return FinishLease(number, std::move(response));
  }
  ForgetWake(number, &wait);
  Sleep(number, &wait);
}

bool BrokerImpl::OlderIsWoken(const LeaseWait& wait, uint64_t number) const {
  if (sleepers_.empty()) return false;
  return std::any_of(wait.queues.begin(), wait.queues.end(), [&](const std::string& queue) {
    const auto it = sleepers_.find(queue);
    return it != sleepers_.end() && !it->second.woken.empty() && *it->second.woken.begin() < number;
  });
}

void BrokerImpl::TakeJobs(Time now, const LeaseWait& wait, v1::LeaseJobsResponse* response) {
  const v1::LeaseJobsRequest& request = wait.call.request;
  const auto max = static_cast<size_t>(request.max_jobs());
  uint32_t lease_request = 0;
  size_t bytes = 0;
  std::vector<JobRef> taken;
  const int64_t log_now_ms = LogTimeMs(now, wall_ms_);
  while (static_cast<size_t>(response->jobs_size()) < max && bytes < kAnswerBytesMax) {
    taken.clear();
    state_->TakeReady(wait.queues, wait.types, std::min(max - response->jobs_size(), kTakeStep),
                      &taken);
    if (taken.empty()) return;
    for (const JobRef ref : taken) {
      if (leases_.Find(ref) != nullptr) {
        // A late command for it is in flight: it must not be leased before that is decided.
        leases_.SetHeld(ref);
        continue;
      }
      if (KeptForDeletion(ref)) continue;
      if (bytes >= kAnswerBytesMax) {
        ReleaseJob(ref);
        continue;
      }
      const JobView view = state_->View(ref);
      const Duration duration =
          request.has_lease_duration()
              ? Duration(std::chrono::milliseconds(DurationMs(request.lease_duration())))
              : LeaseFor(view);
      if (lease_request == 0 && !request.lease_request_id().empty()) {
        lease_request = NewLeaseRequest(LeaseRequestKey(wait.call));
      }
      const LeaseOwner owner{
          .worker = wait.worker, .queue = times_.Number(view.queue), .granted = now};
      const LeaseToken token = leases_.Grant(ref, owner, now + duration, lease_request);
      workers_.Hold(wait.worker);
      times_.Dispatched(
          owner.queue, std::chrono::milliseconds(std::max<int64_t>(log_now_ms - view.since_ms, 0)));
      if (lease_request != 0) {
        lease_requests_[lease_request].grants.emplace_back(ref, token);
        ++lease_requests_[lease_request].held;
      }
      v1::Job* job = response->add_jobs();
      state_->FillJob(ref, /*full=*/true, job);
      FillLease(now, *leases_.Find(ref), job);
      bytes += job->payload().size() + job->result().size();
      if (on_grant_) on_grant_(job->id(), token);
    }
  }
}

void BrokerImpl::FillLease(Time now, const LeaseInfo& lease, v1::Job* job) const {
  job->set_state(v1::JOB_STATE_LEASED);
  v1::Lease* out = job->mutable_lease();
  out->mutable_token()->set_term(lease.token.term);
  out->mutable_token()->set_sequence(lease.token.sequence);
  out->mutable_token()->set_job(state_->Sequence(lease.job));
  out->set_worker_id(workers_.id(lease.owner.worker));
  const Duration remaining = std::max(lease.expires - now, Duration::zero());
  SetTime(remaining, out->mutable_remaining());
}

bool BrokerImpl::RepeatGrant(Time now, const LeaseWait& wait, v1::LeaseJobsResponse* response) {
  if (wait.call.request.lease_request_id().empty()) return false;
  const auto it = lease_request_numbers_.find(LeaseRequestKey(wait.call));
  if (it == lease_request_numbers_.end()) return false;
  for (const auto& [ref, token] : lease_requests_[it->second].grants) {
    const LeaseInfo* lease = leases_.Find(ref);
    if (lease == nullptr || lease->token != token || lease->acking() || lease->expires <= now) {
      continue;
    }
    v1::Job* job = response->add_jobs();
    state_->FillJob(ref, /*full=*/true, job);
    FillLease(now, *lease, job);
  }
  return response->jobs_size() > 0;
}

std::string BrokerImpl::LeaseRequestKey(const LeaseCall& call) {
  // The lengths make it unambiguous: names may hold any character.
  const auto with_length = [](const std::string& text) {
    return std::to_string(text.size()) + ':' + text;
  };
  std::string key = with_length(call.request.worker_id());
  key += with_length(call.request.lease_request_id());
  // Names are no secrets: who may see other queues must not get these jobs by using them too.
  if (call.access != nullptr) {
    for (const std::string& pattern : call.access->patterns()) key += with_length(pattern);
  }
  return key;
}

uint32_t BrokerImpl::NewLeaseRequest(std::string key) {
  uint32_t number;
  if (free_lease_requests_.empty()) {
    number = static_cast<uint32_t>(lease_requests_.size());
    lease_requests_.emplace_back();
  } else {
    number = free_lease_requests_.back();
    free_lease_requests_.pop_back();
  }
  lease_request_numbers_[key] = number;  // in place of one of which nothing is held any more
  lease_requests_[number].key = std::move(key);
  return number;
}

void BrokerImpl::ForgetLeaseRequest(uint32_t number) {
  LeaseRequest& request = lease_requests_[number];
  const auto it = lease_request_numbers_.find(request.key);
  if (it != lease_request_numbers_.end() && it->second == number) {
    lease_request_numbers_.erase(it);
  }
  request = {};
  free_lease_requests_.push_back(number);
}

void BrokerImpl::Sleep(uint64_t number, LeaseWait* wait) {
  wait->asleep = true;
  for (const std::string& queue : wait->queues) {
    Sleepers& sleepers = sleepers_[queue];
    if (wait->types.empty()) sleepers.of_any_type.insert(number);
    for (const std::string& type : wait->types) sleepers.of_type[type].insert(number);
  }
  SetTimer(number, &wait->timer, std::min(wait->wait_until, wait->call.deadline));
}

void BrokerImpl::Unsleep(uint64_t number, LeaseWait* wait) {
  DQ_CHECK(wait->asleep);
  wait->asleep = false;
  for (const std::string& queue : wait->queues) {
    const auto it = sleepers_.find(queue);
    DQ_CHECK(it != sleepers_.end());
    Sleepers& sleepers = it->second;
    sleepers.of_any_type.erase(number);
    for (const std::string& type : wait->types) {
      const auto of_type = sleepers.of_type.find(type);
      DQ_CHECK(of_type != sleepers.of_type.end());
      of_type->second.erase(number);
      if (of_type->second.empty()) sleepers.of_type.erase(of_type);
    }
    if (sleepers.empty()) sleepers_.erase(it);
  }
}

uint64_t BrokerImpl::FirstSleeper(std::string_view queue, std::string_view type) const {
  const auto it = sleepers_.find(queue);
  if (it == sleepers_.end()) return 0;
  const Sleepers& sleepers = it->second;
  uint64_t first = sleepers.of_any_type.empty() ? 0 : *sleepers.of_any_type.begin();
  const auto of_type = sleepers.of_type.find(type);
  if (of_type != sleepers.of_type.end()) {
    const uint64_t number = *of_type->second.begin();
    if (first == 0 || number < first) first = number;
  }
  return first;
}

void BrokerImpl::WakeFirst(std::string_view queue, std::string_view type) {
  uint64_t number = FirstSleeper(queue, type);
  if (number == 0) return;
  WakeReason reason{std::string(queue), std::string(type)};
  for (; number != 0; number = FirstSleeper(reason.queue, reason.type)) {
    const auto it = lease_waits_.find(number);
    DQ_CHECK(it != lease_waits_.end());
    LeaseWait& wait = it->second;
    if (IsCancelled(wait.call)) {
      FinishLease(number, v1::LeaseJobsResponse());
      continue;
    }
    Unsleep(number, &wait);
    SetTimer(number, &wait.timer, wait.call.deadline);
    sleepers_[reason.queue].woken.insert(number);
    wait.woken = std::move(reason);
    gathering_.leases.push_back(number);
    return;
  }
}

void BrokerImpl::ForgetWake(uint64_t number, LeaseWait* wait) {
  if (!wait->woken) return;
  const auto it = sleepers_.find(wait->woken->queue);
  DQ_CHECK(it != sleepers_.end() && it->second.woken.contains(number));
  it->second.woken.erase(number);
  if (it->second.empty()) sleepers_.erase(it);
  wait->woken.reset();
}

void BrokerImpl::FinishLease(uint64_t number, Outcome<v1::LeaseJobsResponse> outcome) {
  const auto it = lease_waits_.find(number);
  DQ_CHECK(it != lease_waits_.end());
  LeaseWait& wait = it->second;
  if (wait.asleep) Unsleep(number, &wait);
  SetTimer(number, &wait.timer, Time::max());
  const std::optional<WakeReason> reason = wait.woken;
  ForgetWake(number, &wait);
  const auto done = std::move(wait.call.done);
  workers_.EndWait(wait.worker);
  lease_waits_.erase(it);
  if (reason && state_->HasReady(std::span(&reason->queue, 1), std::span(&reason->type, 1))) {
    WakeFirst(reason->queue, reason->type);
  }
  done(std::move(outcome));
}

void BrokerImpl::ServeUnconfirmed(Time now) {
  if (!DQ_MUTANT(mutants::kGrantWithoutConfirmation) || !serving_) return;
  Serve(now, std::exchange(gathering_.leases, {}));
}

}  // namespace dqueue::queue
