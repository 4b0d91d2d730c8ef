// Errors of the queue: a code, a stable reason for programs, a sentence for users. transport/
// turns an Error into google.rpc.Status with ErrorInfo{reason, domain "dqueue.dev", metadata}.
// docs/api.md lists the reasons.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/time.h"

namespace dqueue::queue {

struct Error {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  // UPPER_SNAKE, like NOT_LEADER. docs/api.md lists all reasons.
  std::string reason;
  std::string message;
  // For INVALID_FIELD: "field", "value" (escaped, at most 80 characters), "limit". For NOT_LEADER:
  // "leader_id", "leader_address", "term". For DUPLICATE_JOB: "existing_id".
  std::map<std::string, std::string> metadata;
  // Greater than 0: the call may succeed when it is repeated after this time.
  Duration retry_after{};
};

// A value or an error.
template <class T>
struct Outcome {
  Outcome(T v) : value(std::move(v)) {}                    // NOLINT
  Outcome(Error e) : failed(true), error(std::move(e)) {}  // NOLINT
  bool ok() const { return !failed; }
  bool failed = false;
  Error error;
  T value{};
};

}  // namespace dqueue::queue
