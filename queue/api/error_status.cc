#include "queue/api/error_status.h"

#include <chrono>

#include "google/rpc/error_details.pb.h"
#include "queue/api/proto_time.h"

namespace dqueue::queue {

google::rpc::Status ToRpcStatus(const Error& error) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code));
  status.set_message(error.message);
  google::rpc::ErrorInfo info;
  info.set_reason(error.reason);
  info.set_domain(kErrorDomain);
  for (const auto& [key, value] : error.metadata) (*info.mutable_metadata())[key] = value;
  status.add_details()->PackFrom(info);
  const auto field = error.metadata.find("field");
  if (field != error.metadata.end()) {
    google::rpc::BadRequest bad;
    google::rpc::BadRequest::FieldViolation* violation = bad.add_field_violations();
    violation->set_field(field->second);
    violation->set_description(error.message);
    status.add_details()->PackFrom(bad);
  }
  if (error.retry_after > Duration::zero()) {
    google::rpc::RetryInfo retry;
    SetTime(error.retry_after, retry.mutable_retry_delay());
    status.add_details()->PackFrom(retry);
  }
  return status;
}

}  // namespace dqueue::queue
