// Calls of clients to servers over fake nodes.
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <climits>
#include <ctime>
#include <future>
#include <thread>

#include "dqueue/v1/service.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "node/runner.h"
#include "queue/api/error_status.h"
#include "queue/api/validate.h"
#include "transport/calls/client_call.h"
#include "transport/calls/message_bytes.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/unary_call.h"
#include "transport/keys/secret_key.h"
#include "transport/server/server.h"
#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using grpc::StatusCode;

// The most that remains of 5 s at the server: gRPC rounds timeouts up.
constexpr auto kFullTime = 5s + 100ms;

struct Answer {
  grpc::Status status;
  std::string reason() const { return ReadRemoteError(status).reason; }
};

template <class Response>
struct Answered : Answer {
  Response response;
  std::string leader_address;
};

queue::Error MakeError(absl::StatusCode code, const std::string& reason,
                       std::map<std::string, std::string> metadata = {}) {
  queue::Error error;
  error.code = code;
  error.reason = reason;
  error.message = "test";
  error.metadata = std::move(metadata);
  return error;
}

queue::Error NotLeader(const std::string& address) {
  return MakeError(absl::StatusCode::kUnavailable, "NOT_LEADER",
                   {{"leader_id", "other"}, {"leader_address", address}});
}

// A server over a FakeNode.
class Face {
 public:
  explicit Face(const std::string& name, bool auth = false) : name_(name) {
    ServerOptions options;
    options.auth = auth;
    options.listen = "127.0.0.1:0";
    options.node_name = name;
    options.reflection = true;
    auto server = Server::Start(options, &node);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(address(), grpc::InsecureChannelCredentials());
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  Server* server() { return server_.get(); }
  void Stop() { server_.reset(); }
  std::shared_ptr<grpc::Channel> channel() { return channel_; }

  // Waits until the server knows that there is a leader, or none.
  void Follow(const std::string& leader_name, const std::string& leader_address) {
    node.SetLeader(leader_name, leader_address);
    for (int i = 0; i < 4000; ++i) {
      if (server_->NotReadyReason().empty() == !leader_name.empty()) return;
      std::this_thread::sleep_for(5ms);
    }
    ADD_FAILURE() << "the server does not notice its leader";
  }

  template <class Stub, class Request, class Response>
  std::future<Answered<Response>> Async(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const Request& request, std::chrono::milliseconds deadline = 20s,
      std::shared_ptr<grpc::ClientContext> context = std::make_shared<grpc::ClientContext>()) {
    context->set_deadline(std::chrono::system_clock::now() + deadline);
    return std::async(std::launch::async, [this, method, request, context] {
      Stub stub(channel_);
      Answered<Response> answer;
      answer.status = (stub.*method)(context.get(), request, &answer.response);
      const auto& metadata = context->GetServerInitialMetadata();
      const auto it = metadata.find("dqueue-leader-address");
      if (it != metadata.end()) {
        answer.leader_address = std::string(it->second.data(), it->second.size());
      }
      return answer;
    });
  }

  FakeNode node;

 private:
  const std::string name_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

using Fields = std::vector<std::pair<std::string, std::string>>;
using JobStub = v1::JobService::Stub;
using WorkerStub = v1::WorkerService::Stub;

v1::GetJobRequest Get(const std::string& id) {
  v1::GetJobRequest request;
  request.set_id(id);
  return request;
}

v1::EnqueueJobsRequest Enqueue(const std::string& id) {
  v1::EnqueueJobsRequest request;
  request.add_jobs()->set_id(id);
  return request;
}

v1::GetJobResponse JobNamed(const std::string& id) {
  v1::GetJobResponse response;
  response.mutable_job()->set_id(id);
  return response;
}

v1::EnqueueJobsResponse Created(const std::string& id) {
  v1::EnqueueJobsResponse response;
  response.add_results()->set_id(id);
  return response;
}

TEST(UnaryCall, GoesToThisNode) {
  Face face("a");
  auto answer = face.Async(&JobStub::GetJob, Get("x"), 5s);
  queue::GetCall call = face.node.Take<queue::GetCall>();
  EXPECT_EQ(call.request.id(), "x");
  EXPECT_GT(call.deadline, node::MonotonicNow() + 3s);
  EXPECT_LE(call.deadline, node::MonotonicNow() + kFullTime);
  EXPECT_FALSE(call.cancelled->load());
  call.done(JobNamed("x"));
  const auto result = answer.get();
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.response.job().id(), "x");
  EXPECT_EQ(result.leader_address, "") << "told only by followers";
}

TEST(UnaryCall, TheCallerIsKnownForFairShares) {
  Face leader("leader");
  Face follower("follower");
  follower.Follow("leader", leader.address());
  const auto caller_of = [&](Face& face, const Fields& metadata) {
    auto context = std::make_shared<grpc::ClientContext>();
    for (const auto& [key, value] : metadata) context->AddMetadata(key, value);
    auto answer = face.Async(&JobStub::GetJob, Get("x"), 20s, context);
    const queue::GetCall call = leader.node.Take<queue::GetCall>();
    call.done(JobNamed("x"));
    EXPECT_TRUE(answer.get().status.ok());
    return call.caller;
  };
  EXPECT_EQ(caller_of(leader, {}), "127.0.0.1");
  EXPECT_EQ(caller_of(follower, {}), "127.0.0.1") << "the client, not the follower";
  EXPECT_EQ(caller_of(leader, {{"dqueue-forwarded", "1"}, {"dqueue-caller", "10.1.2.3"}}),
            "10.1.2.3");
  EXPECT_EQ(caller_of(leader, {{"dqueue-caller", "10.1.2.3"}}), "127.0.0.1")
      << "of a client itself";
  EXPECT_EQ(caller_of(leader, {{"dqueue-forwarded", "1"}, {"dqueue-caller", std::string(65, 'x')}}),
            "127.0.0.1");
}

TEST(UnaryCall, ACallWithoutADeadlineGetsOne) {
  Face face("a");
  JobStub stub(face.channel());
  grpc::ClientContext context;
  v1::GetJobResponse response;
  std::thread caller([&] { EXPECT_TRUE(stub.GetJob(&context, Get("x"), &response).ok()); });
  queue::GetCall call = face.node.Take<queue::GetCall>();
  EXPECT_LE(call.deadline, node::MonotonicNow() + 60s);
  call.done(JobNamed("x"));
  caller.join();
}

TEST(UnaryCall, ErrorsOfTheNodeReachTheCallerUnchanged) {
  Face face("a");
  auto answer = face.Async(&JobStub::GetJob, Get("x"));
  face.node.Take<queue::GetCall>().done(
      MakeError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND", {{"id", "x"}}));
  const auto result = answer.get();
  EXPECT_EQ(result.status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(result.reason(), "JOB_NOT_FOUND");
}

TEST(UnaryCall, AFollowerForwardsAndNamesTheLeader) {
  Face leader("leader");
  Face follower("follower");
  follower.Follow("leader", leader.address());
  auto answer = follower.Async(&JobStub::GetJob, Get("x"), 5s);
  queue::GetCall call = leader.node.Take<queue::GetCall>();
  EXPECT_LE(call.deadline, node::MonotonicNow() + kFullTime) << "the deadline travels";
  call.done(JobNamed("x"));
  const auto result = answer.get();
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.response.job().id(), "x");
  EXPECT_EQ(result.leader_address, leader.address());
  EXPECT_EQ(follower.node.waiting(), 0u) << "the follower's node was not asked";

  auto refused = follower.Async(&JobStub::GetJob, Get("y"));
  leader.node.Take<queue::GetCall>().done(MakeError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND"));
  EXPECT_EQ(refused.get().reason(), "JOB_NOT_FOUND") << "details travel";
}

TEST(UnaryCall, TheNodesHintIsFollowedAtOnce) {
  Face leader("leader");
  Face follower("follower");
  auto answer = follower.Async(&JobStub::EnqueueJobs, Enqueue("x"));
  follower.node.Take<queue::EnqueueCall>().done(NotLeader(leader.address()));
  leader.node.Take<queue::EnqueueCall>().done(Created("x"));
  EXPECT_TRUE(answer.get().status.ok());
}

v1::EnqueueJobRequest EnqueueOne(const std::string& id, const std::string& request_id = "") {
  v1::EnqueueJobRequest request;
  request.mutable_job()->set_id(id);
  request.set_request_id(request_id);
  return request;
}

TEST(UnaryCall, EnqueueJobFailsAsACall) {
  Face face("a");
  auto answer = face.Async(&JobStub::EnqueueJob, EnqueueOne("x", "r"));
  queue::EnqueueCall call = face.node.Take<queue::EnqueueCall>();
  EXPECT_EQ(call.request.request_id(), "r");
  ASSERT_EQ(call.request.jobs_size(), 1);
  EXPECT_EQ(call.request.jobs(0).id(), "x");
  EXPECT_FALSE(call.request.all_or_nothing());
  v1::EnqueueJobsResponse refused;
  *refused.add_results()->mutable_error() =
      queue::ToRpcStatus(queue::InvalidField("jobs[0].queue", "\"_\"", "a name"));
  call.done(refused);
  const auto result = answer.get();
  EXPECT_EQ(result.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(result.reason(), "INVALID_FIELD");
  EXPECT_EQ(result.status.error_message().find("jobs[0]"), std::string::npos);
  EXPECT_EQ(result.status.error_message().find("job.queue"), 0u) << result.status.error_message();
  EXPECT_EQ(result.status.error_details().find("jobs[0]"), std::string::npos);

  auto made = face.Async(&JobStub::EnqueueJob, EnqueueOne("y"));
  v1::EnqueueJobsResponse created = Created("y");
  created.mutable_results(0)->set_created(true);
  face.node.Take<queue::EnqueueCall>().done(created);
  const auto job = made.get();
  EXPECT_TRUE(job.status.ok());
  EXPECT_EQ(job.response.ShortDebugString(), "id: \"y\" created: true");
  const auto empty = face.Async(&JobStub::EnqueueJob, v1::EnqueueJobRequest()).get();
  EXPECT_EQ(empty.reason(), "INVALID_FIELD") << "not a job of all defaults";
}

TEST(UnaryCall, EnqueueJobIsForwarded) {
  Face leader("leader");
  Face follower("follower");
  auto answer = follower.Async(&JobStub::EnqueueJob, EnqueueOne("x"));
  follower.node.Take<queue::EnqueueCall>().done(NotLeader(leader.address()));
  v1::EnqueueJobsResponse refused;
  *refused.add_results()->mutable_error() =
      queue::ToRpcStatus(MakeError(absl::StatusCode::kAlreadyExists, "DUPLICATE_JOB"));
  leader.node.Take<queue::EnqueueCall>().done(refused);
  EXPECT_EQ(answer.get().reason(), "DUPLICATE_JOB");
}

TEST(UnaryCall, EnqueueJobIsRepeatedWithAnIdOrARequestId) {
  Face face("a");
  face.Follow("a", face.address());
  const queue::Error unknown = MakeError(absl::StatusCode::kUnavailable, "COMMIT_UNKNOWN");
  for (const v1::EnqueueJobRequest& request : {EnqueueOne("id"), EnqueueOne("", "r")}) {
    auto answer = face.Async(&JobStub::EnqueueJob, request);
    face.node.Take<queue::EnqueueCall>().done(unknown);
    face.node.Take<queue::EnqueueCall>().done(Created("id"));
    EXPECT_TRUE(answer.get().status.ok());
  }
  auto once = face.Async(&JobStub::EnqueueJob, EnqueueOne(""));
  face.node.Take<queue::EnqueueCall>().done(unknown);
  EXPECT_EQ(once.get().reason(), "COMMIT_UNKNOWN");
}

double ThreadCpuMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// The thread that calls `done` is the node's loop.
TEST(UnaryCall, TheLoopDoesNotEncodeALargeAnswer) {
  constexpr int kJobs = 64;
  Face face("a");
  auto answer = face.Async(&JobStub::ListJobs, v1::ListJobsRequest());
  queue::ListCall call = face.node.Take<queue::ListCall>();
  v1::ListJobsResponse response;
  for (int i = 0; i < kJobs; ++i) response.add_jobs()->set_payload(std::string(1 << 20, 'p'));
  v1::ListJobsResponse copy = response;
  double before = ThreadCpuMs();
  EncodeMessage(copy);
  const double encoding = ThreadCpuMs() - before;
  before = ThreadCpuMs();
  call.done(std::move(response));
  EXPECT_LT(ThreadCpuMs() - before, encoding / 2);
  // The client takes 4 MiB.
  EXPECT_EQ(answer.get().status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

// gRPC's threads also carry the messages of the members, so no number of large requests may use
// them up.
TEST(UnaryCall, LargeRequestsKeepNoThreadOfGrpc) {
  Face face("a");
  std::promise<void> release;
  face.node.OnSubmit([released = release.get_future().share()](const queue::AnyCall& call) {
    if (std::holds_alternative<queue::EnqueueCall>(call)) released.wait();
  });
  v1::EnqueueJobsRequest large;
  large.set_request_id("large");
  large.add_jobs()->set_payload(std::string(100 << 10, 'p'));
  std::vector<std::future<Answered<v1::EnqueueJobsResponse>>> answers;
  for (int i = 0; i < 20; ++i) answers.push_back(face.Async(&JobStub::EnqueueJobs, large));
  std::this_thread::sleep_for(200ms);
  auto small = face.Async(&JobStub::GetJob, Get("x"));
  face.node.Take<queue::GetCall>().done(JobNamed("x"));
  EXPECT_TRUE(small.get().status.ok());
  release.set_value();
  for (size_t i = 0; i < answers.size(); ++i) {
    face.node.Take<queue::EnqueueCall>().done(Created("j"));
  }
  for (auto& answer : answers) EXPECT_TRUE(answer.get().status.ok());
}

TEST(UnaryCall, TheSizeOfAnAnswerIsEstimated) {
  v1::GetJobResponse one;
  one.mutable_job()->set_payload(std::string(kEncodedAtOnceMax, 'p'));
  EXPECT_GT(AboutBytes(one), kEncodedAtOnceMax);
  v1::EnqueueJobsResponse many;
  for (int i = 0; i < 1000; ++i) many.add_results()->set_id("0190b0c4-1111-7000-8000-000000000000");
  EXPECT_GT(AboutBytes(many), kEncodedAtOnceMax);
  v1::GetStatsResponse stats;
  for (int i = 0; i < 1000; ++i) stats.add_queues();
  EXPECT_GT(AboutBytes(stats), kEncodedAtOnceMax);
  EXPECT_LT(AboutBytes(v1::LeaseJobsResponse()), kEncodedAtOnceMax);
}

TEST(UnaryCall, AForwardedCallIsNotForwardedAgain) {
  Face face("a");
  auto context = std::make_shared<grpc::ClientContext>();
  context->AddMetadata("dqueue-forwarded", "1");
  auto answer = face.Async(&JobStub::GetJob, Get("x"), 20s, context);
  face.node.Take<queue::GetCall>().done(NotLeader("127.0.0.1:1"));
  EXPECT_EQ(answer.get().reason(), "NOT_LEADER");
}

TEST(UnaryCall, CircularHintsEnd) {
  Face a("a");
  Face b("b");
  auto answer = a.Async(&JobStub::GetJob, Get("x"), 20s);
  std::atomic<bool> done{false};
  const auto refuse = [&](Face* face, const std::string& hint) {
    while (!done.load()) {
      if (face->node.waiting() > 0) face->node.Take<queue::GetCall>().done(NotLeader(hint));
      std::this_thread::sleep_for(1ms);
    }
  };
  std::thread answers_a(refuse, &a, b.address());
  std::thread answers_b(refuse, &b, a.address());
  const auto result = answer.get();
  done.store(true);
  answers_a.join();
  answers_b.join();
  EXPECT_EQ(result.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(result.reason(), "NO_LEADER");
}

TEST(UnaryCall, AnElectionIsWaitedFor) {
  Face face("a");
  auto answer = face.Async(&JobStub::EnqueueJobs, Enqueue("x"));
  face.node.Take<queue::EnqueueCall>().done(MakeError(absl::StatusCode::kUnavailable, "NO_LEADER"));
  face.node.SetLeader("a", face.address());
  queue::EnqueueCall again = face.node.Take<queue::EnqueueCall>();
  EXPECT_EQ(again.request.jobs(0).id(), "x");
  again.done(Created("x"));
  EXPECT_TRUE(answer.get().status.ok());
}

TEST(UnaryCall, AnEndlessElectionIsReportedInTime) {
  Face face("a");
  const auto begin = std::chrono::steady_clock::now();
  auto answer = face.Async(&JobStub::EnqueueJobs, Enqueue("x"));
  face.node.Take<queue::EnqueueCall>().done(MakeError(absl::StatusCode::kUnavailable, "NO_LEADER"));
  const auto result = answer.get();
  EXPECT_EQ(result.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(result.reason(), "NO_LEADER");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 1900ms);

  // Before the caller's deadline, so that it gets the reason.
  auto impatient = face.Async(&JobStub::EnqueueJobs, Enqueue("x"), 1000ms);
  face.node.Take<queue::EnqueueCall>().done(MakeError(absl::StatusCode::kUnavailable, "NO_LEADER"));
  EXPECT_EQ(impatient.get().reason(), "NO_LEADER");
}

TEST(UnaryCall, AnUnknownOutcomeIsRetriedOnlyIfRepeatable) {
  Face face("a");
  face.Follow("a", face.address());
  const queue::Error unknown = MakeError(absl::StatusCode::kUnavailable, "COMMIT_UNKNOWN");
  {
    auto answer = face.Async(&JobStub::EnqueueJobs, Enqueue("has-an-id"));
    face.node.Take<queue::EnqueueCall>().done(unknown);
    face.node.Take<queue::EnqueueCall>().done(Created("has-an-id"));
    EXPECT_TRUE(answer.get().status.ok());
  }
  {
    v1::EnqueueJobsRequest request = Enqueue("");
    request.set_request_id("r");
    auto answer = face.Async(&JobStub::EnqueueJobs, request);
    face.node.Take<queue::EnqueueCall>().done(unknown);
    face.node.Take<queue::EnqueueCall>().done(Created("x"));
    EXPECT_TRUE(answer.get().status.ok());
  }
  {
    auto answer = face.Async(&JobStub::EnqueueJobs, Enqueue(""));
    face.node.Take<queue::EnqueueCall>().done(unknown);
    EXPECT_EQ(answer.get().reason(), "COMMIT_UNKNOWN");
  }
  {
    v1::CompleteJobsRequest request;
    request.add_items()->set_id("x");
    auto answer = face.Async(&WorkerStub::CompleteJobs, request);
    face.node.Take<queue::CompleteCall>().done(unknown);
    EXPECT_EQ(answer.get().reason(), "COMMIT_UNKNOWN");
  }
}

TEST(UnaryCall, AnUnknownOutcomeOutlivesALaterLackOfALeader) {
  Face face("a");
  face.Follow("a", face.address());
  auto answer = face.Async(&JobStub::EnqueueJobs, Enqueue("x"));
  face.node.Take<queue::EnqueueCall>().done(
      MakeError(absl::StatusCode::kUnavailable, "COMMIT_UNKNOWN"));
  face.node.SetLeader("", "");
  std::atomic<bool> done{false};
  std::thread refuse([&] {
    while (!done.load()) {
      if (face.node.waiting() > 0) {
        face.node.Take<queue::EnqueueCall>().done(
            MakeError(absl::StatusCode::kUnavailable, "NO_LEADER"));
      }
      std::this_thread::sleep_for(1ms);
    }
  });
  const auto result = answer.get();
  done.store(true);
  refuse.join();
  EXPECT_EQ(result.reason(), "COMMIT_UNKNOWN");
}

TEST(UnaryCall, ALeaderDiesDuringCalls) {
  auto leader = std::make_unique<Face>("leader");
  Face follower("follower");
  follower.Follow("leader", leader->address());
  auto read = follower.Async(&JobStub::GetJob, Get("x"));
  auto harmless = follower.Async(&JobStub::EnqueueJobs, Enqueue("x"));
  auto harmful = follower.Async(&JobStub::EnqueueJobs, Enqueue(""));
  for (int i = 0; i < 2000 && leader->node.waiting() < 3; ++i) std::this_thread::sleep_for(5ms);
  ASSERT_EQ(leader->node.waiting(), 3u);
  leader->Stop();
  EXPECT_EQ(harmful.get().reason(), "COMMIT_UNKNOWN");
  // The others are done by the new leader: this node.
  follower.node.SetLeader("follower", follower.address());
  for (int i = 0; i < 2000 && follower.node.waiting() < 2; ++i) std::this_thread::sleep_for(5ms);
  ASSERT_EQ(follower.node.waiting(), 2u);
  // Their order is not ours.
  for (int i = 0; i < 2; ++i) {
    follower.node.TakeAny([](queue::AnyCall& call) {
      if (auto* get = std::get_if<queue::GetCall>(&call)) get->done(JobNamed("x"));
      if (auto* enqueue = std::get_if<queue::EnqueueCall>(&call)) enqueue->done(Created("x"));
    });
  }
  EXPECT_TRUE(read.get().status.ok());
  EXPECT_TRUE(harmless.get().status.ok());
}

TEST(UnaryCall, AForwardToAFrozenLeaderIsCancelledWhenAnotherLeads) {
  Face frozen("frozen");
  Face next("next");
  Face follower("follower");
  follower.Follow("frozen", frozen.address());
  auto answer = follower.Async(&JobStub::GetJob, Get("x"));
  const queue::GetCall never_answered = frozen.node.Take<queue::GetCall>();
  follower.node.SetLeader("next", next.address());
  next.node.Take<queue::GetCall>().done(JobNamed("x"));
  EXPECT_TRUE(answer.get().status.ok());
}

TEST(UnaryCall, ALeaderThatHandedOverMayStillAnswer) {
  Face before("before");
  Face next("next");
  Face follower("follower");
  follower.Follow("before", before.address());
  // Without ids: it cannot be repeated.
  v1::EnqueueJobsRequest request;
  request.add_jobs();
  auto answered = follower.Async(&JobStub::EnqueueJobs, request);
  const queue::EnqueueCall call = before.node.Take<queue::EnqueueCall>();
  auto lost = follower.Async(&JobStub::EnqueueJobs, request);
  const queue::EnqueueCall never_answered = before.node.Take<queue::EnqueueCall>();
  auto read = follower.Async(&JobStub::GetJob, Get("x"));
  const queue::GetCall left = before.node.Take<queue::GetCall>();
  follower.node.SetLeader("next", next.address());
  // The change is known: repeatable calls have been repeated.
  next.node.Take<queue::GetCall>().done(JobNamed("x"));
  EXPECT_TRUE(read.get().status.ok());
  call.done(Created("x"));
  EXPECT_TRUE(answered.get().status.ok());
  EXPECT_EQ(lost.get().reason(), "COMMIT_UNKNOWN") << "and not for ever";
  EXPECT_EQ(next.node.waiting(), 0u);
}

TEST(UnaryCall, LeadershipIsMovedByTheLeader) {
  Face leader("leader");
  Face follower("follower");
  follower.Follow("leader", leader.address());
  v1::TransferLeadershipRequest request;
  request.set_to("n2");
  const auto method = &v1::ClusterService::Stub::TransferLeadership;
  auto answer = follower.Async(method, request);
  const auto [to, done] = leader.node.TakeTransfer();
  EXPECT_EQ(to, "n2");
  done(std::string("n2"));
  EXPECT_EQ(answer.get().response.leader_id(), "n2");

  auto failed = follower.Async(method, v1::TransferLeadershipRequest());
  queue::Error error;
  error.code = absl::StatusCode::kAborted;
  error.reason = "TRANSFER_FAILED";
  leader.node.TakeTransfer().second(error);
  const auto result = failed.get();
  EXPECT_EQ(result.status.error_code(), StatusCode::ABORTED);
  EXPECT_EQ(result.reason(), "TRANSFER_FAILED");
}

TEST(UnaryCall, CancellationReachesTheNode) {
  Face leader("leader");
  Face follower("follower");
  follower.Follow("leader", leader.address());
  auto context = std::make_shared<grpc::ClientContext>();
  auto answer = follower.Async(&WorkerStub::LeaseJobs, v1::LeaseJobsRequest(), 20s, context);
  const queue::LeaseCall call = leader.node.Take<queue::LeaseCall>();
  context->TryCancel();
  EXPECT_EQ(answer.get().status.error_code(), StatusCode::CANCELLED);
  for (int i = 0; i < 2000 && !call.cancelled->load(); ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(call.cancelled->load());
}

TEST(UnaryCall, LeasesOfALostAnswerAreReleased) {
  Face face("a");
  auto context = std::make_shared<grpc::ClientContext>();
  auto answer = face.Async(&WorkerStub::LeaseJobs, v1::LeaseJobsRequest(), 20s, context);
  const queue::LeaseCall call = face.node.Take<queue::LeaseCall>();
  context->TryCancel();
  answer.get();
  for (int i = 0; i < 2000 && !call.cancelled->load(); ++i) std::this_thread::sleep_for(5ms);
  v1::LeaseJobsResponse granted;
  granted.add_jobs()->set_id("x");
  granted.mutable_jobs(0)->mutable_lease()->mutable_token()->set_term(4);
  granted.mutable_jobs(0)->mutable_lease()->mutable_token()->set_sequence(5);
  granted.mutable_jobs(0)->mutable_lease()->set_delivery(3);
  call.done(granted);
  const queue::ReleaseCall release = face.node.Take<queue::ReleaseCall>();
  ASSERT_EQ(release.request.items_size(), 1);
  EXPECT_EQ(release.request.items(0).delivery(), 3u) << "a later answer must not be taken back";
  EXPECT_EQ(release.request.items(0).id(), "x");
  EXPECT_EQ(release.request.items(0).token().term(), 4u);
  EXPECT_EQ(release.request.items(0).token().sequence(), 5u);
  release.done(v1::ReleaseJobsResponse());
}

// A leader and a follower that know the same key.
class RevocationTest : public testing::Test {
 protected:
  void SetUp() override {
    record_.id = key_.id;
    record_.digest = DigestOfKey(key_.secret);
    record_.owner_id = "team";
    record_.type = v1::KEY_TYPE_ADMIN;
    record_.scopes = queue::DefaultScopes(record_.type);
    SetKeys(leader_);
    SetKeys(follower_);
    leader_.Follow("leader", leader_.address());
    follower_.Follow("leader", leader_.address());
  }
  void SetKeys(Face& face) {
    face.node.SetKeys(
        std::make_shared<const queue::KeyTable>(std::vector<queue::KeyRecord>{record_}));
  }
  void Revoke(Face& face) {
    record_.revoke_time_ms = 5;
    SetKeys(face);
  }
  template <class Stub, class Request, class Response>
  std::future<Answered<Response>> Async(Face& face,
                                        grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                                        const Request& request) {
    auto context = std::make_shared<grpc::ClientContext>();
    context->AddMetadata("authorization", "Bearer " + key_.secret);
    return face.Async(method, request, 60s, context);
  }
  static v1::LeaseJobsResponse Granted() {
    v1::LeaseJobsResponse granted;
    granted.add_jobs()->set_id("x");
    granted.mutable_jobs(0)->set_payload("secret");
    granted.mutable_jobs(0)->mutable_lease()->set_delivery(1);
    return granted;
  }
  // The answer's reason. It must come in time.
  template <class Response>
  static std::string Soon(std::future<Answered<Response>>& answer) {
    if (answer.wait_for(2s) != std::future_status::ready) return "still running after two seconds";
    return answer.get().reason();
  }

  const SecretKey key_ = MakeSecretKey(v1::KEY_TYPE_ADMIN);
  queue::KeyRecord record_;
  Face leader_{"leader", /*auth=*/true};
  Face follower_{"follower", /*auth=*/true};
};

TEST_F(RevocationTest, ReadsAndLongPollsEnd) {
  for (Face* const face : {&leader_, &follower_}) {
    record_.revoke_time_ms = 0;
    SetKeys(leader_);
    SetKeys(follower_);
    auto lease = Async(*face, &WorkerStub::LeaseJobs, v1::LeaseJobsRequest());
    const queue::LeaseCall leasing = leader_.node.Take<queue::LeaseCall>();
    auto read = Async(*face, &JobStub::GetJob, Get("x"));
    const queue::GetCall reading = leader_.node.Take<queue::GetCall>();
    Revoke(*face);
    EXPECT_EQ(Soon(lease), "KEY_REVOKED");
    EXPECT_EQ(Soon(read), "KEY_REVOKED");
    for (int i = 0; i < 2000 && !leasing.cancelled->load(); ++i) std::this_thread::sleep_for(5ms);
    EXPECT_TRUE(leasing.cancelled->load()) << "no job is granted to it any more";
    // Too late.
    leasing.done(Granted());
    reading.done(JobNamed("x"));
    const queue::ReleaseCall release = leader_.node.Take<queue::ReleaseCall>();
    EXPECT_EQ(release.request.items(0).delivery(), 1u);
    release.done(v1::ReleaseJobsResponse());
  }
}

TEST_F(RevocationTest, AKeyIsACallerForFairShares) {
  for (Face* const face : {&leader_, &follower_}) {
    auto read = Async(*face, &JobStub::GetJob, Get("x"));
    const queue::GetCall reading = leader_.node.Take<queue::GetCall>();
    EXPECT_EQ(reading.caller, key_.id);
    reading.done(JobNamed("x"));
    EXPECT_TRUE(read.get().status.ok());
  }
}

TEST_F(RevocationTest, TheLeaderEndsWhatAFollowerForwardedThatDoesNotKnowYet) {
  auto lease = Async(follower_, &WorkerStub::LeaseJobs, v1::LeaseJobsRequest());
  const queue::LeaseCall leasing = leader_.node.Take<queue::LeaseCall>();
  Revoke(leader_);
  EXPECT_EQ(Soon(lease), "KEY_REVOKED");
  leasing.done(v1::LeaseJobsResponse());
}

TEST_F(RevocationTest, AnAnswerOnItsWayIsNotPassedOn) {
  auto lease = Async(leader_, &WorkerStub::LeaseJobs, v1::LeaseJobsRequest());
  const queue::LeaseCall leasing = leader_.node.Take<queue::LeaseCall>();
  // Answered in the same turn in which the revocation is applied: before any other thread runs.
  record_.revoke_time_ms = 5;
  SetKeys(leader_);
  leasing.done(Granted());
  const auto answer = lease.get();
  EXPECT_EQ(answer.reason(), "KEY_REVOKED");
  EXPECT_EQ(answer.response.jobs_size(), 0);
  leader_.node.Take<queue::ReleaseCall>().done(v1::ReleaseJobsResponse());
}

TEST_F(RevocationTest, AChangeGetsAMomentToEnd) {
  v1::RevokeKeyRequest itself;
  itself.set_id(key_.id);
  auto revoke = Async(leader_, &v1::KeyService::Stub::RevokeKey, itself);
  const queue::RevokeKeyCall revoking = leader_.node.Take<queue::RevokeKeyCall>();
  auto stuck = Async(leader_, &JobStub::EnqueueJobs, Enqueue("x"));
  const queue::EnqueueCall enqueue = leader_.node.Take<queue::EnqueueCall>();
  Revoke(leader_);
  v1::Key key;
  key.set_id(key_.id);
  revoking.done(key);
  EXPECT_EQ(Soon(revoke), "") << "a key that revokes itself gets its answer";
  EXPECT_EQ(Soon(stuck), "COMMIT_UNKNOWN");
  EXPECT_TRUE(enqueue.cancelled->load());
  enqueue.done(Created("x"));
}

TEST_F(RevocationTest, OtherKeysAreNotDisturbed) {
  const SecretKey other = MakeSecretKey(v1::KEY_TYPE_WORKER);
  queue::KeyRecord record;
  record.id = other.id;
  record.digest = DigestOfKey(other.secret);
  record.type = v1::KEY_TYPE_WORKER;
  record.scopes = queue::DefaultScopes(record.type);
  const auto set = [&] {
    leader_.node.SetKeys(
        std::make_shared<const queue::KeyTable>(std::vector<queue::KeyRecord>{record_, record}));
  };
  set();
  auto mine = Async(leader_, &WorkerStub::LeaseJobs, v1::LeaseJobsRequest());
  const queue::LeaseCall call = leader_.node.Take<queue::LeaseCall>();
  auto context = std::make_shared<grpc::ClientContext>();
  context->AddMetadata("authorization", "Bearer " + other.secret);
  auto theirs = leader_.Async(&WorkerStub::LeaseJobs, v1::LeaseJobsRequest(), 60s, context);
  const queue::LeaseCall revoked = leader_.node.Take<queue::LeaseCall>();
  record.revoke_time_ms = 5;
  set();
  EXPECT_EQ(Soon(theirs), "KEY_REVOKED");
  call.done(Granted());
  const auto answer = mine.get();
  EXPECT_EQ(answer.response.jobs_size(), 1) << answer.reason();
  revoked.done(v1::LeaseJobsResponse());
}

TEST(UnaryCall, ALongPollMeetsTwoChangesOfLeader) {
  Face face("a");
  face.Follow("a", face.address());
  v1::LeaseJobsRequest request;
  request.set_lease_request_id("r");
  request.mutable_wait()->set_seconds(30);
  auto answer = face.Async(&WorkerStub::LeaseJobs, request, 60s);
  for (int change = 0; change < 2; ++change) {
    const queue::LeaseCall waiting = face.node.Take<queue::LeaseCall>();
    // Longer than the wait for a leader.
    std::this_thread::sleep_for(change == 0 ? 0ms : kLeaderWaitMax + 50ms);
    face.node.SetLeader("", "");
    waiting.done(MakeError(absl::StatusCode::kUnavailable, "NO_LEADER"));
    EXPECT_EQ(answer.wait_for(300ms), std::future_status::timeout) << "an election takes a moment";
    face.node.SetLeader("a", face.address());
  }
  v1::LeaseJobsResponse granted;
  granted.add_jobs()->set_id("x");
  face.node.Take<queue::LeaseCall>().done(granted);
  const auto result = answer.get();
  EXPECT_EQ(result.response.jobs_size(), 1) << result.reason();
}

TEST(UnaryCall, AWaitIsCutToTheDeadline) {
  Face face("a");
  struct Row {
    int64_t wait_s;
    std::chrono::milliseconds deadline;
    int64_t least_ms;
    int64_t most_ms;
  };
  for (const Row& row : {Row{10, 2s, 1000, 2000}, Row{1, 20s, 1000, 1000},
                         Row{61, 20s, 61000, 61000}, Row{-1, 20s, -1000, -1000}}) {
    v1::LeaseJobsRequest request;
    request.mutable_wait()->set_seconds(row.wait_s);
    auto answer = face.Async(&WorkerStub::LeaseJobs, request, row.deadline);
    const queue::LeaseCall call = face.node.Take<queue::LeaseCall>();
    const int64_t ms = call.request.wait().seconds() * 1000 + call.request.wait().nanos() / 1000000;
    EXPECT_GE(ms, row.least_ms);
    EXPECT_LE(ms, row.most_ms);
    call.done(v1::LeaseJobsResponse());
    EXPECT_TRUE(answer.get().status.ok());
  }
}

TEST(UnaryCall, BadRequests) {
  Face face("a");
  auto large = face.Async(&JobStub::EnqueueJobs, [] {
    v1::EnqueueJobsRequest request;
    request.add_jobs()->set_payload(std::string((20 << 20) + 1, 'x'));
    return request;
  }());
  const auto result = large.get();
  EXPECT_EQ(result.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(result.reason(), "REQUEST_TOO_LARGE");
  EXPECT_NE(result.status.error_message().find("the limit is 20971520"), std::string::npos);

  grpc::GenericStub stub(face.channel());
  for (const std::string bytes : {"\x0a\x05", "\x0a\x02\xff\xfe", "\xff\xff\xff\xff"}) {
    grpc::ClientContext context;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/dqueue.v1.JobService/GetJob", grpc::StubOptions(), &request,
                   &response, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ReadRemoteError(status).reason, "MALFORMED_REQUEST");
  }
  EXPECT_EQ(face.node.waiting(), 0u);
}

// Closes its side without a message.
class SilentCall final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit SilentCall(grpc::GenericStub* stub) {
    context_.set_deadline(std::chrono::system_clock::now() + 20s);
    stub->PrepareBidiStreamingCall(&context_, "/dqueue.v1.JobService/GetJob", grpc::StubOptions(),
                                   this);
    StartWritesDone();
    StartRead(&response_);
    StartCall();
  }
  grpc::Status Wait() { return status_.get_future().get(); }
  void OnDone(const grpc::Status& status) override { status_.set_value(status); }

 private:
  grpc::ClientContext context_;
  grpc::ByteBuffer response_;
  std::promise<grpc::Status> status_;
};

TEST(UnaryCall, WithoutAMessageIsRefusedByLeaderAndFollower) {
  Face leader("a");
  Face follower("b");
  leader.Follow("a", leader.address());
  follower.Follow("a", leader.address());
  for (Face* face : {&leader, &follower}) {
    grpc::GenericStub stub(face->channel());
    const grpc::Status status = SilentCall(&stub).Wait();
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ReadRemoteError(status).reason, "MALFORMED_REQUEST");
  }
  EXPECT_EQ(leader.node.waiting() + follower.node.waiting(), 0u);
}

TEST(Server, StopAnswersAllCallsInTime) {
  Face face("a");
  face.Follow("a", face.address());
  auto lease = face.Async(&WorkerStub::LeaseJobs, v1::LeaseJobsRequest());
  const queue::LeaseCall held_lease = face.node.Take<queue::LeaseCall>();
  auto read = face.Async(&JobStub::GetJob, Get("x"));
  const queue::GetCall held_read = face.node.Take<queue::GetCall>();
  auto change = face.Async(&JobStub::EnqueueJobs, Enqueue("x"));
  const queue::EnqueueCall held_change = face.node.Take<queue::EnqueueCall>();
  const auto begin = std::chrono::steady_clock::now();
  face.Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(read.get().reason(), "SHUTTING_DOWN");
  EXPECT_EQ(change.get().reason(), "COMMIT_UNKNOWN");
  EXPECT_EQ(lease.get().status.error_code(), StatusCode::UNAVAILABLE);
  // Late answers are harmless.
  held_read.done(JobNamed("x"));
  held_change.done(Created("x"));
  v1::LeaseJobsResponse granted;
  granted.add_jobs()->set_id("x");
  held_lease.done(granted);
  EXPECT_EQ(face.node.waiting(), 0u) << "the node is not used after the stop";
}

TEST(Server, CountsWhatItTurnsAway) {
  Face face("a");
  const auto refuse = [&](const std::string& reason) {
    auto answer = face.Async(&JobStub::ListJobs, v1::ListJobsRequest());
    face.node.Take<queue::ListCall>().done(
        MakeError(absl::StatusCode::kResourceExhausted, reason, {{"cause", "delay"}}));
    EXPECT_EQ(answer.get().reason(), reason);
  };
  refuse("OVERLOADED");
  refuse("OVERLOADED");
  refuse("TOO_MANY_QUEUES");
  const auto listings = face.server()->rejections()[3];
  uint64_t all = 0;
  for (size_t i = 0; i < listings.size(); ++i) {
    if (Rejections::kReasons[i] == "delay") {
      EXPECT_EQ(listings[i], 2u);
    }
    all += listings[i];
  }
  EXPECT_EQ(all, 2u);
}

TEST(Server, HealthFollowsTheLeader) {
  Face face("a");
  EXPECT_NE(face.server()->NotReadyReason(), "");
  face.Follow("b", "127.0.0.1:1");
  EXPECT_EQ(face.server()->NotReadyReason(), "");
  const auto check = [&](const std::string& service) {
    // HealthCheckRequest{service = 1}; HealthCheckResponse{status = 1}.
    std::string bytes;
    if (!service.empty())
      bytes = "\x0a" + std::string(1, static_cast<char>(service.size())) + service;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    std::promise<grpc::Status> done;
    grpc::GenericStub stub(face.channel());
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request,
                   &response, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    if (!status.ok()) return status.error_message();
    grpc::Slice answer;
    if (!response.DumpToSingleSlice(&answer).ok() || answer.size() != 2) return std::string("?");
    return std::string(answer.begin()[1] == 1 ? "SERVING" : "NOT_SERVING");
  };
  for (const char* service : {"", "dqueue.v1.JobService", "dqueue.v1.WorkerService"}) {
    EXPECT_EQ(check(service), "SERVING") << service;
  }
  face.Follow("", "");
  EXPECT_NE(face.server()->NotReadyReason(), "");
  for (const char* service : {"", "dqueue.v1.JobService", "dqueue.v1.WorkerService"}) {
    EXPECT_EQ(check(service), "NOT_SERVING") << service;
  }
}

TEST(Server, AddressesThatCannotBeUsed) {
  FakeNode node;
  ServerOptions options;
  options.listen = "nonsense";
  EXPECT_EQ(Server::Start(options, &node).status().code(), absl::StatusCode::kInvalidArgument);
  options.listen = "127.0.0.1:0";
  const auto first = Server::Start(options, &node);
  ASSERT_TRUE(first.ok());
  options.listen = "127.0.0.1:" + std::to_string((*first)->port());
  EXPECT_EQ(Server::Start(options, &node).status().code(), absl::StatusCode::kUnavailable);
  options.listen = "127.0.0.1:0";
  options.max_connections_hint = INT_MAX - 200;
  EXPECT_EQ(Server::Start(options, &node).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace dqueue::transport
