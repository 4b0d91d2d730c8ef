#include "transport/http/routes/rest_jobs.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "dqueue/v1/service.pb.h"
#include "queue/api/error_status.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/http/message/error_response.h"
#include "transport/http/routes/body_fields.h"
#include "transport/http/routes/job_json.h"
#include "transport/http/routes/leased_jobs.h"

namespace dqueue::transport {
namespace {

using google::protobuf::util::TimeUtil;

// The longest payload or result with every character escaped as \u00XX, and the other members.
constexpr size_t kBodyBytesMax = 6 * queue::kPayloadBytesMax + (64 << 10);
// The worker of calls on /jobs without a worker name.
constexpr char kNoName[] = "http";

HttpResponse JobResponse(int status, const v1::Job& job) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = JobJson(job, std::chrono::system_clock::now()) + "\n";
  return response;
}

// The answer if the job cannot be read: the caller lacks the right, or the job is gone already.
HttpResponse IdResponse(int status, const std::string& id) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = JsonObject().Text("job_id", id).Text("id", id).Finish() + "\n";
  return response;
}

// Answers with the job as it is now, after a change of it.
void AnswerWithJob(RpcBridge* bridge, int status, const std::string& id, bool replayed,
                   const HttpReply& reply) {
  v1::GetJobRequest request;
  request.set_id(id);
  const auto send = [reply, replayed](HttpResponse response) {
    if (replayed) response.headers.emplace_back("Idempotent-Replayed", "true");
    reply.Send(std::move(response));
  };
  bridge->Call<v1::GetJobResponse>(
      kGetJob, request, reply,
      [send, status](const v1::GetJobResponse& got) { send(JobResponse(status, got.job())); },
      [send, status, id](const grpc::Status&) { send(IdResponse(status, id)); });
}

void ReadRunTime(BodyFields* fields, v1::JobSpec* job) {
  if (const auto delay = fields->Integer("delay_ms", 0, queue::kRunTimeAheadMsMax)) {
    *job->mutable_delay() = TimeUtil::MillisecondsToDuration(*delay);
  }
  const auto run_at = fields->Text("run_at");
  if (run_at && !TimeUtil::FromString(*run_at, job->mutable_run_time())) {
    fields->Refuse("run_at", queue::ShownValue(*run_at), "a time like 2026-04-16T12:34:00Z");
  }
  if (run_at && job->has_delay()) {
    fields->Refuse("run_at", queue::ShownValue(*run_at), "absent when there is delay_ms");
  }
}

void ReadIdempotencyKey(const HttpRequest& http, BodyFields* fields, v1::JobSpec* job) {
  const std::string& header = http.Header("Idempotency-Key");
  const auto in_body = fields->Text("idempotency_key");
  if (in_body && !header.empty() && *in_body != header) {
    fields->Refuse("idempotency_key", queue::ShownValue(*in_body),
                   "the same as the header Idempotency-Key");
  }
  job->set_idempotency_key(in_body ? *in_body : header);
  if (!queue::IsUtf8(job->idempotency_key())) {
    fields->Refuse("Idempotency-Key", queue::ShownValue(header), "UTF-8");
  }
}

std::optional<HttpResponse> ReadJob(const HttpRequest& http, v1::JobSpec* job) {
  BodyFields fields(http);
  job->set_id(fields.Text("id").value_or(""));
  job->set_queue(fields.Text("queue").value_or(""));
  job->set_type(fields.Text("type").value_or(""));
  job->set_payload(fields.TextOrJson("payload").value_or(""));
  job->set_priority(
      static_cast<int32_t>(fields.Integer("priority", 0, queue::kPriorityMax).value_or(0)));
  if (const auto retries = fields.Integer("max_retries", 0, queue::kRetriesMax)) {
    job->mutable_retry()->set_max_retries(static_cast<int32_t>(*retries));
  }
  ReadRunTime(&fields, job);
  ReadIdempotencyKey(http, &fields, job);
  return fields.Problem();
}

void Submit(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::EnqueueJobsRequest request;
  if (auto problem = ReadJob(call.request, request.add_jobs())) {
    return reply.Send(*std::move(problem));
  }
  request.set_request_id(MakeRequestId());
  request.set_return_jobs(true);
  bridge->Call<v1::EnqueueJobsResponse>(
      kEnqueueJobs, request, reply,
      [bridge, reply](const v1::EnqueueJobsResponse& enqueued) {
        const auto& result = enqueued.results(0);
        if (result.error().code() != 0) return reply.Send(OneJobErrorResponse(result.error()));
        const int status = result.created() ? 201 : 200;
        // A leader of an earlier version returns no job.
        if (!result.has_job()) {
          return AnswerWithJob(bridge, status, result.id(), !result.created(), reply);
        }
        HttpResponse response = JobResponse(status, result.job());
        if (!result.created()) response.headers.emplace_back("Idempotent-Replayed", "true");
        reply.Send(std::move(response));
      },
      [reply](const grpc::Status& status) { reply.Send(OneJobErrorResponse(status)); });
}

void GetJob(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::GetJobRequest request;
  request.set_id(call.path.at("id"));
  bridge->Call<v1::GetJobResponse>(kGetJob, request, reply, [reply](const v1::GetJobResponse& got) {
    reply.Send(JobResponse(200, got.job()));
  });
}

// The differences between the two families of routes.
struct Family {
  std::string root;
  // The worker if the request names none; null: the request must name one.
  const char* default_worker;
  int nothing_status;  // of a lease without a job
};

std::optional<HttpResponse> ReadLease(const HttpRequest& http, const Family& family,
                                      v1::LeaseJobsRequest* request) {
  BodyFields fields(http);
  const auto worker = fields.Text("worker_id");
  if (!worker && family.default_worker == nullptr) {
    fields.Refuse("worker_id", "absent", "the name of the worker");
  }
  request->set_worker_id(worker ? *worker : family.default_worker ? family.default_worker : "");
  if (const auto queue = fields.Text("queue")) request->add_queues(*queue);
  if (const auto type = fields.Text("type")) request->add_types(*type);
  if (const auto wait = fields.Integer("wait_ms", 0, queue::kWaitMsMax)) {
    *request->mutable_wait() = TimeUtil::MillisecondsToDuration(*wait);
  }
  if (const auto lease = fields.Integer("lease_ms", queue::kLeaseMsMin, queue::kLeaseMsMax)) {
    *request->mutable_lease_duration() = TimeUtil::MillisecondsToDuration(*lease);
  }
  request->set_max_jobs(1);
  request->set_lease_request_id(MakeRequestId());
  return fields.Problem();
}

HttpResponse NothingToLease(int status) {
  if (status == 404) return HttpProblem(404, "NO_JOB_READY", "no job is ready");
  HttpResponse response;
  response.status = status;
  return response;
}

void Lease(RpcBridge* bridge, const Family& family, const HttpCall& call, const HttpReply& reply) {
  v1::LeaseJobsRequest request;
  if (auto problem = ReadLease(call.request, family, &request)) {
    return reply.Send(*std::move(problem));
  }
  bridge->Call<v1::LeaseJobsResponse>(
      kLeaseJobs, request, reply,
      [bridge, reply, nothing = family.nothing_status](const v1::LeaseJobsResponse& leased) {
        if (leased.jobs().empty()) return reply.Send(NothingToLease(nothing));
        HttpResponse response = JobResponse(200, leased.jobs(0));
        response.undelivered = ReleaseLater(bridge, reply.credentials(), leased);
        reply.Send(std::move(response));
      });
}

// The end of a lease by its worker.
struct Ending {
  std::string id;
  std::string worker_id;
  std::optional<v1::LeaseToken> token;
  bool failed = false;
  std::string text;  // the result, or the error
};

// The common part of ack and nack.
void ReadHolder(const HttpCall& call, const Family& family, BodyFields* fields, Ending* ending) {
  ending->id = call.path.at("id");
  const auto worker = fields->Text("worker_id");
  if (const auto token = fields->Text("lease_token")) {
    ending->token = ParseToken(*token);
    if (!ending->token) {
      fields->Refuse("lease_token", queue::ShownValue(*token), "a lease_token as it was given");
    }
  } else if (!worker && family.default_worker == nullptr) {
    fields->Refuse("worker_id", "absent", "the name of the worker, or there must be a lease_token");
  }
  ending->worker_id = worker ? *worker : family.default_worker ? family.default_worker : "";
}

// The result of the only item.
template <class Response>
std::function<void(const Response&)> AfterEnding(RpcBridge* bridge, const std::string& id,
                                                 const HttpReply& reply) {
  return [bridge, id, reply](const Response& response) {
    const google::rpc::Status& status = response.results(0);
    if (status.code() != 0) return reply.Send(ErrorResponse(status));
    AnswerWithJob(bridge, 200, id, /*replayed=*/false, reply);
  };
}

void End(RpcBridge* bridge, const Ending& ending, const HttpReply& reply) {
  const auto fill = [&ending](auto* request) {
    request->set_worker_id(ending.worker_id);
    auto* item = request->add_items();
    item->set_id(ending.id);
    *item->mutable_token() = *ending.token;
    return item;
  };
  if (ending.failed) {
    v1::FailJobsRequest request;
    fill(&request)->set_error(ending.text);
    bridge->Call<v1::FailJobsResponse>(kFailJobs, request, reply,
                                       AfterEnding<v1::FailJobsResponse>(bridge, ending.id, reply));
  } else {
    v1::CompleteJobsRequest request;
    fill(&request)->set_result(ending.text);
    bridge->Call<v1::CompleteJobsResponse>(
        kCompleteJobs, request, reply,
        AfterEnding<v1::CompleteJobsResponse>(bridge, ending.id, reply));
  }
}

HttpResponse NotHeld(const v1::Job& job, const std::string& worker_id) {
  queue::Error error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "LEASE_STALE";
  const bool held = job.state() == v1::JOB_STATE_LEASED;
  error.message = "job " + job.id() +
                  (held ? " is held by another worker than " + queue::ShownValue(worker_id)
                        : std::string(" is not held; its state is ") + StateWord(job));
  error.metadata = {{"id", job.id()}, {"state", StateWord(job)}};
  return ErrorResponse(queue::ToRpcStatus(error));
}

// Without a token the caller must be the holder by name; then the holder's token is used.
void EndByName(RpcBridge* bridge, const Ending& ending, const HttpReply& reply) {
  v1::GetJobRequest request;
  request.set_id(ending.id);
  bridge->Call<v1::GetJobResponse>(
      kGetJob, request, reply, [bridge, ending, reply](const v1::GetJobResponse& got) {
        const v1::Job& job = got.job();
        if (!job.has_lease() || job.lease().worker_id() != ending.worker_id) {
          return reply.Send(NotHeld(job, ending.worker_id));
        }
        Ending with_token = ending;
        with_token.token = job.lease().token();
        End(bridge, with_token, reply);
      });
}

void EndLease(RpcBridge* bridge, const BodyFields& fields, const Ending& ending,
              const HttpReply& reply) {
  if (auto problem = fields.Problem()) return reply.Send(*std::move(problem));
  if (ending.token) return End(bridge, ending, reply);
  EndByName(bridge, ending, reply);
}

void Ack(RpcBridge* bridge, const Family& family, const HttpCall& call, const HttpReply& reply) {
  BodyFields fields(call.request);
  Ending ending;
  ReadHolder(call, family, &fields, &ending);
  const auto result = fields.TextOrJson("result");
  const auto error = fields.Text("result_error");
  if (result && error) {
    fields.Refuse("result_error", queue::ShownValue(*error), "absent when there is a result");
  }
  ending.failed = error.has_value();
  ending.text = error ? *error : result.value_or("");
  EndLease(bridge, fields, ending, reply);
}

void Nack(RpcBridge* bridge, const Family& family, const HttpCall& call, const HttpReply& reply) {
  BodyFields fields(call.request);
  Ending ending;
  ReadHolder(call, family, &fields, &ending);
  ending.failed = true;
  ending.text = fields.Text("reason").value_or("");
  EndLease(bridge, fields, ending, reply);
}

void GetStats(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::GetStatsRequest request;
  for (const auto& [name, value] : call.request.target.query) {
    int32_t page_size = 0;
    if (name == "page_token") {
      request.set_page_token(value);
    } else if (name != "page_size") {
      return reply.Send(BadField(name, queue::ShownValue(value), "a parameter of this route"));
    } else if (absl::SimpleAtoi(value, &page_size)) {
      request.set_page_size(page_size);
    } else {
      return reply.Send(BadField(name, queue::ShownValue(value), "an integer, 0 to 1000"));
    }
  }
  bridge->Call<v1::GetStatsResponse>(kGetStats, request, reply,
                                     [reply](const v1::GetStatsResponse& stats) {
                                       HttpResponse response;
                                       response.content_type = "application/json";
                                       response.body = StatsJson(stats) + "\n";
                                       reply.Send(std::move(response));
                                     });
}

void AddFamily(RpcBridge* bridge, const Family& family, Router* router) {
  const std::string name = family.root.substr(1);
  router->Add({"POST", family.root,
               [bridge](HttpCall call, const HttpReply& reply) { Submit(bridge, call, reply); },
               name + ".submit", queue::Scope::kJobsSubmit, kBodyBytesMax});
  router->Add({"POST", family.root + "/lease",
               [bridge, family](HttpCall call, const HttpReply& reply) {
                 Lease(bridge, family, call, reply);
               },
               name + ".lease", queue::Scope::kJobsLease, kBodyBytesMax});
  router->Add({"POST", family.root + "/{id}/ack",
               [bridge, family](HttpCall call, const HttpReply& reply) {
                 Ack(bridge, family, call, reply);
               },
               name + ".ack", queue::Scope::kJobsAck, kBodyBytesMax});
  router->Add({"POST", family.root + "/{id}/nack",
               [bridge, family](HttpCall call, const HttpReply& reply) {
                 Nack(bridge, family, call, reply);
               },
               name + ".nack", queue::Scope::kJobsAck, kBodyBytesMax});
  router->Add({"GET", family.root + "/{id}",
               [bridge](HttpCall call, const HttpReply& reply) { GetJob(bridge, call, reply); },
               name + ".get", queue::Scope::kJobsRead, 0});
}

}  // namespace

void AddJobRoutes(RpcBridge* bridge, Router* router) {
  AddFamily(bridge, {.root = "/tasks", .default_worker = nullptr, .nothing_status = 204}, router);
  AddFamily(bridge, {.root = "/jobs", .default_worker = kNoName, .nothing_status = 404}, router);
  router->Add({"GET", "/stats",
               [bridge](HttpCall call, const HttpReply& reply) { GetStats(bridge, call, reply); },
               "stats", queue::Scope::kJobsRead, 0});
}

}  // namespace dqueue::transport
