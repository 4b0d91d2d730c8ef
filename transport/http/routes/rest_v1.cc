#include "transport/http/routes/rest_v1.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/check.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/unary_call.h"
#include "transport/http/message/error_response.h"
#include "transport/http/routes/body_fields.h"
#include "transport/http/routes/leased_jobs.h"
#include "transport/http/routes/v1_json.h"

namespace dqueue::transport {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::string_view kPost = "POST";

HttpResponse JsonResponse(int status, const Message& message) {
  const std::optional<std::string> json = MessageJson(message);
  if (!json) return HttpProblem(500, "INTERNAL", "the answer cannot be written as JSON");
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = *json + '\n';
  return response;
}

// A body that is not there is refused: what a call without one would do, like deleting the jobs of
// a queue, must be asked for, if only by {}.
std::optional<HttpResponse> ReadBody(const HttpRequest& http, Message* request) {
  if (http.body.empty()) return MissingBody();
  if (auto problem = ProblemOfContentType(http)) return problem;
  return ReadMessageJson(http.body, request);
}

bool SetEnum(const FieldDescriptor& field, const std::string& value, Message* request) {
  const auto* found = FindEnumValue(*field.enum_type(), value);
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
      return SetEnum(field, value, request) ? "" : EnumValues(*field.enum_type());
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

// A method of the gRPC API under a route of its own. Its messages follow from the path of `rpc`.
struct V1Route {
  const char* method;
  const char* pattern;
  const RpcMethod& rpc;
  // The path says all, and the rest of the request message has no effect beyond it.
  bool body_optional = false;
};

constexpr V1Route kRoutes[] = {
    {"GET", "/v1/jobs/{id}", kGetJob},
    {"GET", "/v1/jobs", kListJobs},
    {"POST", "/v1/jobs:cancel", kCancelJobs},
    {"POST", "/v1/jobs:retry", kRetryJobs},
    {"POST", "/v1/jobs:delete", kDeleteJobs},
    {"POST", "/v1/jobs:redrive", kRedriveJobs},
    {"GET", "/v1/dead-jobs", kGroupDeadJobs},
    {"POST", "/v1/queues/{queue}:pause", kPauseQueue, true},
    {"POST", "/v1/queues/{queue}:resume", kResumeQueue, true},
    {"POST", "/v1/queues/{queue}:purge", kPurgeQueue},
    {"GET", "/v1/stats", kGetStats},
    {"POST", "/v1/leases:complete", kCompleteJobs},
    {"POST", "/v1/leases:fail", kFailJobs},
    {"POST", "/v1/leases:extend", kExtendLeases},
    {"POST", "/v1/leases:release", kReleaseJobs},
    {"GET", "/v1/workers", kListWorkers},
    {"GET", "/v1/cluster", kGetCluster},
    {"POST", "/v1/cluster:transfer", kTransferLeadership},
    {"GET", "/v1/keys", kListKeys},
    {"POST", "/v1/keys", kCreateKey},
    {"POST", "/v1/keys/{id}:revoke", kRevokeKey, true},
};

// The default request and response of a method.
struct Prototypes {
  const Message* request;
  const Message* response;
};

Prototypes PrototypesOf(const RpcMethod& rpc) {
  // "/dqueue.v1.JobService/GetJob" is named "dqueue.v1.JobService.GetJob" in the schema.
  std::string name(rpc.path + 1);
  std::replace(name.begin(), name.end(), '/', '.');
  const auto* const method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  DQ_CHECK_MSG(method != nullptr, name + " is in no schema");
  auto* const factory = google::protobuf::MessageFactory::generated_factory();
  return {factory->GetPrototype(method->input_type()),
          factory->GetPrototype(method->output_type())};
}

void Forward(RpcBridge* bridge, const V1Route& route, const Prototypes& messages,
             const HttpCall& call, const HttpReply& reply) {
  const std::unique_ptr<Message> request(messages.request->New());
  std::optional<HttpResponse> problem;
  if (route.method == kPost && !(route.body_optional && call.request.body.empty())) {
    problem = ReadBody(call.request, request.get());
  }
  if (!problem) problem = ReadParameters(call.request.target.query, request.get());
  if (!problem) problem = ReadParameters(call.path, request.get());
  if (problem) return reply.Send(*std::move(problem));
  bridge->CallAny(route.rpc, *request, std::shared_ptr<Message>(messages.response->New()), reply,
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
  v1::JobSpec* job = request.add_jobs();
  auto problem = ReadBody(call.request, job);
  if (!problem) problem = AddIdempotencyKey(call.request, job);
  if (problem) return reply.Send(*std::move(problem));
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

// The body has the member "jobs". Bad JSON has none; its reader refuses it.
bool HasJobs(const std::string& body) {
  if (!CheckJson(body).ok()) return false;
  bool has = false;
  ForEachJsonMember(body, [&has](std::string_view name, std::string_view) {
    has = has || JsonName(name) == "jobs";
  });
  return has;
}

void Enqueue(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  if (!HasJobs(call.request.body)) return EnqueueOne(bridge, call, reply);
  v1::EnqueueJobsRequest request;
  auto problem = ReadBody(call.request, &request);
  if (!problem && call.request.Count("Idempotency-Key") > 0) {
    problem = BadField("Idempotency-Key", queue::ShownValue(call.request.Header("Idempotency-Key")),
                       "absent when there are several jobs: each has its own idempotency_key");
  }
  if (problem) return reply.Send(*std::move(problem));
  bridge->Call<v1::EnqueueJobsResponse>(kEnqueueJobs, request, reply,
                                        [reply](const v1::EnqueueJobsResponse& enqueued) {
                                          reply.Send(JsonResponse(200, enqueued));
                                        });
}

}  // namespace

void AddV1Routes(RpcBridge* bridge, Router* router) {
  for (const V1Route& route : kRoutes) {
    router->Add({route.method, route.pattern,
                 [bridge, route = &route, messages = PrototypesOf(route.rpc)](
                     HttpCall call, const HttpReply& reply) {
                   Forward(bridge, *route, messages, call, reply);
                 },
                 route.rpc.path, route.rpc.scope,
                 route.method == kPost ? kClientRequestBytesMax : 0});
  }
  router->Add({"POST", "/v1/jobs",
               [bridge](HttpCall call, const HttpReply& reply) { Enqueue(bridge, call, reply); },
               kEnqueueJobs.path, kEnqueueJobs.scope, kClientRequestBytesMax, /*is_call=*/true,
               Runs::kInPool, /*plain=*/true});
  router->Add({"POST", "/v1/leases",
               [bridge](HttpCall call, const HttpReply& reply) { LeaseJobs(bridge, call, reply); },
               kLeaseJobs.path, kLeaseJobs.scope, kClientRequestBytesMax, /*is_call=*/true,
               Runs::kInPool, /*plain=*/true});
}

}  // namespace dqueue::transport
