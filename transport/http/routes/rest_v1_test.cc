// The routes of /v1 and /workers against fake services: the requests that the services get, and the
// JSON of their responses.
#include "transport/http/routes/rest_v1.h"

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <future>
#include <utility>

#include "dqueue/v1/service.grpc.pb.h"
#include "transport/http/routes/rest_jobs.h"
#include "transport/http/routes/rest_workers.h"

namespace dqueue::transport {
namespace {

using testing::HasSubstr;
using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

Reactor* Done(Context* context) {
  Reactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

// Each method records its request and answers with a response that has every kind of field.
class FakeKeys final : public v1::KeyService::CallbackService {
 public:
  Reactor* CreateKey(Context* context, const v1::CreateKeyRequest* request,
                     v1::CreateKeyResponse* response) override {
    asked_ = request->ShortDebugString();
    response->mutable_key()->set_id("client_abc");
    response->mutable_key()->set_type(request->type());
    response->set_secret("client_abcdef");
    return Done(context);
  }
  Reactor* ListKeys(Context* context, const v1::ListKeysRequest* request,
                    v1::ListKeysResponse* response) override {
    asked_ = request->ShortDebugString();
    response->add_keys()->set_id("client_abc");
    return Done(context);
  }
  Reactor* RevokeKey(Context* context, const v1::RevokeKeyRequest* request,
                     v1::RevokeKeyResponse* response) override {
    asked_ = request->ShortDebugString();
    response->mutable_key()->set_id(request->id());
    return Done(context);
  }
  std::string asked_;
};

class FakeWorkers final : public v1::WorkerService::CallbackService {
 public:
  Reactor* ListWorkers(Context* context, const v1::ListWorkersRequest*,
                       v1::ListWorkersResponse* response) override {
    auto* worker = response->add_workers();
    worker->set_id("w1");
    worker->set_host("east");
    worker->set_leased(2);
    worker->add_queues("mail");
    worker = response->add_workers();
    worker->set_id("w2");
    worker->set_host("west");
    worker->set_waiting(true);
    worker = response->add_workers();
    worker->set_id("w3");
    worker->set_host("east");
    return Done(context);
  }
};

class FakeJobs final : public v1::JobService::CallbackService {
 public:
  Reactor* EnqueueJobs(Context* context, const v1::EnqueueJobsRequest* request,
                       v1::EnqueueJobsResponse* response) override {
    EXPECT_TRUE(request->return_jobs());
    const v1::JobSpec& spec = request->jobs(0);
    auto* result = response->add_results();
    result->set_id(spec.id());
    result->set_created(spec.queue() != "replayed");
    if (spec.queue() == "old-leader") return Done(context);
    result->mutable_job()->set_id(spec.id());
    result->mutable_job()->set_payload(spec.payload());
    return Done(context);
  }
  Reactor* GetJob(Context* context, const v1::GetJobRequest* request,
                  v1::GetJobResponse* response) override {
    ++reads_;
    if (request->id() == "unreadable") {
      Reactor* const reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no jobs:read"));
      return reactor;
    }
    response->mutable_job()->set_id(request->id());
    response->mutable_job()->set_payload("\"read\"");
    return Done(context);
  }
  Reactor* GroupDeadJobs(Context* context, const v1::GroupDeadJobsRequest* request,
                         v1::GroupDeadJobsResponse* response) override {
    asked_ = request->ShortDebugString();
    response->add_groups()->set_error("boom");
    return Done(context);
  }
  int reads_ = 0;
  std::string asked_;
};

class FakeCluster final : public v1::ClusterService::CallbackService {
 public:
  Reactor* TransferLeadership(Context* context, const v1::TransferLeadershipRequest* request,
                              v1::TransferLeadershipResponse* response) override {
    response->set_leader_id(request->to());
    return Done(context);
  }
};

class Answer final : public HttpReply::Exchange {
 public:
  void Send(HttpResponse response) override { answer_.set_value(std::move(response)); }
  bool BeginStream(HttpResponse) override { return false; }
  void Write(HttpChunk) override {}
  void EndStream() override {}
  void OnGone(std::function<void()>) override {}
  bool gone() const override { return false; }
  const Credentials& credentials() const override { return credentials_; }

  std::promise<HttpResponse> answer_;
  Credentials credentials_;
};

struct Served {
  Served() {
    grpc::ServerBuilder builder;
    for (grpc::Service* service :
         std::initializer_list<grpc::Service*>{&keys, &workers, &jobs, &cluster}) {
      builder.RegisterService(service);
    }
    server = builder.BuildAndStart();
    bridge = std::make_unique<RpcBridge>(server->InProcessChannel({}));
    AddV1Routes(bridge.get(), &router);
    AddJobRoutes(bridge.get(), &router);
    AddWorkersRoute(bridge.get(), &router);
  }
  ~Served() {
    bridge.reset();
    server->Shutdown();
  }

  FakeKeys keys;
  FakeWorkers workers;
  FakeJobs jobs;
  FakeCluster cluster;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<RpcBridge> bridge;
  Router router{std::make_shared<Authenticator>(false)};
};

class RestV1Test : public testing::Test {
 protected:
  // Once: gRPC 1.51 does not survive that its last channel goes and the next one comes, many times.
  static void SetUpTestSuite() { served_ = new Served; }
  static void TearDownTestSuite() { delete served_; }

  HttpResponse Ask(const std::string& method, const std::string& target,
                   const std::string& body = "") {
    HttpRequest request;
    request.method = method;
    request.target = *ParseTarget(target);
    request.body = body;
    request.headers.emplace_back("Content-Type", "application/json");
    auto answer = std::make_shared<Answer>();
    std::future<HttpResponse> response = answer->answer_.get_future();
    served_->router.Handle(std::move(request), HttpReply(answer));
    return response.get();
  }

  static Served* served_;
};
Served* RestV1Test::served_ = nullptr;

TEST_F(RestV1Test, Keys) {
  HttpResponse made = Ask("POST", "/v1/keys", R"({"name":"n","type":"KEY_TYPE_WORKER"})");
  EXPECT_EQ(made.status, 200);
  EXPECT_THAT(made.body, HasSubstr(R"("secret":"client_abcdef")"));
  EXPECT_THAT(made.body, HasSubstr(R"("type":"KEY_TYPE_WORKER")"));
  EXPECT_EQ(served_->keys.asked_, "name: \"n\" type: KEY_TYPE_WORKER");
  EXPECT_THAT(Ask("GET", "/v1/keys?revoked=true").body, HasSubstr("client_abc"));
  EXPECT_EQ(served_->keys.asked_, "revoked: true");
  EXPECT_EQ(Ask("POST", "/v1/keys/client_x:revoke").status, 200);
  EXPECT_EQ(served_->keys.asked_, "id: \"client_x\"");
}

TEST_F(RestV1Test, DeadJobsAndTransfer) {
  EXPECT_THAT(Ask("GET", "/v1/dead-jobs?queue=a&type=b").body, HasSubstr(R"("error":"boom")"));
  EXPECT_EQ(served_->jobs.asked_, "queue: \"a\" type: \"b\"");
  EXPECT_THAT(Ask("POST", "/v1/cluster:transfer", R"({"to":"n2"})").body,
              HasSubstr(R"("leader_id":"n2")"));
}

TEST_F(RestV1Test, PostingATaskIsOneCall) {
  const HttpResponse made = Ask("POST", "/tasks", R"({"id":"t1","payload":"p"})");
  EXPECT_EQ(made.status, 201);
  EXPECT_THAT(made.body, HasSubstr(R"("job_id":"t1")"));
  EXPECT_THAT(made.body, HasSubstr(R"("payload":"p")"));
  const HttpResponse replayed = Ask("POST", "/jobs", R"({"id":"t1","queue":"replayed"})");
  EXPECT_EQ(replayed.status, 200);
  EXPECT_THAT(replayed.headers, testing::Contains(testing::Pair("Idempotent-Replayed", "true")));
  EXPECT_EQ(served_->jobs.reads_, 0);
}

TEST_F(RestV1Test, PostingATaskReadsTheJobThatTheLeaderDidNotReturn) {
  const HttpResponse made = Ask("POST", "/tasks", R"({"id":"t1","queue":"old-leader"})");
  EXPECT_EQ(made.status, 201);
  EXPECT_THAT(made.body, HasSubstr(R"("payload":"read")"));
  EXPECT_EQ(served_->jobs.reads_, 1);
  const HttpResponse unreadable =
      Ask("POST", "/tasks", R"({"id":"unreadable","queue":"old-leader"})");
  EXPECT_EQ(unreadable.status, 201);
  EXPECT_EQ(unreadable.body, "{\"job_id\":\"unreadable\",\"id\":\"unreadable\"}\n");
}

TEST_F(RestV1Test, Workers) {
  EXPECT_THAT(Ask("GET", "/v1/workers").body, HasSubstr(R"("id":"w3")"));
  const HttpResponse all = Ask("GET", "/workers");
  EXPECT_EQ(all.content_type, "application/json");
  EXPECT_THAT(all.body, testing::StartsWith(
                            R"({"total_workers":3,"total_machines":2,"busy_workers":1,)"
                            R"("leased_jobs":2,"machines":[{"host":"east","total_workers":2,)"
                            R"("workers":[{"worker_id":"w1","status":"busy","active_jobs":2,)"));
  EXPECT_THAT(all.body, HasSubstr(R"("queues":["mail"])"));
  EXPECT_THAT(all.body, HasSubstr(R"({"worker_id":"w2","status":"idle")"));
  EXPECT_THAT(all.body, HasSubstr(R"({"worker_id":"w3","status":"silent")"));
  EXPECT_THAT(WorkersJson({}), HasSubstr(R"("total_workers":0)"));
}

TEST_F(RestV1Test, MissingServicesAreNotImplemented) {
  const HttpResponse answer = Ask("GET", "/v1/stats");
  EXPECT_EQ(answer.status, 501);
  EXPECT_THAT(answer.body, HasSubstr(R"("reason":"UNIMPLEMENTED")"));
}

TEST_F(RestV1Test, AListCannotBeAParameter) {
  for (const char* target : {"/v1/jobs:cancel?ids=a", "/v1/jobs:delete?ids=a",
                             "/v1/queues/q:purge?states=READY", "/v1/keys?scopes=a"}) {
    const HttpResponse answer = Ask("POST", target, "{}");
    EXPECT_EQ(answer.status, 400) << target;
    EXPECT_THAT(answer.body, HasSubstr("must be in a body")) << target;
  }
}

}  // namespace
}  // namespace dqueue::transport
