#include "dqueue/v1/service.grpc.pb.h"
#include "node/runner.h"
#include "queue/api/limits.h"
#include "queue/api/proto_time.h"
#include "transport/calls/give_back.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/services.h"
#include "transport/calls/unary_call.h"
#include "transport/keys/credentials.h"

namespace dqueue::transport {
namespace {

constexpr std::chrono::seconds kTakeBackTime{2};

// Releases leases at another node. One attempt; if it fails, the leases expire.
struct TakeBackCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;

  static void Send(CallRouter& router, const Leader& leader, const Credentials& credentials,
                   const v1::ReleaseJobsRequest& request) {
    auto call = std::make_shared<TakeBackCall>();
    call->request = EncodeMessage(request);
    call->context.set_deadline(std::chrono::system_clock::now() + kTakeBackTime);
    call->context.AddMetadata(kForwardedKey, "1");
    AddAuthorization(credentials, &call->context);
    router.StubFor(leader.address, leader.name)
        ->UnaryCall(&call->context, kReleaseJobs.path, grpc::StubOptions(), &call->request,
                    &call->response, [call](const grpc::Status&) {});
  }
};

}  // namespace

template <>
struct CallRules<queue::LeaseCall> {
  static bool Repeatable(const v1::LeaseJobsRequest& request) {
    return !request.lease_request_id().empty();
  }

  // Cuts the wait to the call's time; otherwise the caller would get DEADLINE_EXCEEDED instead of
  // an empty answer. Invalid waits stay as they are: the broker refuses them.
  static void Adjust(v1::LeaseJobsRequest* request, std::chrono::microseconds remaining,
                     const Caller&) {
    const auto& wait = request->wait();
    if (wait.seconds() < 0 || wait.seconds() > queue::kWaitMsMax / 1000 || wait.nanos() < 0) return;
    const int64_t most_us = WithoutAnswerTime(remaining).count();
    if (wait.seconds() * 1000000 + wait.nanos() / 1000 <= most_us) return;
    queue::SetTime(std::chrono::microseconds(most_us), request->mutable_wait());
  }

  static void TakeBack(CallRouter& router, const Credentials& credentials,
                       const v1::LeaseJobsResponse& response) {
    if (response.jobs().empty()) return;
    queue::ReleaseCall call;
    call.request = GiveBack(response);
    const Leader leader = router.leader();
    if (leader.known() && !leader.self) {
      TakeBackCall::Send(router, leader, credentials, call.request);
      return;
    }
    call.deadline = node::MonotonicNow() + kTakeBackTime;
    call.done = [](const queue::Outcome<v1::ReleaseJobsResponse>&) {};
    router.node().With([&](node::Node& node) { node.Submit(std::move(call)); });
  }
};

template <>
struct CallRules<queue::ExtendCall> : DefaultRules<queue::ExtendCall> {
  static bool Repeatable(const v1::ExtendLeasesRequest&) { return true; }
};

namespace {

using Context = grpc::CallbackServerContext;
using Bytes = grpc::ByteBuffer;
using Reactor = grpc::ServerUnaryReactor;
using v1::WorkerService;

using RawWorkerService = WorkerService::WithRawCallbackMethod_LeaseJobs<
    WorkerService::WithRawCallbackMethod_CompleteJobs<WorkerService::WithRawCallbackMethod_FailJobs<
        WorkerService::WithRawCallbackMethod_ExtendLeases<
            WorkerService::WithRawCallbackMethod_ReleaseJobs<
                WorkerService::WithRawCallbackMethod_ListWorkers<WorkerService::Service>>>>>>;

class WorkerServiceImpl final : public RawWorkerService {
 public:
  explicit WorkerServiceImpl(CallEntry entry) : router_(std::move(entry)) {}

  Reactor* LeaseJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::LeaseCall>(router_, kLeaseJobs, context, request, response);
  }
  Reactor* CompleteJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::CompleteCall>(router_, kCompleteJobs, context, request, response);
  }
  Reactor* FailJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::FailCall>(router_, kFailJobs, context, request, response);
  }
  Reactor* ExtendLeases(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::ExtendCall>(router_, kExtendLeases, context, request, response);
  }
  Reactor* ReleaseJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::ReleaseCall>(router_, kReleaseJobs, context, request, response);
  }
  Reactor* ListWorkers(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::WorkersCall>(router_, kListWorkers, context, request, response);
  }

 private:
  const CallEntry router_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeWorkerService(CallEntry entry) {
  return std::make_unique<WorkerServiceImpl>(std::move(entry));
}

}  // namespace dqueue::transport
