#include "queue/broker/reads/lookups.h"

#include <string>
#include <utility>

#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/mutants.h"
#include "queue/broker/refusals.h"
#include "queue/broker/visible_job.h"

namespace dqueue::queue {
namespace {

Error BadPageToken(const std::string& token) {
  return InvalidField("page_token", ShownValue(token),
                      "empty or the next_page_token of an earlier page");
}

}  // namespace

Lookups::Lookups(const StateMachine& state, const Admission& admission, const LogClock& clock,
                 const JobPresenter& jobs, Groupings& groupings, Confirmations& confirmations,
                 CallTimers& timers, WorkerRegistry& workers)
    : state_(state),
      admission_(admission),
      clock_(clock),
      jobs_(jobs),
      groupings_(groupings),
      confirmations_(confirmations),
      timers_(timers),
      workers_(workers) {}

template <class C>
void Lookups::Wait(Time now, C call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  if constexpr (requires { call.request.queue(); }) {
    const std::string& queue = call.request.queue();
    if (!queue.empty() && !Allows(call.access, queue)) return call.done(QueueDeniedError(queue));
  }
  if (auto error = admission_.AdmitWait(now, call.deadline)) return call.done(*std::move(error));
  const uint64_t number = timers_.NewNumber();
  ReadWait& wait = waits_[number];
  timers_.Set(number, &wait.timer, call.deadline);
  wait.read = std::move(call);
  confirmations_.AddRead(number);
}

template void Lookups::Wait(Time, GetCall);
template void Lookups::Wait(Time, ListCall);
template void Lookups::Wait(Time, StatsCall);
template void Lookups::Wait(Time, ListKeysCall);
template void Lookups::Wait(Time, GroupCall);
template void Lookups::Wait(Time, WorkersCall);

Lookups::Read Lookups::Take(std::map<uint64_t, ReadWait>::iterator it) {
  timers_.Set(it->first, &it->second.timer, Time::max());
  Read read = std::move(it->second.read);
  waits_.erase(it);
  return read;
}

void Lookups::OnRoundEnded(Time now, const std::vector<uint64_t>& reads, bool confirmed) {
  for (const uint64_t number : reads) {
    const auto it = waits_.find(number);
    if (it == waits_.end()) continue;  // its deadline passed
    Read read = Take(it);
    const bool gone = std::visit([](const auto& call) { return IsCancelled(call); }, read);
    if (gone) {
      // No work for a caller that is gone.
      std::visit([](auto& call) { call.done(DeadlinePassedError()); }, read);
    } else if (confirmed) {
      std::visit([&](auto& call) { Answer(now, &call); }, read);
    } else {
      std::visit([&](auto& call) { call.done(admission_.NotServing()); }, read);
    }
  }
}

bool Lookups::OnTimer(uint64_t number) {
  const auto it = waits_.find(number);
  if (it == waits_.end()) return false;
  const Read read = Take(it);
  std::visit([](const auto& call) { call.done(DeadlinePassedError()); }, read);
  return true;
}

void Lookups::FailAll(const Error& error) {
  for (auto& [number, wait] : std::exchange(waits_, {})) {
    std::visit([&error](auto& call) { call.done(error); }, wait.read);
  }
}

void Lookups::Answer(Time now, GetCall* call) {
  const JobRef ref = FindVisible(state_, call->request.id(), call->access);
  if (ref == JobRef{}) return call->done(JobNotFoundError(call->request.id()));
  v1::GetJobResponse response;
  jobs_.Fill(now, ref, response.mutable_job());
  call->done(std::move(response));
}

void Lookups::Answer(Time now, ListCall* call) {
  if (call->request.page_size() == 0) call->request.set_page_size(kPageSizeDefault);
  v1::ListJobsResponse response;
  const absl::Status status = state_.List(call->request, &response, call->access.get());
  if (!status.ok()) return call->done(BadPageToken(call->request.page_token()));
  for (v1::Job& job : *response.mutable_jobs())
    jobs_.OverlayLease(now, state_.Find(job.id()), &job);
  call->done(std::move(response));
}

void Lookups::Answer(Time now, StatsCall* call) {
  v1::GetStatsResponse response;
  const QueueAccess* const access =
      DQ_MUTANT(mutants::kAccessNotCheckedInStats) ? nullptr : call->access.get();
  const absl::Status status = state_.Stats(call->request, &response, access, clock_.NowMs(now));
  if (absl::IsInvalidArgument(status)) {
    return call->done(BadPageToken(call->request.page_token()));
  }
  if (!status.ok()) return call->done(QueueNotFoundError(call->request.queue()));
  call->done(std::move(response));
}

void Lookups::Answer(Time, ListKeysCall* call) {
  v1::ListKeysResponse response;
  if (!state_.ListKeys(call->request, &response).ok()) {
    return call->done(BadPageToken(call->request.page_token));
  }
  call->done(std::move(response));
}

void Lookups::Answer(Time now, GroupCall* call) { groupings_.Begin(now, std::move(*call)); }

void Lookups::Answer(Time now, WorkersCall* call) {
  v1::ListWorkersResponse response;
  if (!workers_.List(now, call->request, call->access, &response)) {
    return call->done(BadPageToken(call->request.page_token()));
  }
  call->done(std::move(response));
}

}  // namespace dqueue::queue
