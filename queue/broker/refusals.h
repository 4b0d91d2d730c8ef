// Errors of the broker: one function for each reason (docs/api.md) that is not about a malformed
// field (those are in validate.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dqueue/v1/job.pb.h"
#include "queue/api/error.h"
#include "queue/broker/broker.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// NOT_LEADER with the leader's id and address, or NO_LEADER if the hint names none.
Error NotServingError(const LeaderHint& hint);
Error CommitUnknownError();
// `what` is full: "commands that wait to be replicated". limit 0: not told.
Error OverloadedError(std::string_view what, uint64_t limit = 0);
Error DiskLowError();
Error MemoryLowError(const MemoryShortage& shortage);
Error DeadlinePassedError();
Error ShuttingDownError();
Error JobNotFoundError(std::string_view id);
Error QueueNotFoundError(std::string_view queue);
Error TooManyQueuesError();
// E.g. "SUCCEEDED".
std::string StateName(v1::JobState state);
Error InvalidStateError(std::string_view id, v1::JobState state);
// newer: the job is, or was, leased with a greater token.
Error LeaseStaleError(std::string_view id, bool newer);
// LEASE_STALE: the delivery that a release names is not the last one, or the lease was used.
Error LeaseDeliveredAgainError(std::string_view id);
Error QueueDeniedError(std::string_view queue);
Error KeyNotFoundError(std::string_view id);
Error KeyExistsError(std::string_view id);
Error TooManyKeysError();
// Why the log refused to enqueue the job with this id. `result` is neither kOk nor kExisting.
Error EnqueueRefusedError(std::string_view id, const CommandResult& result);
// The same for an all-or-nothing request, of which the job at result.failed_item stopped all.
Error BatchRejectedError(std::string_view id, const CommandResult& result);

}  // namespace dqueue::queue
