#include "queue/broker/commands/propose_lease_ends.h"

#include <optional>
#include <string_view>
#include <utility>

#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/api/proto_time.h"
#include "queue/api/validate.h"
#include "queue/broker/commands/backoff.h"
#include "queue/broker/leases/lease_token.h"
#include "queue/broker/mutants.h"
#include "queue/broker/refusals.h"
#include "queue/state/mutants.h"

namespace dqueue::queue {
namespace {

// Decides item i, whose job is finished: the command repeats what finished it, or is refused. The
// log must not decide this: meanwhile the job may be retried, and leased to another worker.
template <class C>
void DecideFinished(LeaseCommand command, const Claim& claim, ItemWork<C>* work, int i) {
  const JobView& view = claim.view;
  const LeaseDecision decision =
      Decide(command, view.state, Relate(claim.token, view.last_token, view.token_end));
  if (decision != LeaseDecision::kRepeated) work->Refuse(i, InvalidStateError(view.id, view.state));
}

// The deliberate bug kCompleteUnfenced: any worker that completes is taken for the holder.
LeaseToken UnfencedToken(const Grants& grants, const Claim& claim) {
  const LeaseInfo* holder = grants.Find(claim.job);
  if (holder != nullptr) return holder->token;
  const LeaseToken last = claim.view.last_token;
  return claim.token > last ? claim.token : LeaseToken{last.term, last.sequence + 1};
}

}  // namespace

LeaseEndProposer::LeaseEndProposer(const Admission& admission, const LogClock& clock,
                                   Grants& grants, CommandLog& commands, WorkerRegistry& workers,
                                   ItemCalls& items, uint64_t seed)
    : admission_(admission),
      clock_(clock),
      grants_(grants),
      commands_(commands),
      workers_(workers),
      items_(items),
      seed_(seed) {}

void LeaseEndProposer::Begin(raft::Term term) {
  random_.seed(HashSequence(seed_).Add(uint64_t{1}).Add(term.value()).Finish());
}

void LeaseEndProposer::Submit(Time now, CompleteCall call) {
  items_.Propose(now, std::move(call),
                 [this](Time at, ItemWork<CompleteCall>& work, const WorkPart& part, int i) {
                   return Complete(at, work, part, i);
                 });
}

void LeaseEndProposer::Submit(Time now, FailCall call) {
  items_.Propose(now, std::move(call),
                 [this](Time at, ItemWork<FailCall>& work, const WorkPart& part, int i) {
                   return Fail(at, work, part, i);
                 });
}

bool LeaseEndProposer::Complete(Time now, ItemWork<CompleteCall>& work, const WorkPart& part,
                                int i) {
  v1::CompleteJobsRequest::Item* const item = work.call.request.mutable_items(i);
  const QueueAccessPtr unrestricted;
  const QueueAccessPtr& access =
      DQ_MUTANT(mutants::kAccessNotCheckedOnComplete) ? unrestricted : work.call.access;
  Claim claim;
  if (auto error = grants_.FindClaim(*item, access, &claim)) {
    work.Refuse(i, *error);
    return false;
  }
  if (IsFinished(claim.view.state)) {
    DecideFinished(LeaseCommand::kComplete, claim, &work, i);
    return false;
  }
  if (DQ_MUTANT(mutants::kCompleteUnfenced)) claim.token = UnfencedToken(grants_, claim);
  const LeaseInfo* lease = nullptr;
  if (auto error = grants_.BeginEnding(now, clock_.wall_ms(), claim, work.worker, &lease)) {
    if (!DQ_MUTANT(mutants::kCompleteUnfenced)) {
      work.Refuse(i, *error);
      return false;
    }
  }
  const bool counts = lease != nullptr && lease->commands == 1;
  complete_.Clear();
  complete_.set_id(item->id());
  SetToken(claim.token, claim.view.sequence, complete_.mutable_token());
  complete_.set_result(std::move(*item->mutable_result()));
  commands_.Append(log::v1::Command::kCompleteFieldNumber, complete_,
                   {.part = part.Another(),
                    .item = static_cast<uint32_t>(i),
                    .kind = CommandKind::kComplete,
                    .ends = {.job = claim.job,
                             .token = claim.token,
                             .lease = lease == nullptr ? 0 : lease->number,
                             .ended_before = claim.token == claim.view.last_token,
                             .counts_as = counts ? AttemptEnd::kCompleted : AttemptEnd::kNone}});
  if (DQ_MUTANT(mutants::kAckingNotGuarded) && grants_.Find(claim.job) != nullptr) {
    grants_.EndLease(claim.job, /*remember=*/false, /*release=*/true);
  }
  return true;
}

bool LeaseEndProposer::Fail(Time now, ItemWork<FailCall>& work, const WorkPart& part, int i) {
  const v1::FailJobsRequest::Item& item = work.call.request.items(i);
  Claim claim;
  if (auto error = grants_.FindClaim(item, work.call.access, &claim)) {
    work.Refuse(i, *error);
    return false;
  }
  if (IsFinished(claim.view.state)) {
    DecideFinished(LeaseCommand::kFail, claim, &work, i);
    return false;
  }
  const LeaseInfo* lease = nullptr;
  if (auto error = grants_.BeginEnding(now, clock_.wall_ms(), claim, work.worker, &lease)) {
    work.Refuse(i, *error);
    return false;
  }
  fail_.Clear();
  fail_.set_id(item.id());
  SetToken(claim.token, claim.view.sequence, fail_.mutable_token());
  // The errors of ten attempts may be larger than the job. They must not use up the memory that is
  // left for ending leases.
  const std::string_view error =
      CutUtf8(item.error(), admission_.low_memory() ? kErrorBytesLowMemory : kErrorBytesMax);
  fail_.set_error(error.data(), error.size());
  fail_.set_reject(item.reject());
  fail_.set_next_run_time_ms(NextRunTimeMs(item, claim.view, clock_.NowMs(now)));
  fail_.set_worker_id(workers_.id(lease->owner.worker));
  fail_.set_held_ms(Grants::HeldMs(now, *lease));
  // A failure that the log has seen already is a repeated command, not a new failure.
  const bool ended_before = claim.token == claim.view.last_token;
  const bool counts = lease->commands == 1 && !ended_before;
  const AttemptEnd end = item.reject() ? AttemptEnd::kRejected : AttemptEnd::kFailed;
  commands_.Append(log::v1::Command::kFailFieldNumber, fail_,
                   {.part = part.Another(),
                    .item = static_cast<uint32_t>(i),
                    .kind = CommandKind::kFail,
                    .ends = {.job = claim.job,
                             .token = claim.token,
                             .lease = lease->number,
                             .ended_before = ended_before,
                             .counts_as = counts ? end : AttemptEnd::kNone}});
  return true;
}

int64_t LeaseEndProposer::NextRunTimeMs(const v1::FailJobsRequest::Item& item, const JobView& view,
                                        int64_t now_ms) {
  if (item.reject()) return 0;
  const int64_t delay_ms = item.has_retry_delay()
                               ? DurationMs(item.retry_delay())
                               : RetryDelayMs({.backoff = view.backoff,
                                               .base_ms = view.backoff_base_ms,
                                               .max_ms = view.backoff_max_ms,
                                               .jitter_permille = view.jitter_permille},
                                              uint64_t{view.failed} + 1, random_());
  return delay_ms == 0 ? 0 : now_ms + delay_ms;
}

}  // namespace dqueue::queue
