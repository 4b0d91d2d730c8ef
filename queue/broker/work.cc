#include "queue/broker/work.h"

#include <algorithm>

#include "base/check.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {

std::optional<Error> Work::WholeError() const {
  if (failure_ == Failure::kNone) return std::nullopt;
  // A part may have had its effect, so the answer must not deny it.
  if (applied_ || failure_ == Failure::kUnknown) return CommitUnknownError();
  switch (failure_) {
    case Failure::kOverloaded:
      return OverloadedError("log entries that wait for a majority");
    case Failure::kDeadline:
      return DeadlinePassedError();
    case Failure::kShutdown:
      return ShuttingDownError();
    default:
      return admission_.NotServing();
  }
}

void WorkPart::Unpropose() {
  DQ_CHECK(work_->proposed_ > 0);
  --work_->proposed_;
}

void WorkPart::Finish(Work* work) {
  const std::unique_ptr<Work> owned(work);
  work->admission_.pace().Spend(kAnswerNs);
  owned->Answer(owned->WholeError());
}

void WorkPart::Fail(Work::Failure failure) {
  work_->failure_ = std::max(work_->failure_, failure);
  Done();
}

void WorkPart::Applied(Time now, uint32_t item, const CommandResult& result, bool newer) {
  work_->applied_ = true;
  work_->Set(now, item, result, newer);
  Done();
}

void WorkPart::Drop() {
  const bool may_have_effect = work_->proposed_ > 0 || work_->applied_;
  Fail(may_have_effect ? Work::Failure::kUnknown : Work::Failure::kNotServing);
}

}  // namespace dqueue::queue
