#include "cmd/hostile/attacks/stock.h"

#include <map>
#include <utility>

#include "google/rpc/error_details.pb.h"

namespace dqueue::cmd {
namespace {

constexpr std::chrono::milliseconds kTryAgain{500};
constexpr std::chrono::seconds kBatchLimit{30};

std::string ReasonOf(const google::rpc::Status& status) {
  google::rpc::ErrorInfo info;
  for (const google::protobuf::Any& any : status.details()) {
    if (any.UnpackTo(&info)) return info.reason();
  }
  return std::to_string(status.code());
}

}  // namespace

Request JobCall(std::string_view method, const google::protobuf::MessageLite& message,
                std::chrono::milliseconds limit) {
  return Request("/dqueue.v1.JobService/" + std::string(method), message, limit);
}

Request WorkerCall(std::string_view method, const google::protobuf::MessageLite& message,
                   std::chrono::milliseconds limit) {
  return Request("/dqueue.v1.WorkerService/" + std::string(method), message, limit);
}

v1::EnqueueJobsRequest Batch(const Caller& caller, int count, size_t payload_bytes) {
  v1::EnqueueJobsRequest batch;
  for (int i = 0; i < count; ++i) {
    v1::JobSpec& job = *batch.add_jobs();
    job.set_id(caller.queue() + "-" + std::to_string(i));
    job.set_queue(caller.queue());
    job.set_type("hostile");
    job.set_payload(std::string(payload_bytes, 'x'));
    job.mutable_retry()->set_max_retries(0);
    job.mutable_retention()->set_seconds(0);
  }
  return batch;
}

std::vector<std::string> IdsOf(const v1::EnqueueJobsRequest& batch) {
  std::vector<std::string> ids;
  for (const v1::JobSpec& job : batch.jobs()) ids.push_back(job.id());
  return ids;
}

bool Enqueue(Caller& caller, const v1::EnqueueJobsRequest& batch) {
  v1::EnqueueJobsResponse answer;
  if (!caller.Call(JobCall("EnqueueJobs", batch, kBatchLimit), &answer)) return false;
  for (const v1::EnqueueJobsResponse::Result& result : answer.results()) {
    if (result.has_error()) caller.CountItem(ReasonOf(result.error()));
  }
  return true;
}

bool Delete(Caller& caller, const std::vector<std::string>& ids) {
  v1::DeleteJobsRequest request;
  for (const std::string& id : ids) request.add_ids(id);
  return caller.Call(JobCall("DeleteJobs", request, kBatchLimit));
}

v1::LeaseJobsResponse Lease(Caller& caller, const std::string& queue, int count,
                            int lease_seconds) {
  v1::LeaseJobsRequest request;
  request.set_worker_id(queue);
  request.add_queues(queue);
  request.set_max_jobs(count);
  request.mutable_lease_duration()->set_seconds(lease_seconds);
  v1::LeaseJobsResponse answer;
  caller.Call(WorkerCall("LeaseJobs", request), &answer);
  return answer;
}

bool Stock::Ready(Caller& caller) {
  if (ready_ || caller.reads_only()) return true;
  ready_ = Enqueue(caller, Batch(caller, count_, payload_bytes_));
  if (!ready_) caller.Pause(kTryAgain);
  return ready_;
}

}  // namespace dqueue::cmd
