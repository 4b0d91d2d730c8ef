// Error as google.rpc.Status (AIP-193): the code, the message and, as details, ErrorInfo{reason,
// domain, metadata} always, BadRequest for INVALID_FIELD and RetryInfo where waiting helps.
#pragma once

#include "google/rpc/status.pb.h"
#include "queue/api/error.h"

namespace dqueue::queue {

inline constexpr char kErrorDomain[] = "dqueue.dev";

google::rpc::Status ToRpcStatus(const Error& error);

}  // namespace dqueue::queue
