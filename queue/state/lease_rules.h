// The rules for commands that end a lease, as a table of (command, state of the job, relation of
// the command's token to the job's last token). Every combination matches exactly one row, which is
// checked at compile time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dqueue/v1/job.pb.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

enum class LeaseCommand : uint8_t { kComplete, kFail, kExpire };

enum class TokenRelation : uint8_t {
  kAbsent,           // {0, 0}: no lease ever had it
  kOlder,            // than last_token
  kEndedByComplete,  // it is last_token, which a Complete brought into the log
  kEndedByFail,
  kEndedByExpire,
  kNewer,
};

enum class LeaseDecision : uint8_t {
  kApply,
  kApplyLate,     // a completion after the lease's own expiry: the delivery was counted then
  kRepeated,      // OK, without effect
  kInvalidState,  // the job cannot be in a lease, or this lease ended in another way
  kLeaseStale,    // the lease is over
};

TokenRelation Relate(LeaseToken token, LeaseToken last_token, TokenEnd token_end);
// `state` is one that the log knows.
LeaseDecision Decide(LeaseCommand command, v1::JobState state, TokenRelation relation);

}  // namespace dqueue::queue
