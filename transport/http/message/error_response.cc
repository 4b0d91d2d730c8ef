#include "transport/http/message/error_response.h"

#include <map>
#include <string_view>

#include "google/rpc/error_details.pb.h"
#include "transport/calls/rpc_error.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {
namespace {

using grpc::StatusCode;

struct ReasonStatus {
  const char* reason;
  int http;
};
// Reasons with another HTTP status than their code.
constexpr ReasonStatus kReasonStatus[] = {
    {"PAYLOAD_TOO_LARGE", 413}, {kReasonTooLarge, 413}, {"IDEMPOTENCY_MISMATCH", 422},
    {"DISK_LOW", 507},          {"MEMORY_LOW", 507},
};

int StatusOfCode(int code) {
  switch (code) {
    case StatusCode::OK:
      return 200;
    case StatusCode::INVALID_ARGUMENT:
    case StatusCode::OUT_OF_RANGE:
      return 400;
    case StatusCode::UNAUTHENTICATED:
      return 401;
    case StatusCode::PERMISSION_DENIED:
      return 403;
    case StatusCode::NOT_FOUND:
      return 404;
    case StatusCode::ALREADY_EXISTS:
    case StatusCode::FAILED_PRECONDITION:
      return 409;
    case StatusCode::ABORTED:
      return 412;
    case StatusCode::RESOURCE_EXHAUSTED:
      return 429;
    case StatusCode::CANCELLED:
      return 499;
    case StatusCode::UNIMPLEMENTED:
      return 501;
    case StatusCode::UNAVAILABLE:
      return 503;
    case StatusCode::DEADLINE_EXCEEDED:
      return 504;
    default:
      return 500;
  }
}

// The parts of a google.rpc.Status that an answer shows.
struct Details {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::RetryInfo retry;
};

Details ReadDetails(const google::rpc::Status& status) {
  Details details;
  for (const google::protobuf::Any& any : status.details()) {
    if (any.UnpackTo(&details.info)) continue;
    if (any.UnpackTo(&details.bad_request)) continue;
    any.UnpackTo(&details.retry);
  }
  return details;
}

int HttpStatus(int code, const google::rpc::ErrorInfo& info) {
  const auto item = info.metadata().find("item_reason");
  const std::string& reason = item == info.metadata().end() ? info.reason() : item->second;
  for (const ReasonStatus& row : kReasonStatus) {
    if (reason == row.reason) return row.http;
  }
  return StatusOfCode(code);
}

std::string DetailsJson(const Details& details) {
  JsonObject json;
  const auto& metadata = details.info.metadata();
  const std::map<std::string, std::string> sorted(metadata.begin(), metadata.end());
  for (const auto& [key, value] : sorted) json.Text(key, value);
  std::string violations;
  for (const auto& violation : details.bad_request.field_violations()) {
    violations += violations.empty() ? "[" : ",";
    violations += JsonObject()
                      .Text("field", violation.field())
                      .Text("description", violation.description())
                      .Finish();
  }
  if (!violations.empty()) json.Raw("field_violations", violations + "]");
  return json.Finish();
}

HttpResponse ErrorResponse(int code, const std::string& message, const Details& details) {
  HttpResponse response;
  response.status = HttpStatus(code, details.info);
  response.content_type = "application/json";
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  const bool known = !details.info.reason().empty();
  response.body = JsonObject()
                      .Text("error", message)
                      .Text("reason", known ? details.info.reason() : "UNKNOWN")
                      .Raw("details", DetailsJson(details))
                      .Finish() +
                  "\n";
  const auto& delay = details.retry.retry_delay();
  if (delay.seconds() > 0 || delay.nanos() > 0) {
    // Whole seconds, rounded up.
    response.headers.emplace_back("Retry-After",
                                  std::to_string(delay.seconds() + (delay.nanos() > 0 ? 1 : 0)));
  }
  return response;
}

// The status of a dqueue server, or one made from a status of gRPC itself.
google::rpc::Status ReadStatus(const grpc::Status& status) {
  google::rpc::Status rpc;
  if (!rpc.ParseFromString(status.error_details()) || rpc.code() == 0) {
    // A status of gRPC itself.
    rpc.Clear();
    rpc.set_code(status.error_code());
    rpc.set_message(status.error_message());
    google::rpc::ErrorInfo info;
    info.set_reason(status.error_code() == StatusCode::CANCELLED           ? "CANCELLED"
                    : status.error_code() == StatusCode::DEADLINE_EXCEEDED ? "DEADLINE_EXCEEDED"
                    : status.error_code() == StatusCode::UNAVAILABLE       ? kReasonCommitUnknown
                    : status.error_code() == StatusCode::UNIMPLEMENTED     ? "UNIMPLEMENTED"
                                                                           : "UNKNOWN");
    rpc.add_details()->PackFrom(info);
  }
  return rpc;
}

void DropOneJob(std::string* text) {
  constexpr std::string_view kOneJob = "jobs[0].";
  const size_t at = text->find(kOneJob);
  if (at != std::string::npos) text->erase(at, kOneJob.size());
}

}  // namespace

HttpResponse HttpProblem(int status, const std::string& reason, const std::string& message) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body =
      JsonObject().Text("error", message).Text("reason", reason).Raw("details", "{}").Finish() +
      "\n";
  return response;
}

HttpResponse ErrorResponse(const google::rpc::Status& status) {
  return ErrorResponse(status.code(), status.message(), ReadDetails(status));
}
HttpResponse ErrorResponse(const grpc::Status& status) { return ErrorResponse(ReadStatus(status)); }

HttpResponse OneJobErrorResponse(google::rpc::Status status) {
  Details details = ReadDetails(status);
  DropOneJob(status.mutable_message());
  auto& metadata = *details.info.mutable_metadata();
  if (const auto field = metadata.find("field"); field != metadata.end())
    DropOneJob(&field->second);
  for (auto& violation : *details.bad_request.mutable_field_violations()) {
    DropOneJob(violation.mutable_field());
    DropOneJob(violation.mutable_description());
  }
  return ErrorResponse(status.code(), status.message(), details);
}
HttpResponse OneJobErrorResponse(const grpc::Status& status) {
  return OneJobErrorResponse(ReadStatus(status));
}

}  // namespace dqueue::transport
