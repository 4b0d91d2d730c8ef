// Errors as HTTP answers.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "google/rpc/status.pb.h"
#include "transport/http/message/http_message.h"

namespace dqueue::transport {

// The answer to what went wrong: {"error": message, "reason": reason, "details": {}}.
HttpResponse HttpProblem(int status, const std::string& reason, const std::string& message);

// {"error": message, "reason": REASON, "details": {metadata, "field_violations": […]}} with the
// status that docs/http.md has for the reason or the code; Retry-After where RetryInfo says so.
HttpResponse ErrorResponse(const google::rpc::Status& status);
HttpResponse ErrorResponse(const grpc::Status& status);
// The same where the body was the one job of an EnqueueJobsRequest: its fields have no "jobs[0]."
// before them, which the caller never wrote.
HttpResponse OneJobErrorResponse(google::rpc::Status status);
HttpResponse OneJobErrorResponse(const grpc::Status& status);

}  // namespace dqueue::transport
