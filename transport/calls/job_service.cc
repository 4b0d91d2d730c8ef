#include <algorithm>

#include "dqueue/v1/service.grpc.pb.h"
#include "node/runner.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/services.h"
#include "transport/calls/unary_call.h"

namespace dqueue::transport {

template <>
struct CallRules<queue::EnqueueCall> : DefaultRules<queue::EnqueueCall> {
  // Jobs without an id get one derived from request_id, so either makes a repetition harmless.
  static bool Repeatable(const v1::EnqueueJobsRequest& request) {
    return !request.request_id().empty() ||
           std::all_of(request.jobs().begin(), request.jobs().end(),
                       [](const v1::JobSpec& job) { return !job.id().empty(); });
  }

  // A job that existed already may be another caller's: its content needs the right to read.
  static void Adjust(v1::EnqueueJobsRequest* request, std::chrono::microseconds,
                     const Caller& caller) {
    if ((caller.scopes & queue::ScopeBit(Scope::kJobsRead)) == 0) request->clear_return_jobs();
  }
};

// Pausing and resuming set a state, whatever it was. Deleting, purging and redriving are not
// repeated: the same id may belong to another job by then, other jobs may match, and the number of
// jobs that the first attempt changed would be lost.
template <>
struct CallRules<queue::PauseCall> : DefaultRules<queue::PauseCall> {
  static bool Repeatable(const v1::PauseQueueRequest&) { return true; }
};
template <>
struct CallRules<queue::ResumeCall> : DefaultRules<queue::ResumeCall> {
  static bool Repeatable(const v1::ResumeQueueRequest&) { return true; }
};

namespace {

// EnqueueJob is an EnqueueJobs of one job to the node. The refusal of the job is the call's error.
class EnqueueJobCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  bool SubmitToNode(Time deadline) override {
    v1::EnqueueJobRequest request;
    if (!DecodeOrAnswer(&request)) return true;
    if (!request.has_job()) {
      Answer(ToGrpcStatus(queue::InvalidField("job", "absent", "the job to enqueue")));
      return true;
    }
    queue::EnqueueCall call;
    *call.request.add_jobs() = std::move(*request.mutable_job());
    call.request.set_request_id(request.request_id());
    call.request.set_return_jobs(request.return_job());
    CallRules<queue::EnqueueCall>::Adjust(&call.request, Remaining(), caller());
    call.deadline = deadline;
    call.cancelled = CancelledFlag();
    call.caller = fair_caller();
    call.access = caller().access;
    call.done = [self = Self<EnqueueJobCall>()](queue::Outcome<v1::EnqueueJobsResponse> outcome) {
      if (!outcome.ok()) {
        self->router_->rejections().Add(queue::kKindOf<queue::EnqueueCall>, outcome.error);
      }
      const size_t bytes = AboutBytes(outcome.value) + (outcome.ok() ? 0 : self->request_bytes());
      self->Conclude(bytes, [self, outcome = std::move(outcome)]() mutable {
        self->OnOutcome(std::move(outcome));
      });
    };
    return router_->node().With([&](node::Node& node) { node.Submit(std::move(call)); });
  }

  void OnOutcome(queue::Outcome<v1::EnqueueJobsResponse> outcome) {
    if (!outcome.ok()) return OnError(OfOneJob(std::move(outcome.error)));
    auto& result = *outcome.value.mutable_results(0);
    if (result.error().code() != 0) return Answer(ToGrpcStatus(OfOneJob(result.error())));
    v1::EnqueueJobResponse response;
    response.set_id(result.id());
    response.set_created(result.created());
    if (result.has_job()) *response.mutable_job() = std::move(*result.mutable_job());
    OnResult(EncodeMessage(response));
  }

  bool Repeatable() const override {
    v1::EnqueueJobRequest request;
    return Decode(&request) && (!request.request_id().empty() || !request.job().id().empty());
  }
  std::string Subject() const override { return RequestText<v1::EnqueueJobRequest>(); }
};

using Context = grpc::CallbackServerContext;
using Bytes = grpc::ByteBuffer;
using Reactor = grpc::ServerUnaryReactor;
using v1::JobService;

using RawJobService = JobService::WithRawCallbackMethod_EnqueueJob<
    JobService::WithRawCallbackMethod_EnqueueJobs<JobService::WithRawCallbackMethod_GetJob<
        JobService::WithRawCallbackMethod_ListJobs<JobService::WithRawCallbackMethod_CancelJobs<
            JobService::WithRawCallbackMethod_RetryJobs<JobService::WithRawCallbackMethod_GetStats<
                JobService::WithRawCallbackMethod_PauseQueue<
                    JobService::WithRawCallbackMethod_ResumeQueue<
                        JobService::WithRawCallbackMethod_DeleteJobs<
                            JobService::WithRawCallbackMethod_PurgeQueue<
                                JobService::WithRawCallbackMethod_RedriveJobs<
                                    JobService::WithRawCallbackMethod_GroupDeadJobs<
                                        JobService::Service>>>>>>>>>>>>>;

class JobServiceImpl final : public RawJobService {
 public:
  explicit JobServiceImpl(CallEntry entry) : router_(std::move(entry)) {}

  Reactor* EnqueueJob(Context* context, const Bytes* request, Bytes* response) override {
    auto call = std::make_shared<EnqueueJobCall>(router_, kEnqueueJob, context, request, response);
    call->Begin();
    return call.get();
  }
  Reactor* EnqueueJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::EnqueueCall>(router_, kEnqueueJobs, context, request, response);
  }
  Reactor* GetJob(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::GetCall>(router_, kGetJob, context, request, response);
  }
  Reactor* ListJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::ListCall>(router_, kListJobs, context, request, response);
  }
  Reactor* CancelJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::CancelCall>(router_, kCancelJobs, context, request, response);
  }
  Reactor* RetryJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::RetryCall>(router_, kRetryJobs, context, request, response);
  }
  Reactor* GetStats(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::StatsCall>(router_, kGetStats, context, request, response);
  }
  Reactor* PauseQueue(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::PauseCall>(router_, kPauseQueue, context, request, response);
  }
  Reactor* ResumeQueue(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::ResumeCall>(router_, kResumeQueue, context, request, response);
  }
  Reactor* DeleteJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::DeleteCall>(router_, kDeleteJobs, context, request, response);
  }
  Reactor* PurgeQueue(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::PurgeCall>(router_, kPurgeQueue, context, request, response);
  }
  Reactor* RedriveJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::RedriveCall>(router_, kRedriveJobs, context, request, response);
  }
  Reactor* GroupDeadJobs(Context* context, const Bytes* request, Bytes* response) override {
    return BeginCall<queue::GroupCall>(router_, kGroupDeadJobs, context, request, response);
  }

 private:
  const CallEntry router_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeJobService(CallEntry entry) {
  return std::make_unique<JobServiceImpl>(std::move(entry));
}

}  // namespace dqueue::transport
