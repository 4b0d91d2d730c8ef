#include "queue/broker/leases/grants.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/check.h"
#include "queue/api/proto_time.h"
#include "queue/broker/leases/lease_token.h"
#include "queue/broker/mutants.h"
#include "queue/broker/refusals.h"
#include "queue/broker/visible_job.h"

namespace dqueue::queue {

Grants::Grants(const BrokerOptions& options, StateMachine& state, Deletions& deletions,
               LeaseWaits& waits, LeaseRequests& requests, WorkerRegistry& workers, JobTimes& times)
    : options_(options),
      state_(state),
      deletions_(deletions),
      waits_(waits),
      requests_(requests),
      workers_(workers),
      times_(times) {}

void Grants::Begin(raft::Term term) {
  term_ = term.value();
  table_.Begin(term);
}

void Grants::Clear(Elsewhere* elsewhere) {
  elsewhere->Free(table_.TakeAll());
  elsewhere->Free(requests_.TakeAll());
}

Duration Grants::DurationFor(const JobView& view) const {
  if (view.lease_duration_ms == 0) return options_.lease_timeout;
  return std::chrono::milliseconds(view.lease_duration_ms);
}

int64_t Grants::HeldMs(Time now, const LeaseInfo& lease) {
  if (lease.owner.granted == Time::min()) return -1;
  const auto held = std::chrono::ceil<std::chrono::milliseconds>(now - lease.owner.granted);
  return std::max<int64_t>(held.count(), 1);
}

// ---- granting ----

bool Grants::KeepBack(JobRef job) {
  if (table_.Find(job) != nullptr) {
    // A late command for it is in flight.
    table_.SetHeld(job);
    return true;
  }
  return deletions_.KeepBack(job);
}

const LeaseInfo& Grants::Grant(Time now, JobRef job, const JobView& view, uint32_t worker,
                               std::optional<Duration> duration, uint32_t request) {
  const LeaseOwner owner{.worker = worker, .queue = times_.Number(view.queue), .granted = now};
  const Time expires = now + (duration ? *duration : DurationFor(view));
  const LeaseInfo& lease = table_.Grant(job, owner, expires, request);
  workers_.Hold(worker);
  if (request != 0) requests_.AddGrant(request, job, lease.token);
  return lease;
}

void Grants::FillLease(Time now, const LeaseInfo& lease, v1::Job* job) const {
  job->set_state(v1::JOB_STATE_LEASED);
  v1::Lease* out = job->mutable_lease();
  out->mutable_token()->set_term(lease.token.term);
  out->mutable_token()->set_sequence(lease.token.sequence);
  out->mutable_token()->set_job(state_.Sequence(lease.job));
  out->set_worker_id(workers_.id(lease.owner.worker));
  const Duration remaining = std::max(lease.expires - now, Duration::zero());
  SetTime(remaining, out->mutable_remaining());
  out->set_delivery(lease.delivery);
}

// ---- tokens ----

std::optional<Error> Grants::FindJob(std::string_view id, uint64_t token_job,
                                     const QueueAccessPtr& access, Claim* claim) const {
  claim->job = FindVisible(state_, id, access);
  if (claim->job == JobRef{}) return JobNotFoundError(id);
  claim->view = state_.View(claim->job);
  // An earlier job had this id.
  if (token_job != claim->view.sequence) return LeaseStaleError(id, false);
  return std::nullopt;
}

std::optional<Error> Grants::CheckAdoption(const Claim& claim, bool ended_too) const {
  const JobView& view = claim.view;
  const LeaseToken token = claim.token;
  const auto stale = [&view](bool newer) { return LeaseStaleError(view.id, newer); };
  const LeaseInfo* lease = table_.Find(claim.job);
  if (lease != nullptr && lease->token > token) return stale(true);
  const LeaseToken fence = table_.Fence(claim.job);
  if (token <= fence) return stale(token < fence);
  if (token < view.last_token) return stale(true);
  if (token == view.last_token) {
    if (!ended_too || lease != nullptr) return stale(false);
    return std::nullopt;
  }
  // This leader remembers every lease of its own term that has not ended in the log: such a token
  // belongs to another job, or was never granted.
  if (token.term >= term_) return stale(false);
  return std::nullopt;
}

bool Grants::Adopt(Time now, const Claim& claim, uint32_t worker, bool hold_required) {
  const JobRef job = claim.job;
  const LeaseInfo* lease = table_.Find(job);
  const Time expires = now + DurationFor(claim.view);
  // A deletion in flight could end the job at any moment.
  if (hold_required && deletions_.Contains(claim.view.sequence)) return false;
  if (lease != nullptr) {
    // Held with an older token of an earlier term.
    if (hold_required && !lease->held) return false;
    workers_.Release(lease->owner.worker);
    workers_.Hold(worker);
    table_.TakeOver(job, claim.token, {.worker = worker, .queue = lease->owner.queue}, expires);
    return true;
  }
  const bool held = state_.Hold(job);
  if (hold_required && !held) return false;
  workers_.Hold(worker);
  table_.Adopt(job, claim.token, {.worker = worker, .queue = times_.Number(claim.view.queue)},
               expires, held);
  return true;
}

std::optional<Error> Grants::AdoptHeld(Time now, const Claim& claim, uint32_t worker) {
  if (auto error = CheckAdoption(claim, /*ended_too=*/false)) return error;
  if (Adopt(now, claim, worker, /*hold_required=*/true)) return std::nullopt;
  return LeaseStaleError(claim.view.id, false);
}

std::optional<Error> Grants::BeginEnding(Time now, int64_t wall_ms, const Claim& claim,
                                         uint32_t worker, const LeaseInfo** lease) {
  *lease = table_.Find(claim.job);
  if (*lease == nullptr || (*lease)->token != claim.token) {
    *lease = nullptr;
    if (auto error = CheckAdoption(claim, /*ended_too=*/true)) return error;
    Adopt(now, claim, worker, /*hold_required=*/false);
  }
  table_.AddCommand(claim.job);
  table_.SetUsed(claim.job);
  *lease = table_.Find(claim.job);
  workers_.Heard((*lease)->owner.worker, now, wall_ms);
  return std::nullopt;
}

std::optional<Error> Grants::Extend(Time now, int64_t wall_ms, const Claim& claim, uint32_t worker,
                                    Time expires) {
  const LeaseInfo* lease = table_.Find(claim.job);
  if (lease == nullptr || lease->token != claim.token) {
    if (auto error = AdoptHeld(now, claim, worker)) return error;
  } else if (!lease->held || lease->expires <= now) {
    // It has ended, or its expiry is on its way into the log.
    return LeaseStaleError(claim.view.id, false);
  }
  table_.Extend(claim.job, expires);
  table_.SetUsed(claim.job);
  workers_.Heard(table_.Find(claim.job)->owner.worker, now, wall_ms);
  return std::nullopt;
}

std::optional<Error> Grants::Release(Time now, const Claim& claim, uint32_t worker,
                                     uint32_t delivery) {
  const LeaseInfo* lease = table_.Find(claim.job);
  // Released before.
  if (lease == nullptr && table_.Fence(claim.job) == claim.token) return std::nullopt;
  // Only the leader that delivered the lease knows whether another answer carried it.
  if (delivery != 0 && (lease == nullptr || lease->token != claim.token || lease->used ||
                        lease->delivery != delivery)) {
    return LeaseDeliveredAgainError(claim.view.id);
  }
  // A command is about to end the lease, with this token or an older one. The job must not be
  // leased before that is decided.
  if (lease != nullptr && lease->acking()) {
    return LeaseStaleError(claim.view.id, lease->token > claim.token);
  }
  if (lease == nullptr || lease->token != claim.token) {
    // Of an earlier leader: adopted for a moment, so that its token is remembered as released.
    if (auto error = AdoptHeld(now, claim, worker)) return error;
  } else if (lease->expires <= now) {
    return LeaseStaleError(claim.view.id, false);  // its expiry is on its way into the log
  }
  EndLease(claim.job, /*remember=*/true, /*release=*/true);
  return std::nullopt;
}

// ---- ends ----

std::optional<CommandRef> Grants::BeginExpiry(Time now, const LeaseInfo& lease,
                                              log::v1::Expire* message) {
  // Only a lease with a command in flight can be without a hold, and those are ACKING.
  DQ_CHECK(lease.held);
  if (DQ_MUTANT(mutants::kExpiryNotLogged)) {
    EndLease(lease.job, /*remember=*/false, /*release=*/true);
    return std::nullopt;
  }
  const JobView view = state_.View(lease.job);
  message->Clear();
  message->set_id(view.id.data(), view.id.size());
  SetToken(lease.token, view.sequence, message->mutable_token());
  message->set_worker_id(workers_.id(lease.owner.worker));
  message->set_held_ms(HeldMs(now, lease));
  table_.AddCommand(lease.job);
  return CommandRef{.kind = CommandKind::kExpire,
                    .ends = {.job = lease.job,
                             .token = lease.token,
                             .lease = lease.number,
                             .counts_as = AttemptEnd::kExpired}};
}

void Grants::EndLease(JobRef job, bool remember, bool release) {
  const LeaseInfo* lease = table_.Find(job);
  DQ_CHECK(lease != nullptr);
  if (lease->request != 0) requests_.EndGrant(lease->request);
  workers_.Release(lease->owner.worker);
  table_.Remove(job, remember);
  if (release) waits_.ReleaseJob(job);
}

void Grants::Count(Time now, const LeaseEnding& ending) {
  const LeaseInfo* lease = table_.Find(ending.job);
  if (lease == nullptr || lease->number != ending.lease || lease->token != ending.token) return;
  std::optional<Duration> held;
  if (lease->owner.granted != Time::min()) held = now - lease->owner.granted;
  times_.Ended(lease->owner.queue, ending.counts_as, held);
  workers_.Ended(lease->owner.worker, ending.counts_as);
}

void Grants::Settle(const LeaseEnding& ending, bool applied) {
  const LeaseInfo* lease = table_.Find(ending.job);
  if (lease == nullptr || lease->number != ending.lease) return;  // the job was purged
  DQ_CHECK(lease->commands > 0);
  // Applied: the command has ended the lease (then it is not held any more), or the log refuses
  // its token for good. But not while another of its commands is in flight.
  const bool last = lease->commands == 1;
  const bool refused = applied && lease->token == ending.token;
  if (last && (refused || !lease->held)) {
    EndLease(ending.job, /*remember=*/!LogKnows(ending.job, lease->token),
             /*release=*/lease->held);
  } else {
    table_.RemoveCommand(ending.job);
  }
}

void Grants::OnHoldEnded(const HoldEnded& event) {
  const LeaseToken fence = table_.Fence(event.job);
  if (fence != LeaseToken{} && event.last_token >= fence) table_.ForgetFence(event.job);
  const LeaseInfo* lease = table_.Find(event.job);
  if (lease == nullptr) return;
  if (lease->acking()) {
    // Another of its commands may still have an effect (a completion behind the expiry). The job
    // must not be leased before the last is decided.
    table_.SetHeld(event.job, false);
    return;
  }
  // Cancelled, for example: if the job is retried, older tokens must stay invalid.
  EndLease(event.job, /*remember=*/event.last_token < lease->token, /*release=*/false);
}

void Grants::OnPurged(const JobPurged& event) {
  table_.ForgetFence(event.job);
  // A lease that is left has a command in flight, which the log will refuse: the job was over, or
  // was deleted while a lease of an earlier leader went on.
  if (table_.Find(event.job) != nullptr) {
    EndLease(event.job, /*remember=*/false, /*release=*/false);
  }
}

}  // namespace dqueue::queue
