// What waits for a confirmation round, reads first of all; and what is due by time.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/broker_impl.h"
#include "queue/broker/mutants.h"

namespace dqueue::queue {

template <class C>
void BrokerImpl::SubmitRead(Time now, C call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  if constexpr (requires { call.request.queue(); }) {
    const std::string& queue = call.request.queue();
    if (!queue.empty() && !Allows(call.access, queue)) return call.done(QueueDeniedError(queue));
  }
  if (auto error = AdmitWaiting(now, call.deadline)) return call.done(*std::move(error));
  const uint64_t number = next_number_++;
  ReadWait& wait = read_waits_[number];
  SetTimer(number, &wait.timer, call.deadline);
  wait.call = std::move(call);
  gathering_.reads.push_back(number);
}

void BrokerImpl::Submit(Time now, int64_t, GetCall call) { SubmitRead(now, std::move(call)); }
void BrokerImpl::Submit(Time now, int64_t, ListCall call) { SubmitRead(now, std::move(call)); }
void BrokerImpl::Submit(Time now, int64_t, StatsCall call) { SubmitRead(now, std::move(call)); }
void BrokerImpl::Submit(Time now, int64_t, ListKeysCall call) { SubmitRead(now, std::move(call)); }

void BrokerImpl::Submit(Time now, int64_t, GroupCall call) { SubmitRead(now, std::move(call)); }
void BrokerImpl::Submit(Time now, int64_t, WorkersCall call) { SubmitRead(now, std::move(call)); }

void BrokerImpl::OverlayLease(Time now, JobRef ref, v1::Job* job) const {
  if (!state_->View(ref).held) return;
  job->set_state(v1::JOB_STATE_LEASED);
  // Nobody's while it is being deleted.
  const LeaseInfo* lease = leases_.Find(ref);
  if (lease != nullptr && lease->held) FillLease(now, *lease, job);
}

void BrokerImpl::Answer(Time now, GetCall* call) {
  const JobRef ref = FindVisible(call->request.id(), call->access);
  if (ref == JobRef{}) return call->done(JobNotFoundError(call->request.id()));
  v1::GetJobResponse response;
  state_->FillJob(ref, /*full=*/true, response.mutable_job());
  state_->FillAttempts(ref, response.mutable_job());
  OverlayLease(now, ref, response.mutable_job());
  call->done(std::move(response));
}

void BrokerImpl::Answer(Time now, ListCall* call) {
  if (call->request.page_size() == 0) call->request.set_page_size(kPageSizeDefault);
  v1::ListJobsResponse response;
  const absl::Status status = state_->List(call->request, &response, call->access.get());
  if (!status.ok()) {
    return call->done(InvalidField("page_token", ShownValue(call->request.page_token()),
                                   "empty or the next_page_token of an earlier page"));
  }
  for (v1::Job& job : *response.mutable_jobs()) OverlayLease(now, state_->Find(job.id()), &job);
  call->done(std::move(response));
}

void BrokerImpl::Answer(Time now, StatsCall* call) {
  v1::GetStatsResponse response;
  const QueueAccess* const access =
      DQ_MUTANT(mutants::kAccessNotCheckedInStats) ? nullptr : call->access.get();
  const absl::Status status =
      state_->Stats(call->request.queue(), &response, access, LogTimeMs(now, wall_ms_));
  if (!status.ok()) return call->done(QueueNotFoundError(call->request.queue()));
  call->done(std::move(response));
}

void BrokerImpl::Answer(Time, ListKeysCall* call) {
  v1::ListKeysResponse response;
  state_->ListKeys(call->request.owner_id, call->request.revoked, &response);
  call->done(std::move(response));
}

void BrokerImpl::Answer(Time now, WorkersCall* call) {
  v1::ListWorkersResponse response;
  workers_.List(now, call->access, &response);
  call->done(std::move(response));
}

void BrokerImpl::GatherWork(Work* work) {
  ++work->remaining;
  ++waiting_works_;
  gathering_.works.push_back(work);
}

uint64_t BrokerImpl::BeginConfirmation() {
  DQ_CHECK(serving_);
  const uint64_t id = next_round_++;
  rounds_[id] = std::exchange(gathering_, {});
  return id;
}

void BrokerImpl::OnConfirmation(Time now, const raft::ReadOutcome& outcome) {
  const auto it = rounds_.find(outcome.id);
  if (it == rounds_.end()) return;  // of a leadership that is over: answered then
  DQ_CHECK(serving_);
  Gathering round = std::move(it->second);
  rounds_.erase(it);
  for (const uint64_t number : round.reads) {
    const auto found = read_waits_.find(number);
    if (found == read_waits_.end()) continue;  // its deadline passed
    SetTimer(number, &found->second.timer, Time::max());
    ReadWait wait = std::move(found->second);
    read_waits_.erase(found);
    if (outcome.confirmed) {
      std::visit([&](auto& call) { Answer(now, &call); }, wait.call);
    } else {
      std::visit([&](auto& call) { call.done(NotServing()); }, wait.call);
    }
  }
  for (Work* work : round.works) {
    DQ_CHECK(waiting_works_ > 0);
    --waiting_works_;
    if (outcome.confirmed) {
      PartDone(work);
    } else {
      PartFailed(work, Work::Failure::kNotServing);
    }
  }
  if (outcome.confirmed) return Serve(now, std::move(round.leases));
  for (const uint64_t number : round.leases) {
    if (lease_waits_.contains(number)) FinishLease(number, NotServing());
  }
}

Time BrokerImpl::Deadline(Time now, int64_t wall_ms) const {
  if (!serving_) return Time::max();
  Time due = std::min(NextExpiry(), NextTick(now, wall_ms));
  if (!timers_.empty()) due = std::min(due, timers_.begin()->first);
  for (const Chunk& chunk : chunks_) due = std::min(due, chunk.first_deadline);
  if (!picking_.empty() || !grouping_.empty()) due = now;
  // What is due already waits for the node to take batches again; it should not spin meanwhile.
  return std::max(due, now + std::chrono::milliseconds(1));
}

void BrokerImpl::OnTimer(Time now) {
  while (!timers_.empty() && timers_.begin()->first <= now) EndWait(now, timers_.begin()->second);
  for (Chunk& chunk : chunks_) {
    const size_t commands = chunk.commands.size();
    const size_t bytes = chunk.bytes.size();
    DropOverdue(now, &chunk);
    pending_commands_ -= commands - chunk.commands.size();
    pending_bytes_ -= bytes - chunk.bytes.size();
  }
  PickSome(now);
  GroupSome(now);
}

void BrokerImpl::EndWait(Time now, uint64_t number) {
  const auto lease = lease_waits_.find(number);
  if (lease != lease_waits_.end()) {
    if (lease->second.call.deadline <= now) return FinishLease(number, DeadlinePassedError());
    return FinishLease(number, v1::LeaseJobsResponse());  // the end of its wait
  }
  const auto read = read_waits_.find(number);
  DQ_CHECK(read != read_waits_.end());
  SetTimer(number, &read->second.timer, Time::max());
  const ReadWait wait = std::move(read->second);
  read_waits_.erase(read);
  std::visit([](const auto& call) { call.done(DeadlinePassedError()); }, wait.call);
}

void BrokerImpl::SetTimer(uint64_t number, Time* timer, Time at) {
  if (*timer != Time::max()) timers_.erase({*timer, number});
  *timer = at;
  if (at != Time::max()) timers_.insert({at, number});
}

}  // namespace dqueue::queue
