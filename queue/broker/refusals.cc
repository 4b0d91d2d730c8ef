#include "queue/broker/refusals.h"

#include <chrono>
#include <utility>

#include "base/check.h"
#include "queue/api/limits.h"

namespace dqueue::queue {
namespace {

constexpr auto kElectionWait = std::chrono::milliseconds(100);
constexpr auto kOverloadWait = std::chrono::milliseconds(100);
constexpr auto kDiskWait = std::chrono::seconds(1);
constexpr auto kMemoryWait = std::chrono::seconds(1);

Error Make(absl::StatusCode code, const char* reason, std::string message) {
  Error error;
  error.code = code;
  error.reason = reason;
  error.message = std::move(message);
  return error;
}

std::string JobNamed(std::string_view id) { return "job \"" + std::string(id) + "\""; }

}  // namespace

Error NotServingError(const LeaderHint& hint) {
  if (hint.leader_id.empty()) {
    Error error = Make(absl::StatusCode::kUnavailable, "NO_LEADER",
                       "no leader is known at the moment; try again");
    error.retry_after = kElectionWait;
    return error;
  }
  Error error =
      Make(absl::StatusCode::kUnavailable, "NOT_LEADER",
           "this node is not the leader; ask " + hint.leader_id + " at " + hint.leader_address);
  error.metadata["leader_id"] = hint.leader_id;
  error.metadata["leader_address"] = hint.leader_address;
  error.metadata["term"] = std::to_string(hint.term);
  return error;
}

Error CommitUnknownError() {
  return Make(
      absl::StatusCode::kUnavailable, "COMMIT_UNKNOWN",
      "leadership was lost before the outcome was known; repeat the call with the same ids");
}

Error OverloadedError(std::string_view what, uint64_t limit) {
  Error error =
      Make(absl::StatusCode::kResourceExhausted, "OVERLOADED", "too many " + std::string(what));
  if (limit > 0) {
    error.message += "; the limit is " + std::to_string(limit);
    error.metadata["limit"] = std::to_string(limit);
  }
  error.retry_after = kOverloadWait;
  return error;
}

Error DiskLowError() {
  Error error = Make(absl::StatusCode::kResourceExhausted, "DISK_LOW",
                     "too few nodes have disk space for new jobs; workers can go on");
  error.retry_after = kDiskWait;
  return error;
}

Error MemoryLowError(const MemoryShortage& shortage) {
  Error error = Make(absl::StatusCode::kResourceExhausted, "MEMORY_LOW", "");
  if (shortage.used_bytes == 0) {
    error.message = "too few members have memory for new jobs; workers can go on";
  } else {
    error.message = "the leader uses " + std::to_string(shortage.used_bytes) +
                    " bytes of memory, and --memory-limit is " +
                    std::to_string(shortage.limit_bytes) +
                    ": there is no memory for new jobs; workers can go on";
    error.metadata["used"] = std::to_string(shortage.used_bytes);
    error.metadata["limit"] = std::to_string(shortage.limit_bytes);
  }
  error.retry_after = kMemoryWait;
  return error;
}

Error DeadlinePassedError() {
  return Make(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED",
              "the call's deadline passed before it was carried out; it had no effect");
}

Error ShuttingDownError() {
  Error error = Make(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                     "this node is shutting down; ask another one");
  error.retry_after = kElectionWait;
  return error;
}

Error JobNotFoundError(std::string_view id) {
  Error error =
      Make(absl::StatusCode::kNotFound, "JOB_NOT_FOUND",
           JobNamed(id) + " does not exist; it may have been removed after its retention");
  error.metadata["id"] = std::string(id);
  return error;
}

Error QueueNotFoundError(std::string_view queue) {
  Error error = Make(absl::StatusCode::kNotFound, "QUEUE_NOT_FOUND",
                     "there is no queue \"" + std::string(queue) +
                         "\": it never had a job or a pause, or had none for an hour");
  error.metadata["queue"] = std::string(queue);
  return error;
}

Error TooManyQueuesError() {
  Error error = Make(absl::StatusCode::kResourceExhausted, "TOO_MANY_QUEUES",
                     "as many queues as there may be have jobs or a pause; the limit is " +
                         std::to_string(kQueuesMax));
  error.metadata["limit"] = std::to_string(kQueuesMax);
  return error;
}

std::string StateName(v1::JobState state) {
  constexpr std::string_view kPrefix = "JOB_STATE_";
  std::string name = v1::JobState_Name(state);
  return name.rfind(kPrefix, 0) == 0 ? name.substr(kPrefix.size()) : name;
}

Error InvalidStateError(std::string_view id, v1::JobState state) {
  Error error = Make(absl::StatusCode::kFailedPrecondition, "INVALID_STATE",
                     JobNamed(id) + " is " + StateName(state) + ", which does not allow this");
  error.metadata["id"] = std::string(id);
  error.metadata["state"] = StateName(state);
  return error;
}

Error LeaseStaleError(std::string_view id, bool newer) {
  Error error =
      Make(absl::StatusCode::kFailedPrecondition, "LEASE_STALE",
           "the lease of " + JobNamed(id) +
               (newer ? " was followed by a later one" : " is over, or was never granted"));
  error.metadata["id"] = std::string(id);
  error.metadata["current_token_is_newer"] = newer ? "true" : "false";
  return error;
}

Error LeaseDeliveredAgainError(std::string_view id) {
  Error error = LeaseStaleError(id, false);
  error.message = "the lease of " + JobNamed(id) +
                  " has a holder: a later answer delivered it, or it was used since";
  return error;
}

Error QueueDeniedError(std::string_view queue) {
  Error error = Make(absl::StatusCode::kPermissionDenied, "QUEUE_DENIED",
                     "this key may not use queue \"" + std::string(queue) + "\"");
  error.metadata["queue"] = std::string(queue);
  return error;
}

Error KeyNotFoundError(std::string_view id) {
  Error error = Make(absl::StatusCode::kNotFound, "KEY_NOT_FOUND",
                     "key \"" + std::string(id) + "\" does not exist");
  error.metadata["id"] = std::string(id);
  return error;
}

Error KeyExistsError(std::string_view id) {
  Error error = Make(absl::StatusCode::kAlreadyExists, "KEY_EXISTS",
                     "key \"" + std::string(id) + "\" exists already and is another one");
  error.metadata["id"] = std::string(id);
  return error;
}

Error TooManyKeysError() {
  Error error = Make(absl::StatusCode::kResourceExhausted, "TOO_MANY_KEYS",
                     "the cluster has as many valid keys as it can; the limit is " +
                         std::to_string(kKeysMax) + ": revoke some");
  error.metadata["limit"] = std::to_string(kKeysMax);
  return error;
}

Error EnqueueRefusedError(std::string_view id, const CommandResult& result) {
  Error error;
  switch (result.code) {
    case ResultCode::kDuplicateJob:
      error = Make(absl::StatusCode::kAlreadyExists, "DUPLICATE_JOB",
                   JobNamed(id) + " exists already with other content");
      break;
    case ResultCode::kIdempotencyMismatch:
      error = Make(absl::StatusCode::kAlreadyExists, "IDEMPOTENCY_MISMATCH",
                   "the idempotency key belongs to " + JobNamed(result.existing_id) +
                       ", which has other content");
      break;
    case ResultCode::kTooManyQueues:
      return TooManyQueuesError();
    case ResultCode::kQueuePaused:
      error = Make(absl::StatusCode::kFailedPrecondition, "QUEUE_PAUSED",
                   "the queue of " + JobNamed(id) + " is paused and takes no new jobs");
      error.metadata["id"] = std::string(id);
      return error;
    default:
      CheckFailed(__FILE__, __LINE__, "an enqueue is refused for one of its reasons",
                  "result code " + std::to_string(static_cast<int>(result.code)));
  }
  error.metadata["id"] = std::string(id);
  error.metadata["existing_id"] = result.existing_id.empty() ? std::string(id) : result.existing_id;
  return error;
}

Error BatchRejectedError(std::string_view id, const CommandResult& result) {
  Error error = EnqueueRefusedError(id, result);
  error.metadata["item_reason"] = std::exchange(error.reason, "BATCH_REJECTED");
  error.metadata["index"] = std::to_string(result.failed_item);
  error.message = "nothing was enqueued because of jobs[" + std::to_string(result.failed_item) +
                  "]: " + error.message;
  return error;
}

}  // namespace dqueue::queue
