#include "transport/http/routes/rest_v1.h"

#include <google/protobuf/util/json_util.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/unary_call.h"
#include "transport/http/message/error_response.h"
#include "transport/http/routes/body_fields.h"
#include "transport/http/routes/leased_jobs.h"

namespace dqueue::transport {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

HttpResponse JsonResponse(int status, const Message& message) {
  const std::optional<std::string> json = MessageJson(message);
  if (!json) return HttpProblem(500, "INTERNAL", "the answer cannot be written as JSON");
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = *json + '\n';
  return response;
}

std::optional<HttpResponse> ReadBody(const HttpRequest& http, Message* request) {
  if (http.body.empty()) return std::nullopt;
  if (auto problem = ProblemOfContentType(http)) return problem;
  // Checked first, because Protobuf's parser accepts duplicate names and gives no position of
  // errors.
  const auto members = ParseJsonObject(http.body);
  if (!members.ok()) {
    return HttpProblem(400, "INVALID_JSON", std::string(members.status().message()));
  }
  const auto parsed = google::protobuf::util::JsonStringToMessage(http.body, request);
  if (parsed.ok()) return std::nullopt;
  return HttpProblem(400, "MALFORMED_REQUEST", parsed.message().as_string());
}

bool SetEnum(const FieldDescriptor& field, const std::string& value, Message* request) {
  // JOB_STATE_READY, or short: READY.
  const auto* type = field.enum_type();
  const auto* found = type->FindValueByName(value);
  if (found == nullptr) found = type->FindValueByName("JOB_STATE_" + value);
  if (found == nullptr) return false;
  request->GetReflection()->SetEnum(request, &field, found);
  return true;
}

// "": set; else the required form of the value.
std::string SetField(const FieldDescriptor& field, const std::string& value, Message* request) {
  if (field.is_repeated()) return "in a body";
  const auto* reflection = request->GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(request, &field, value);
      return "";
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number = 0;
      if (!absl::SimpleAtoi(value, &number)) return "an integer of 32 bits";
      reflection->SetInt32(request, &field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection->SetBool(request, &field, value == "true");
      return value == "true" || value == "false" ? "" : "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(field, value, request) ? "" : "a state, like READY";
    default:
      return "in a body";
  }
}

std::optional<HttpResponse> ReadParameters(const std::map<std::string, std::string>& parameters,
                                           Message* request) {
  for (const auto& [name, value] : parameters) {
    const FieldDescriptor* field = request->GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) {
      return BadField(queue::ShownValue(name), queue::ShownValue(value),
                      "a parameter of this route");
    }
    const std::string limit = SetField(*field, value, request);
    if (!limit.empty()) return BadField(name, queue::ShownValue(value), limit);
  }
  return std::nullopt;
}

struct V1Route {
  const char* method;
  const char* pattern;
  const RpcMethod& rpc;
  const Message& request;
  const Message& response;
};

std::vector<V1Route> Table() {
  const auto& none = v1::GetClusterRequest::default_instance();
  return {
      {"GET", "/v1/jobs/{id}", kGetJob, v1::GetJobRequest::default_instance(),
       v1::GetJobResponse::default_instance()},
      {"GET", "/v1/jobs", kListJobs, v1::ListJobsRequest::default_instance(),
       v1::ListJobsResponse::default_instance()},
      {"POST", "/v1/jobs:cancel", kCancelJobs, v1::CancelJobsRequest::default_instance(),
       v1::CancelJobsResponse::default_instance()},
      {"POST", "/v1/jobs:retry", kRetryJobs, v1::RetryJobsRequest::default_instance(),
       v1::RetryJobsResponse::default_instance()},
      {"POST", "/v1/jobs:delete", kDeleteJobs, v1::DeleteJobsRequest::default_instance(),
       v1::DeleteJobsResponse::default_instance()},
      {"POST", "/v1/jobs:redrive", kRedriveJobs, v1::RedriveJobsRequest::default_instance(),
       v1::RedriveJobsResponse::default_instance()},
      {"GET", "/v1/dead-jobs", kGroupDeadJobs, v1::GroupDeadJobsRequest::default_instance(),
       v1::GroupDeadJobsResponse::default_instance()},
      {"POST", "/v1/queues/{queue}:pause", kPauseQueue, v1::PauseQueueRequest::default_instance(),
       v1::PauseQueueResponse::default_instance()},
      {"POST", "/v1/queues/{queue}:resume", kResumeQueue,
       v1::ResumeQueueRequest::default_instance(), v1::ResumeQueueResponse::default_instance()},
      {"POST", "/v1/queues/{queue}:purge", kPurgeQueue, v1::PurgeQueueRequest::default_instance(),
       v1::PurgeQueueResponse::default_instance()},
      {"GET", "/v1/stats", kGetStats, v1::GetStatsRequest::default_instance(),
       v1::GetStatsResponse::default_instance()},
      {"POST", "/v1/leases:complete", kCompleteJobs, v1::CompleteJobsRequest::default_instance(),
       v1::CompleteJobsResponse::default_instance()},
      {"POST", "/v1/leases:fail", kFailJobs, v1::FailJobsRequest::default_instance(),
       v1::FailJobsResponse::default_instance()},
      {"POST", "/v1/leases:extend", kExtendLeases, v1::ExtendLeasesRequest::default_instance(),
       v1::ExtendLeasesResponse::default_instance()},
      {"POST", "/v1/leases:release", kReleaseJobs, v1::ReleaseJobsRequest::default_instance(),
       v1::ReleaseJobsResponse::default_instance()},
      {"GET", "/v1/workers", kListWorkers, v1::ListWorkersRequest::default_instance(),
       v1::ListWorkersResponse::default_instance()},
      {"GET", "/v1/cluster", kGetCluster, none, v1::GetClusterResponse::default_instance()},
      {"POST", "/v1/cluster:transfer", kTransferLeadership,
       v1::TransferLeadershipRequest::default_instance(),
       v1::TransferLeadershipResponse::default_instance()},
      {"GET", "/v1/keys", kListKeys, v1::ListKeysRequest::default_instance(),
       v1::ListKeysResponse::default_instance()},
      {"POST", "/v1/keys", kCreateKey, v1::CreateKeyRequest::default_instance(),
       v1::CreateKeyResponse::default_instance()},
      {"POST", "/v1/keys/{id}:revoke", kRevokeKey, v1::RevokeKeyRequest::default_instance(),
       v1::RevokeKeyResponse::default_instance()},
  };
}

void Forward(RpcBridge* bridge, const V1Route& route, const HttpCall& call,
             const HttpReply& reply) {
  const std::unique_ptr<Message> request(route.request.New());
  auto problem = ReadBody(call.request, request.get());
  if (!problem) problem = ReadParameters(call.request.target.query, request.get());
  if (!problem) problem = ReadParameters(call.path, request.get());
  if (problem) return reply.Send(*std::move(problem));
  bridge->CallAny(route.rpc, *request, std::shared_ptr<Message>(route.response.New()), reply,
                  [reply](const Message& response) { reply.Send(JsonResponse(200, response)); });
}

void LeaseJobs(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::LeaseJobsRequest request;
  if (auto problem = ReadBody(call.request, &request)) return reply.Send(*std::move(problem));
  bridge->Call<v1::LeaseJobsResponse>(
      kLeaseJobs, request, reply, [bridge, reply](const v1::LeaseJobsResponse& leased) {
        HttpResponse response = JsonResponse(200, leased);
        response.undelivered = ReleaseLater(bridge, reply.credentials(), leased);
        reply.Send(std::move(response));
      });
}

void EnqueueOne(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::EnqueueJobsRequest request;
  if (auto problem = ReadBody(call.request, request.add_jobs())) {
    return reply.Send(*std::move(problem));
  }
  request.set_request_id(MakeRequestId());
  bridge->Call<v1::EnqueueJobsResponse>(
      kEnqueueJobs, request, reply,
      [reply](const v1::EnqueueJobsResponse& enqueued) {
        const auto& result = enqueued.results(0);
        if (result.error().code() != 0) return reply.Send(OneJobErrorResponse(result.error()));
        HttpResponse response = JsonResponse(result.created() ? 201 : 200, result);
        if (!result.created()) response.headers.emplace_back("Idempotent-Replayed", "true");
        reply.Send(std::move(response));
      },
      [reply](const grpc::Status& status) { reply.Send(OneJobErrorResponse(status)); });
}

void Enqueue(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  const auto members = ParseJsonObject(call.request.body);
  // Any other body is one job, or is refused there.
  if (!members.ok() || !members->contains("jobs")) return EnqueueOne(bridge, call, reply);
  v1::EnqueueJobsRequest request;
  if (auto problem = ReadBody(call.request, &request)) return reply.Send(*std::move(problem));
  bridge->Call<v1::EnqueueJobsResponse>(kEnqueueJobs, request, reply,
                                        [reply](const v1::EnqueueJobsResponse& enqueued) {
                                          reply.Send(JsonResponse(200, enqueued));
                                        });
}

}  // namespace

std::optional<std::string> MessageJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return std::nullopt;
  }
  return json;
}

void AddV1Routes(RpcBridge* bridge, Router* router) {
  for (const V1Route& route : Table()) {
    router->Add({route.method, route.pattern,
                 [bridge, route](HttpCall call, const HttpReply& reply) {
                   Forward(bridge, route, call, reply);
                 },
                 route.rpc.path, route.rpc.scope,
                 route.method == std::string("POST") ? kClientRequestBytesMax : 0});
  }
  router->Add({"POST", "/v1/jobs",
               [bridge](HttpCall call, const HttpReply& reply) { Enqueue(bridge, call, reply); },
               kEnqueueJobs.path, kEnqueueJobs.scope, kClientRequestBytesMax});
  router->Add({"POST", "/v1/leases",
               [bridge](HttpCall call, const HttpReply& reply) { LeaseJobs(bridge, call, reply); },
               kLeaseJobs.path, kLeaseJobs.scope, kClientRequestBytesMax});
}

}  // namespace dqueue::transport
