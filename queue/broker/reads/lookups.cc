#include "queue/broker/reads/lookups.h"

#include <algorithm>
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

// Costs of reads, for WorkBudget, before they begin: what they have to look through. What enters
// an answer is charged with it.
// A page of jobs looks at one job after the other, up to a limit, to find those that it shows.
constexpr int64_t kLookNs = 25;
constexpr int64_t kListNsMax = 500'000;
// A page of statistics, keys or workers: for each that it may show.
constexpr int64_t kRowNs = 300;
constexpr int64_t kRowsMax = kStatsPageSizeMax;

int64_t CostOfPage(int64_t rows) { return kAnswerNs + std::min(rows, kRowsMax) * kRowNs; }

}  // namespace

int64_t Lookups::CostOf(const ListCall&) const {
  return kAnswerNs + std::min(int64_t{state_.pick_end()} * kLookNs, kListNsMax);
}
int64_t Lookups::CostOf(const GetCall&) const { return kFindNs + 4 * kShowNs + kAnswerNs; }
int64_t Lookups::CostOf(const StatsCall& call) const {
  if (!call.request.queue().empty()) return kFindNs + kShowNs + kAnswerNs;
  return CostOfPage(call.request.page_size() > 0 ? call.request.page_size() : kRowsMax);
}
int64_t Lookups::CostOf(const ListKeysCall&) const {
  return CostOfPage(static_cast<int64_t>(state_.api_keys()->size()));
}
int64_t Lookups::CostOf(const GroupCall&) const { return kShowNs; }
int64_t Lookups::CostOf(const WorkersCall&) const {
  return CostOfPage(static_cast<int64_t>(workers_.size()));
}

// make() makes the response, on the other thread.
template <class C, class Make>
void Lookups::AnswerElsewhere(C* call, Make make) {
  elsewhere_.Run(
      [done = std::move(call->done), make = std::move(make)]() mutable { done(make()); });
}

Lookups::Lookups(const StateMachine& state, const Admission& admission, Elsewhere& elsewhere,
                 const LogClock& clock, const JobPresenter& jobs, Groupings& groupings,
                 Confirmations& confirmations, CallTimers& timers, WorkerRegistry& workers)
    : state_(state),
      admission_(admission),
      elsewhere_(elsewhere),
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

void Lookups::OnRoundEnded(const std::vector<uint64_t>& reads, bool confirmed) {
  for (const uint64_t number : reads) ended_.push_back({number, confirmed});
}

void Lookups::Continue(Time now) {
  Pace& pace = admission_.pace();
  for (; !ended_.empty() && !pace.Exhausted(); ended_.pop_front()) {
    const auto [number, confirmed] = ended_.front();
    const auto it = waits_.find(number);
    if (it == waits_.end()) continue;  // its deadline passed
    const int64_t cost =
        confirmed ? std::visit([this](const auto& c) { return CostOf(c); }, it->second.read)
                  : kAnswerNs;
    if (!pace.Allows(cost)) return;
    pace.Spend(cost);
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
  admission_.pace().Spend(kAnswerNs);
  std::visit([](const auto& call) { call.done(DeadlinePassedError()); }, read);
  return true;
}

void Lookups::FailAll(const Error& error, Elsewhere* elsewhere) {
  ended_.clear();
  if (waits_.empty()) return;
  elsewhere->Run([waits = std::exchange(waits_, {}), error] {
    for (const auto& [number, wait] : waits) {
      std::visit([&error](const auto& call) { call.done(error); }, wait.read);
    }
  });
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
  std::vector<JobExtras> extras;
  const absl::Status status = state_.List(call->request, &response, call->access.get(), &extras);
  if (!status.ok()) return call->done(BadPageToken(call->request.page_token()));
  for (v1::Job& job : *response.mutable_jobs()) {
    jobs_.OverlayLease(now, state_.Find(job.id()), &job);
    admission_.pace().Spend(kShowNs + CostOfCopying(job.payload().size() + job.result().size()));
  }
  AnswerElsewhere(call, [response = std::move(response), extras = std::move(extras)]() mutable {
    for (int i = 0; i < response.jobs_size(); ++i) AddExtras(extras[i], response.mutable_jobs(i));
    return std::move(response);
  });
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
  if (!call->request.queue().empty()) return call->done(std::move(response));
  AnswerElsewhere(call, [response = std::move(response)]() mutable { return std::move(response); });
}

void Lookups::Answer(Time, ListKeysCall* call) {
  v1::ListKeysResponse response;
  if (!state_.ListKeys(call->request, &response).ok()) {
    return call->done(BadPageToken(call->request.page_token));
  }
  AnswerElsewhere(call, [response = std::move(response)]() mutable { return std::move(response); });
}

void Lookups::Answer(Time now, GroupCall* call) { groupings_.Begin(now, std::move(*call)); }

void Lookups::Answer(Time now, WorkersCall* call) {
  v1::ListWorkersResponse response;
  if (!workers_.List(now, call->request, call->access, &response)) {
    return call->done(BadPageToken(call->request.page_token()));
  }
  AnswerElsewhere(call, [response = std::move(response)]() mutable { return std::move(response); });
}

}  // namespace dqueue::queue
