// Errors as HTTP answers.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "google/rpc/status.pb.h"
#include "transport/http/message/http_message.h"

namespace dqueue::transport {

// An error answer: {"error": message, "reason": reason, "details": {}}.
HttpResponse HttpProblem(int status, const std::string& reason, const std::string& message);

// {"error": message, "reason": REASON, "details": {metadata, "field_violations": […]}}, with the
// HTTP status that docs/http.md lists for the reason or the code, and Retry-After from RetryInfo.
HttpResponse ErrorResponse(const google::rpc::Status& status);
HttpResponse ErrorResponse(const grpc::Status& status);
// The same for a body that was the only job of an EnqueueJobsRequest: removes the prefix "jobs[0]."
// from fields, because the caller did not write it.
HttpResponse OneJobErrorResponse(google::rpc::Status status);
HttpResponse OneJobErrorResponse(const grpc::Status& status);

}  // namespace dqueue::transport
