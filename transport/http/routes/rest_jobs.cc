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

// The longest payload or result in base64 or with every character escaped, and the other members.
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

std::optional<HttpResponse> ReadJob(const HttpRequest& http, v1::JobSpec* job) {
  BodyFields fields(http, BodyFields::Body::kRequired);
  job->set_id(fields.Name("id").value_or(""));
  job->set_queue(fields.Name("queue").value_or(""));
  job->set_type(fields.Name("type").value_or(""));
  job->set_payload(fields.Bytes("payload").value_or(""));
  job->set_priority(
      static_cast<int32_t>(fields.Integer("priority", 0, queue::kPriorityMax).value_or(0)));
  if (const auto retries = fields.Integer("max_retries", 0, queue::kRetriesMax)) {
    job->mutable_retry()->set_max_retries(static_cast<int32_t>(*retries));
  }
  ReadRunTime(&fields, job);
  job->set_idempotency_key(fields.Name("idempotency_key").value_or(""));
  if (auto problem = fields.Problem()) return problem;
  return AddIdempotencyKey(http, job);
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
  const auto worker = fields.Name("worker_id");
  if (!worker && family.default_worker == nullptr) {
    fields.Refuse("worker_id", "absent", "the name of the worker");
  }
  request->set_worker_id(worker ? *worker : family.default_worker ? family.default_worker : "");
  if (const auto queue = fields.Name("queue")) request->add_queues(*queue);
  if (const auto type = fields.Name("type")) request->add_types(*type);
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

// What the holder of a lease does with it.
struct Verdict {
  enum class Kind { kComplete, kFail, kExtend };
  std::string id;
  std::string worker_id;
  std::optional<v1::LeaseToken> token;
  Kind kind = Kind::kComplete;
  std::string text;                  // the result, or the error
  std::optional<int64_t> extend_ms;  // of kExtend; nullopt: the node's default
};

// The common part of ack, nack and extend.
void ReadHolder(const HttpCall& call, const Family& family, BodyFields* fields, Verdict* verdict) {
  verdict->id = call.path.at("id");
  const auto worker = fields->Name("worker_id");
  if (const auto token = fields->Text("lease_token")) {
    verdict->token = ParseToken(*token);
    if (!verdict->token) {
      fields->Refuse("lease_token", queue::ShownValue(*token), "a lease_token as it was given");
    }
  } else if (!worker && family.default_worker == nullptr) {
    fields->Refuse("worker_id", "absent", "the name of the worker, or there must be a lease_token");
  }
  verdict->worker_id = worker ? *worker : family.default_worker ? family.default_worker : "";
}

// Makes the call with one item. The answer is the job, or the item's error.
template <class Request, class Response>
void CallOne(RpcBridge* bridge, const RpcMethod& method, const Request& request,
             const std::string& id, const HttpReply& reply) {
  bridge->Call<Response>(method, request, reply, [bridge, id, reply](const Response& response) {
    const google::rpc::Status& status = response.results(0);
    if (status.code() != 0) return reply.Send(ErrorResponse(status));
    AnswerWithJob(bridge, 200, id, /*replayed=*/false, reply);
  });
}

void Execute(RpcBridge* bridge, const Verdict& verdict, const HttpReply& reply) {
  const auto fill = [&verdict](auto* request) {
    request->set_worker_id(verdict.worker_id);
    auto* item = request->add_items();
    item->set_id(verdict.id);
    *item->mutable_token() = *verdict.token;
    return item;
  };
  switch (verdict.kind) {
    case Verdict::Kind::kComplete: {
      v1::CompleteJobsRequest request;
      fill(&request)->set_result(verdict.text);
      return CallOne<v1::CompleteJobsRequest, v1::CompleteJobsResponse>(bridge, kCompleteJobs,
                                                                        request, verdict.id, reply);
    }
    case Verdict::Kind::kFail: {
      v1::FailJobsRequest request;
      fill(&request)->set_error(verdict.text);
      return CallOne<v1::FailJobsRequest, v1::FailJobsResponse>(bridge, kFailJobs, request,
                                                                verdict.id, reply);
    }
    case Verdict::Kind::kExtend: {
      v1::ExtendLeasesRequest request;
      fill(&request);
      if (verdict.extend_ms) {
        *request.mutable_lease_duration() = TimeUtil::MillisecondsToDuration(*verdict.extend_ms);
      }
      return CallOne<v1::ExtendLeasesRequest, v1::ExtendLeasesResponse>(bridge, kExtendLeases,
                                                                        request, verdict.id, reply);
    }
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
void ExecuteByName(RpcBridge* bridge, const Verdict& verdict, const HttpReply& reply) {
  v1::GetJobRequest request;
  request.set_id(verdict.id);
  bridge->Call<v1::GetJobResponse>(
      kGetJob, request, reply, [bridge, verdict, reply](const v1::GetJobResponse& got) {
        const v1::Job& job = got.job();
        if (!job.has_lease() || job.lease().worker_id() != verdict.worker_id) {
          return reply.Send(NotHeld(job, verdict.worker_id));
        }
        Verdict with_token = verdict;
        with_token.token = job.lease().token();
        Execute(bridge, with_token, reply);
      });
}

void Begin(RpcBridge* bridge, const BodyFields& fields, const Verdict& verdict,
           const HttpReply& reply) {
  if (auto problem = fields.Problem()) return reply.Send(*std::move(problem));
  if (verdict.token) return Execute(bridge, verdict, reply);
  ExecuteByName(bridge, verdict, reply);
}

void Ack(RpcBridge* bridge, const Family& family, const HttpCall& call, const HttpReply& reply) {
  BodyFields fields(call.request);
  Verdict verdict;
  ReadHolder(call, family, &fields, &verdict);
  const auto result = fields.Bytes("result");
  const auto error = fields.Text("result_error");
  if (result && error) {
    fields.Refuse("result_error", queue::ShownValue(*error), "absent when there is a result");
  }
  if (error) verdict.kind = Verdict::Kind::kFail;
  verdict.text = error ? *error : result.value_or("");
  Begin(bridge, fields, verdict, reply);
}

void Nack(RpcBridge* bridge, const Family& family, const HttpCall& call, const HttpReply& reply) {
  BodyFields fields(call.request);
  Verdict verdict;
  ReadHolder(call, family, &fields, &verdict);
  verdict.kind = Verdict::Kind::kFail;
  verdict.text = fields.Text("reason").value_or("");
  Begin(bridge, fields, verdict, reply);
}

void Extend(RpcBridge* bridge, const Family& family, const HttpCall& call, const HttpReply& reply) {
  BodyFields fields(call.request);
  Verdict verdict;
  ReadHolder(call, family, &fields, &verdict);
  verdict.kind = Verdict::Kind::kExtend;
  verdict.extend_ms = fields.Integer("lease_ms", queue::kLeaseMsMin, queue::kLeaseMsMax);
  Begin(bridge, fields, verdict, reply);
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
  const auto add = [&](const char* method, const std::string& pattern, const char* what,
                       queue::Scope scope, auto handle) {
    router->Add({method, family.root + pattern,
                 [bridge, family, handle](HttpCall call, const HttpReply& reply) {
                   handle(bridge, family, call, reply);
                 },
                 name + "." + what, scope, method == std::string("POST") ? kBodyBytesMax : 0,
                 /*is_call=*/true, Runs::kInPool, /*plain=*/true});
  };
  add("POST", "", "submit", queue::Scope::kJobsSubmit,
      [](RpcBridge* to, const Family&, const HttpCall& call, const HttpReply& reply) {
        Submit(to, call, reply);
      });
  add("POST", "/lease", "lease", queue::Scope::kJobsLease, Lease);
  add("POST", "/{id}/ack", "ack", queue::Scope::kJobsAck, Ack);
  add("POST", "/{id}/nack", "nack", queue::Scope::kJobsAck, Nack);
  add("POST", "/{id}/extend", "extend", queue::Scope::kJobsLease, Extend);
  add("GET", "/{id}", "get", queue::Scope::kJobsRead,
      [](RpcBridge* to, const Family&, const HttpCall& call, const HttpReply& reply) {
        GetJob(to, call, reply);
      });
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
