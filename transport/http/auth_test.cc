// Every method and every route with all kinds of wrong keys, on a real node.
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <thread>

#include "dqueue/v1/service.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "storage/files/file_system.h"
#include "transport/calls/message_bytes.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/http/http_facade.h"
#include "transport/http/message/json_text.h"
#include "transport/keys/secret_key.h"
#include "transport/testing/machine_fixture.h"
#include "transport/testing/raw_http1.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using google::protobuf::Message;
using queue::Scope;

struct Said {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason;
  std::string message;
  friend bool operator==(const Said&, const Said&) = default;
};
std::ostream& operator<<(std::ostream& out, const Said& said) {
  return out << said.code << " " << said.reason << ": " << said.message;
}

class AuthTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine_ = new LoneMachine("dqueue_auth_test");
    admin_ = MakeSecretKey(v1::KEY_TYPE_ADMIN).secret;
    ServerOptions options;
    options.auth = true;
    options.first_keys.always = true;
    options.first_keys.keys.push_back(
        {.name = "first", .owner_id = "ops", .type = v1::KEY_TYPE_ADMIN, .secret = admin_});
    std::promise<void> made;
    options.first_keys.made = [&made](const FirstKey&) { made.set_value(); };
    machine_->Start("127.0.0.1:0", options);
    ASSERT_FALSE(HasFatalFailure());
    auto facade = HttpFacade::Start("127.0.0.1:0", &machine_->server());
    ASSERT_TRUE(facade.ok()) << facade.status();
    facade_ = std::move(facade)->release();
    ASSERT_EQ(made.get_future().wait_for(30s), std::future_status::ready);
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(machine_->server().port()),
                                   grpc::InsecureChannelCredentials());
  }
  static void TearDownTestSuite() {
    channel_.reset();
    delete facade_;
    delete machine_;
  }

  // The node's answer to the bytes of a request.
  static Said Call(const RpcMethod& method, const std::vector<std::string>& authorizations,
                   const Message& request, Message* response = nullptr) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    for (const std::string& text : authorizations) context.AddMetadata("authorization", text);
    grpc::ByteBuffer in = EncodeMessage(request);
    grpc::ByteBuffer out;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method.path, grpc::StubOptions(), &in, &out,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    const grpc::Status status = done.get_future().get();
    if (status.ok() && response != nullptr) {
      EXPECT_TRUE(DecodeMessage(out, response));
    }
    return {status.error_code(), ReadRemoteError(status).reason, status.error_message()};
  }
  static Said CallAs(const std::string& key, const RpcMethod& method, const Message& request,
                     Message* response = nullptr) {
    return Call(method, {"Bearer " + key}, request, response);
  }
  static v1::CreateKeyResponse Make(v1::KeyType type, std::vector<Scope> scopes = {},
                                    std::vector<std::string> queues = {},
                                    const std::string& owner = "somebody") {
    v1::CreateKeyRequest request;
    request.set_name("a key");
    request.set_owner_id(owner);
    request.set_type(type);
    for (const Scope scope : scopes) request.add_scopes(std::string(queue::ScopeName(scope)));
    for (const std::string& queue : queues) request.add_queues(queue);
    v1::CreateKeyResponse response;
    const Said said = CallAs(admin_, kCreateKey, request, &response);
    EXPECT_EQ(said.code, grpc::StatusCode::OK) << said;
    return response;
  }
  static std::vector<Scope> AllScopesBut(Scope without) {
    std::vector<Scope> scopes;
    for (uint32_t bit = 1; bit < queue::kAllScopes; bit <<= 1) {
      if (bit != queue::ScopeBit(without)) scopes.push_back(static_cast<Scope>(bit));
    }
    return scopes;
  }

  struct Answered {
    int status = 0;
    std::string head;
    std::string body;
  };
  static Answered Ask(const std::string& method, const std::string& target, const std::string& key,
                      const std::string& body = "") {
    RawClient client(facade_->port());
    std::string bytes = method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    if (!key.empty()) bytes += "Authorization: Bearer " + key + "\r\n";
    if (!body.empty()) bytes += "Content-Type: application/json\r\n";
    bytes += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    client.Send(bytes);
    const std::string answer = client.ReadAnswer();
    return {answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0,
            answer.substr(0, answer.find("\r\n\r\n") + 2), Body(answer)};
  }
  // "/jobs/{id}/ack" with something for the names in braces.
  static std::string Filled(const std::string& pattern) {
    std::string target;
    bool name = false;
    for (const char c : pattern) {
      if (c == '{') target += "x";
      name = c == '{' || (name && c != '}');
      if (!name && c != '}') target += c;
    }
    return target;
  }

  static LoneMachine* machine_;
  static HttpFacade* facade_;
  static std::string admin_;
  static std::shared_ptr<grpc::Channel> channel_;
};
LoneMachine* AuthTest::machine_ = nullptr;
HttpFacade* AuthTest::facade_ = nullptr;
std::string AuthTest::admin_;
std::shared_ptr<grpc::Channel> AuthTest::channel_;

TEST_F(AuthTest, EveryCallIsRefusedWithoutAKey) {
  const std::string stranger = MakeSecretKey(v1::KEY_TYPE_ADMIN).secret;
  const v1::GetClusterRequest nothing;
  for (const RpcMethod* method : kRpcMethods) {
    for (const auto& [authorizations, reason] :
         std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{}, "KEY_MISSING"},
             {{admin_}, "KEY_MISSING"},
             {{"Bearer " + admin_, "Bearer " + admin_}, "KEY_MISSING"},
             {{"Bearer " + stranger}, "KEY_INVALID"},
             {{"Bearer x"}, "KEY_INVALID"}}) {
      const Said said = Call(*method, authorizations, nothing);
      EXPECT_EQ(said.code, grpc::StatusCode::UNAUTHENTICATED) << method->path << ": " << said;
      EXPECT_EQ(said.reason, reason) << method->path;
    }
  }
}

TEST_F(AuthTest, EveryCallNeedsItsOwnScope) {
  std::map<Scope, std::string> without;
  std::map<Scope, std::string> with;
  for (const Scope scope : AllScopesBut(Scope::kNone)) {
    without[scope] = Make(v1::KEY_TYPE_WORKER, AllScopesBut(scope)).secret();
    with[scope] = Make(v1::KEY_TYPE_WORKER, {scope}).secret();
  }
  const v1::GetClusterRequest nothing;
  for (const RpcMethod* method : kRpcMethods) {
    const Said refused = CallAs(without[method->scope], *method, nothing);
    EXPECT_EQ(refused.code, grpc::StatusCode::PERMISSION_DENIED) << method->path;
    EXPECT_EQ(refused.reason, "SCOPE_MISSING") << method->path;
    const Said admitted = CallAs(with[method->scope], *method, nothing);
    EXPECT_NE(admitted.code, grpc::StatusCode::PERMISSION_DENIED)
        << method->path << ": " << admitted;
    EXPECT_NE(admitted.code, grpc::StatusCode::UNAUTHENTICATED) << method->path << ": " << admitted;
  }
}

TEST_F(AuthTest, EveryRouteNeedsAKeyAndItsScope) {
  std::map<Scope, std::string> without;
  for (const Scope scope : AllScopesBut(Scope::kNone)) {
    without[scope] = Make(v1::KEY_TYPE_WORKER, AllScopesBut(scope)).secret();
  }
  size_t open = 0;
  for (const Route& route : facade_->router().routes()) {
    const std::string target = Filled(route.pattern);
    const std::string what = route.method + " " + target;
    const Answered nobody = Ask(route.method, target, "");
    if (route.scope == Scope::kNone) {
      ++open;
      EXPECT_TRUE(nobody.status != 401 && nobody.status != 403) << what;
      continue;
    }
    EXPECT_EQ(nobody.status, 401) << what;
    EXPECT_NE(nobody.head.find("WWW-Authenticate: Bearer"), std::string::npos) << what;
    EXPECT_NE(nobody.body.find("KEY_MISSING"), std::string::npos) << what;
    const Answered wrong = Ask(route.method, target, without[route.scope]);
    EXPECT_EQ(wrong.status, 403) << what;
    EXPECT_NE(wrong.body.find("SCOPE_MISSING"), std::string::npos) << what;
    EXPECT_EQ(Ask(route.method, target, MakeSecretKey(v1::KEY_TYPE_ADMIN).secret).status, 401)
        << what;
  }
  EXPECT_GE(open, 2u);
}

// A call on a queue or job that the caller's key does not cover.
struct Foreign {
  const RpcMethod* method;
  std::shared_ptr<Message> request;
  std::shared_ptr<Message> response;
  // The reason of the refusal, of the call or its first item. "": the answer omits foreign jobs.
  std::string reason;
};

template <class Request, class Response>
Foreign Of(const RpcMethod& method, const std::string& reason,
           const std::function<void(Request*)>& fill) {
  auto request = std::make_shared<Request>();
  fill(request.get());
  return {&method, request, std::make_shared<Response>(), reason};
}

TEST_F(AuthTest, EveryCallIsRefusedOnAnotherQueue) {
  const std::string key =
      Make(v1::KEY_TYPE_ADMIN, AllScopesBut(Scope::kNone), {"mine", "mine-*"}).secret();
  v1::EnqueueJobsRequest enqueue;
  for (const char* queue : {"mine-1", "theirs"}) {
    auto* job = enqueue.add_jobs();
    job->set_id(std::string("job-") + queue);
    job->set_queue(queue);
  }
  v1::EnqueueJobsResponse enqueued;
  ASSERT_EQ(CallAs(admin_, kEnqueueJobs, enqueue, &enqueued).code, grpc::StatusCode::OK);
  v1::LeaseJobsRequest lease;
  lease.set_worker_id("w");
  lease.add_queues("theirs");
  lease.set_max_jobs(1);
  v1::LeaseJobsResponse leased;
  ASSERT_EQ(CallAs(admin_, kLeaseJobs, lease, &leased).code, grpc::StatusCode::OK);
  ASSERT_EQ(leased.jobs_size(), 1);
  const v1::Job held = leased.jobs(0);
  const auto item = [&held](auto* request) {
    auto* added = request->add_items();
    added->set_id(held.id());
    *added->mutable_token() = held.lease().token();
  };
  const auto id = [&held](auto* request) { request->add_ids(held.id()); };
  const auto queue = [](auto* request) { request->set_queue("theirs"); };
  const std::vector<Foreign> table = {
      Of<v1::EnqueueJobRequest, v1::EnqueueJobResponse>(
          kEnqueueJob, "QUEUE_DENIED",
          [](auto* request) { request->mutable_job()->set_queue("theirs"); }),
      Of<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse>(
          kEnqueueJobs, "QUEUE_DENIED",
          [](auto* request) { request->add_jobs()->set_queue("theirs"); }),
      Of<v1::GetJobRequest, v1::GetJobResponse>(
          kGetJob, "JOB_NOT_FOUND", [&held](auto* request) { request->set_id(held.id()); }),
      Of<v1::ListJobsRequest, v1::ListJobsResponse>(kListJobs, "QUEUE_DENIED", queue),
      Of<v1::CancelJobsRequest, v1::CancelJobsResponse>(kCancelJobs, "JOB_NOT_FOUND", id),
      Of<v1::RetryJobsRequest, v1::RetryJobsResponse>(kRetryJobs, "JOB_NOT_FOUND", id),
      Of<v1::GetStatsRequest, v1::GetStatsResponse>(kGetStats, "QUEUE_DENIED", queue),
      Of<v1::PauseQueueRequest, v1::PauseQueueResponse>(kPauseQueue, "QUEUE_DENIED", queue),
      Of<v1::ResumeQueueRequest, v1::ResumeQueueResponse>(kResumeQueue, "QUEUE_DENIED", queue),
      Of<v1::DeleteJobsRequest, v1::DeleteJobsResponse>(kDeleteJobs, "JOB_NOT_FOUND", id),
      Of<v1::PurgeQueueRequest, v1::PurgeQueueResponse>(kPurgeQueue, "QUEUE_DENIED", queue),
      Of<v1::RedriveJobsRequest, v1::RedriveJobsResponse>(kRedriveJobs, "QUEUE_DENIED", queue),
      Of<v1::GroupDeadJobsRequest, v1::GroupDeadJobsResponse>(kGroupDeadJobs, "QUEUE_DENIED",
                                                              queue),
      Of<v1::LeaseJobsRequest, v1::LeaseJobsResponse>(
          kLeaseJobs, "QUEUE_DENIED", [&lease](auto* request) { *request = lease; }),
      Of<v1::CompleteJobsRequest, v1::CompleteJobsResponse>(kCompleteJobs, "JOB_NOT_FOUND", item),
      Of<v1::FailJobsRequest, v1::FailJobsResponse>(kFailJobs, "JOB_NOT_FOUND", item),
      Of<v1::ExtendLeasesRequest, v1::ExtendLeasesResponse>(kExtendLeases, "JOB_NOT_FOUND", item),
      Of<v1::ReleaseJobsRequest, v1::ReleaseJobsResponse>(kReleaseJobs, "JOB_NOT_FOUND", item),
  };
  // These are not about jobs or queues.
  const std::vector<const RpcMethod*> others = {&kListWorkers, &kGetCluster, &kTransferLeadership,
                                                &kCreateKey,   &kListKeys,   &kRevokeKey};
  EXPECT_EQ(table.size() + others.size(), kRpcMethods.size());
  for (const Foreign& row : table) {
    Said said = CallAs(key, *row.method, *row.request, row.response.get());
    if (said.code == grpc::StatusCode::OK) {
      // Of the first item.
      const auto* results = row.response->GetDescriptor()->FindFieldByName("results");
      ASSERT_NE(results, nullptr) << row.method->path;
      const auto& status = static_cast<const google::rpc::Status&>(
          row.response->GetReflection()->GetRepeatedMessage(*row.response, results, 0));
      google::rpc::ErrorInfo info;
      for (const auto& detail : status.details()) detail.UnpackTo(&info);
      said.reason = info.reason();
    }
    EXPECT_EQ(said.reason, row.reason) << row.method->path << ": " << said;
  }
  // Nothing has changed.
  v1::GetJobRequest get;
  get.set_id(held.id());
  v1::GetJobResponse got;
  ASSERT_EQ(CallAs(admin_, kGetJob, get, &got).code, grpc::StatusCode::OK);
  EXPECT_EQ(got.job().state(), v1::JOB_STATE_LEASED);

  // Lists and counts omit it.
  v1::ListJobsResponse list;
  ASSERT_EQ(CallAs(key, kListJobs, v1::ListJobsRequest(), &list).code, grpc::StatusCode::OK);
  ASSERT_EQ(list.jobs_size(), 1);
  EXPECT_EQ(list.jobs(0).id(), "job-mine-1");
  v1::GetStatsResponse stats;
  ASSERT_EQ(CallAs(key, kGetStats, v1::GetStatsRequest(), &stats).code, grpc::StatusCode::OK);
  ASSERT_EQ(stats.queues_size(), 1);
  EXPECT_EQ(stats.total().enqueued(), 1u);

  // An unknown job and a foreign one look the same.
  get.set_id("job-theirs");
  const Said foreign = CallAs(key, kGetJob, get);
  get.set_id("job-nobody");
  Said unknown = CallAs(key, kGetJob, get);
  const size_t at = unknown.message.find("job-nobody");
  ASSERT_NE(at, std::string::npos);
  unknown.message.replace(at, 10, "job-theirs");
  EXPECT_EQ(foreign, unknown);
}

TEST_F(AuthTest, KeyWorksAtOnceAndEndsAtOnce) {
  const v1::CreateKeyResponse made = Make(v1::KEY_TYPE_CLIENT);
  const v1::GetStatsRequest stats;
  EXPECT_EQ(CallAs(made.secret(), kGetStats, stats).code, grpc::StatusCode::OK);
  v1::RevokeKeyRequest revoke;
  revoke.set_id(made.key().id());
  EXPECT_EQ(CallAs(admin_, kRevokeKey, revoke).code, grpc::StatusCode::OK);
  EXPECT_EQ(CallAs(made.secret(), kGetStats, stats).reason, "KEY_REVOKED");
  // Again, and by the key itself: the same.
  revoke.set_id(made.secret());
  v1::RevokeKeyResponse revoked;
  EXPECT_EQ(CallAs(admin_, kRevokeKey, revoke, &revoked).code, grpc::StatusCode::OK);
  EXPECT_TRUE(revoked.key().has_revoke_time());
  revoke.set_id("client_000000000000");
  EXPECT_EQ(CallAs(admin_, kRevokeKey, revoke).reason, "KEY_NOT_FOUND");
}

TEST_F(AuthTest, OwnersSeeAndRevokeTheirOwn) {
  const v1::CreateKeyResponse anna = Make(v1::KEY_TYPE_CLIENT, {}, {}, "anna");
  const v1::CreateKeyResponse annas = Make(v1::KEY_TYPE_WORKER, {}, {}, "anna");
  const v1::CreateKeyResponse bert = Make(v1::KEY_TYPE_CLIENT, {}, {}, "bert");
  v1::ListKeysResponse list;
  ASSERT_EQ(CallAs(anna.secret(), kListKeys, v1::ListKeysRequest(), &list).code,
            grpc::StatusCode::OK);
  ASSERT_EQ(list.keys_size(), 2);
  for (const v1::Key& key : list.keys()) EXPECT_EQ(key.owner_id(), "anna");
  v1::RevokeKeyRequest revoke;
  revoke.set_id(bert.key().id());
  EXPECT_EQ(CallAs(anna.secret(), kRevokeKey, revoke).reason, "KEY_NOT_FOUND");
  revoke.set_id(annas.key().id());
  EXPECT_EQ(CallAs(anna.secret(), kRevokeKey, revoke).code, grpc::StatusCode::OK);
  EXPECT_EQ(CallAs(bert.secret(), kGetStats, v1::GetStatsRequest()).code, grpc::StatusCode::OK);
}

TEST_F(AuthTest, AKeyCannotGrantMoreThanItHas) {
  const std::string maker =
      Make(v1::KEY_TYPE_CLIENT, {Scope::kKeysCreate, Scope::kJobsRead}, {"a", "b-*"}).secret();
  const auto make = [&maker](v1::KeyType type, std::vector<std::string> scopes,
                             std::vector<std::string> queues) {
    v1::CreateKeyRequest request;
    request.set_name("n");
    request.set_owner_id("somebody");
    request.set_type(type);
    for (const std::string& scope : scopes) request.add_scopes(scope);
    for (const std::string& queue : queues) request.add_queues(queue);
    return CallAs(maker, kCreateKey, request);
  };
  EXPECT_EQ(make(v1::KEY_TYPE_CLIENT, {"jobs:read"}, {"a", "b-", "b-1", "b-x*"}).code,
            grpc::StatusCode::OK);
  EXPECT_EQ(make(v1::KEY_TYPE_CLIENT, {"jobs:submit"}, {"a"}).reason, "BEYOND_OWN_RIGHTS");
  EXPECT_EQ(make(v1::KEY_TYPE_CLIENT, {}, {"a"}).reason, "BEYOND_OWN_RIGHTS");
  EXPECT_EQ(make(v1::KEY_TYPE_ADMIN, {"jobs:read"}, {"a"}).reason, "BEYOND_OWN_RIGHTS");
  for (const char* queue : {"c", "a*", "b*", "*", "b"}) {
    EXPECT_EQ(make(v1::KEY_TYPE_CLIENT, {"jobs:read"}, {queue}).reason, "BEYOND_OWN_RIGHTS")
        << queue;
  }
  EXPECT_EQ(make(v1::KEY_TYPE_CLIENT, {"jobs:read"}, {}).reason, "BEYOND_OWN_RIGHTS");
}

TEST_F(AuthTest, AKeyMakesKeysOfItsOwnOwnerOnly) {
  const std::vector<Scope> scopes = {Scope::kKeysCreate, Scope::kKeysRead, Scope::kKeysRevoke};
  const std::string alice = Make(v1::KEY_TYPE_CLIENT, scopes, {}, "alice").secret();
  const v1::CreateKeyResponse bobs = Make(v1::KEY_TYPE_CLIENT, {}, {}, "bob");
  v1::CreateKeyRequest request;
  request.set_name("n");
  request.set_type(v1::KEY_TYPE_CLIENT);
  request.add_scopes("keys:read");
  for (const char* owner : {"bob", "Alice", "alice ", ""}) {
    request.set_owner_id(owner);
    const Said said = CallAs(alice, kCreateKey, request);
    EXPECT_EQ(said.reason, "BEYOND_OWN_RIGHTS") << owner << ": " << said;
    EXPECT_NE(said.message.find("owner_id"), std::string::npos) << said;
    EXPECT_NE(said.message.find("alice"), std::string::npos) << "the limit: " << said;
  }
  EXPECT_EQ(
      Ask("POST", "/admin/keys", alice, R"({"name":"n","owner_id":"bob","type":"client"})").status,
      403);
  request.set_owner_id("alice");
  v1::CreateKeyResponse made;
  ASSERT_EQ(CallAs(alice, kCreateKey, request, &made).code, grpc::StatusCode::OK);
  // Neither key reaches the keys of bob.
  v1::RevokeKeyRequest revoke;
  revoke.set_id(bobs.key().id());
  EXPECT_EQ(CallAs(alice, kRevokeKey, revoke).reason, "KEY_NOT_FOUND");
  for (const std::string& key : {alice, made.secret()}) {
    v1::ListKeysResponse list;
    ASSERT_EQ(CallAs(key, kListKeys, v1::ListKeysRequest(), &list).code, grpc::StatusCode::OK);
    for (const v1::Key& seen : list.keys()) EXPECT_EQ(seen.owner_id(), "alice");
  }
  EXPECT_EQ(Ask("GET", "/admin/keys", alice).body.find("bob"), std::string::npos);

  // The way of an administrator: a key of type ADMIN, also one with few scopes.
  const std::string clerk =
      Make(v1::KEY_TYPE_ADMIN, {Scope::kKeysCreate, Scope::kKeysRead}, {}, "office").secret();
  request.set_owner_id("bob");
  EXPECT_EQ(CallAs(clerk, kCreateKey, request).code, grpc::StatusCode::OK);
  request.add_scopes("jobs:read");
  EXPECT_EQ(CallAs(clerk, kCreateKey, request).reason, "BEYOND_OWN_RIGHTS");
}

TEST_F(AuthTest, BadKeysAreNotMade) {
  struct Row {
    const char* what;
    std::function<void(v1::CreateKeyRequest*)> spoil;
    const char* field;
  };
  const Row rows[] = {
      {"no name", [](auto* r) { r->clear_name(); }, "name"},
      {"long name", [](auto* r) { r->set_name(std::string(129, 'x')); }, "name"},
      {"a line end", [](auto* r) { r->set_name("a\nb"); }, "name"},
      {"no owner", [](auto* r) { r->clear_owner_id(); }, "owner_id"},
      {"no type", [](auto* r) { r->clear_type(); }, "type"},
      {"unknown type", [](auto* r) { r->set_type(static_cast<v1::KeyType>(9)); }, "type"},
      {"unknown scope", [](auto* r) { r->add_scopes("jobs:steal"); }, "scopes[0]"},
      {"queue", [](auto* r) { r->add_queues("../x"); }, "queues[0]"},
      {"star within", [](auto* r) { r->add_queues("a*b"); }, "queues[0]"},
  };
  for (const Row& row : rows) {
    v1::CreateKeyRequest request;
    request.set_name("n");
    request.set_owner_id("o");
    request.set_type(v1::KEY_TYPE_CLIENT);
    row.spoil(&request);
    const Said said = CallAs(admin_, kCreateKey, request);
    EXPECT_EQ(said.reason, "INVALID_FIELD") << row.what << ": " << said;
    EXPECT_NE(said.message.find(row.field), std::string::npos) << row.what << ": " << said;
  }
}

TEST_F(AuthTest, KeysOverHttp) {
  const Answered made =
      Ask("POST", "/admin/keys", admin_, R"({"name":"ci","owner_id":"carl","type":"worker"})");
  ASSERT_EQ(made.status, 201) << made.body;
  const auto members = ParseJsonObject(made.body);
  ASSERT_TRUE(members.ok());
  const std::string key = *JsonToText(members->at("key"));
  EXPECT_EQ(members->at("scopes"), R"(["jobs:read","jobs:lease","jobs:ack","keys:read"])");
  EXPECT_EQ(members->at("type"), "\"worker\"");
  const std::string id = *JsonToText(members->at("id"));
  EXPECT_EQ(Ask("GET", "/stats", key).status, 200);
  EXPECT_EQ(Ask("POST", "/tasks", key, "{}").status, 403);

  EXPECT_NE(Ask("GET", "/keys", key).body.find(id), std::string::npos);
  EXPECT_EQ(Ask("GET", "/keys", key).body.find(key), std::string::npos);
  EXPECT_EQ(Ask("GET", "/admin/keys", key).status, 403);
  EXPECT_NE(Ask("GET", "/admin/keys", admin_).body.find(id), std::string::npos);

  const Answered revoked = Ask("DELETE", "/keys/" + key, admin_);
  EXPECT_EQ(revoked.status, 200);
  EXPECT_NE(revoked.body.find("Key revoked successfully"), std::string::npos);
  EXPECT_NE(revoked.body.find("revoked_at"), std::string::npos);
  EXPECT_EQ(Ask("GET", "/stats", key).status, 401);
  EXPECT_EQ(
      Ask("POST", "/admin/keys", admin_, R"({"name":"x","owner_id":"y","type":"root"})").status,
      400);
}

TEST_F(AuthTest, AnEnqueueReturnsJobsOnlyToReaders) {
  v1::EnqueueJobsRequest request;
  request.add_jobs()->set_id("returned");
  request.mutable_jobs(0)->set_payload("content");
  request.set_return_jobs(true);
  const std::string writer = Make(v1::KEY_TYPE_CLIENT, {Scope::kJobsSubmit}).secret();
  const std::string reader =
      Make(v1::KEY_TYPE_CLIENT, {Scope::kJobsSubmit, Scope::kJobsRead}).secret();
  v1::EnqueueJobsResponse response;
  ASSERT_EQ(CallAs(writer, kEnqueueJobs, request, &response).code, grpc::StatusCode::OK);
  EXPECT_TRUE(response.results(0).created());
  EXPECT_FALSE(response.results(0).has_job());
  ASSERT_EQ(CallAs(reader, kEnqueueJobs, request, &response).code, grpc::StatusCode::OK);
  EXPECT_FALSE(response.results(0).created());
  EXPECT_EQ(response.results(0).job().payload(), "content");
  v1::GetJobRequest get;
  get.set_id("returned");
  v1::GetJobResponse got;
  ASSERT_EQ(CallAs(reader, kGetJob, get, &got).code, grpc::StatusCode::OK);
  EXPECT_EQ(response.results(0).job().ShortDebugString(), got.job().ShortDebugString());

  v1::EnqueueJobRequest one;
  *one.mutable_job() = request.jobs(0);
  one.set_return_job(true);
  v1::EnqueueJobResponse answer;
  ASSERT_EQ(CallAs(writer, kEnqueueJob, one, &answer).code, grpc::StatusCode::OK);
  EXPECT_FALSE(answer.has_job());
  ASSERT_EQ(CallAs(reader, kEnqueueJob, one, &answer).code, grpc::StatusCode::OK);
  EXPECT_FALSE(answer.created());
  EXPECT_EQ(answer.job().ShortDebugString(), got.job().ShortDebugString());
  one.mutable_job()->set_payload("other");
  const Said refused = CallAs(writer, kEnqueueJob, one);
  EXPECT_EQ(refused.code, grpc::StatusCode::ALREADY_EXISTS) << "the call fails";
  EXPECT_EQ(refused.reason, "DUPLICATE_JOB");
  one.mutable_job()->set_priority(256);
  EXPECT_EQ(CallAs(writer, kEnqueueJob, one).message.substr(0, 13), "job.priority ");
  EXPECT_EQ(CallAs(writer, kEnqueueJob, v1::EnqueueJobRequest()).reason, "INVALID_FIELD");

  const std::string body = R"({"id":"returned","payload_base64":"Y29udGVudA=="})";
  EXPECT_EQ(Ask("POST", "/tasks", writer, body).body,
            "{\"job_id\":\"returned\",\"id\":\"returned\"}\n");
  const Answered whole = Ask("POST", "/tasks", reader, body);
  EXPECT_EQ(whole.body, Ask("GET", "/tasks/returned", reader).body);
}

TEST_F(AuthTest, SecretsAreNotInTheDataDirectory) {
  const std::string secret = Make(v1::KEY_TYPE_CLIENT).secret();
  const std::string id = secret.substr(0, secret.size() - 38);
  bool id_found = false;
  for (const auto& file : std::filesystem::recursive_directory_iterator(machine_->directory())) {
    if (!file.is_regular_file()) continue;
    std::stringstream bytes;
    bytes << std::ifstream(file.path(), std::ios::binary).rdbuf();
    id_found |= bytes.str().find(id) != std::string::npos;
    EXPECT_EQ(bytes.str().find(secret.substr(id.size(), 32)), std::string::npos) << file.path();
    EXPECT_EQ(bytes.str().find(admin_.substr(admin_.size() - 38)), std::string::npos)
        << file.path();
  }
  EXPECT_TRUE(id_found) << "the search finds nothing at all";
}

}  // namespace
}  // namespace dqueue::transport
