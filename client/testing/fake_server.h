// An in-process gRPC server with scripted answers, for tests of the SDK. Each method has a
// FakeMethod that records requests and succeeds unless a test sets another answer. Has no
// KeyService.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dqueue/v1/service.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace dqueue::client {

inline google::rpc::Status FakeStatus(grpc::StatusCode code, const std::string& reason,
                                      const std::map<std::string, std::string>& metadata = {},
                                      int retry_after_ms = 0) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message("fake " + reason);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("dqueue.dev");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.add_details()->PackFrom(info);
  if (retry_after_ms > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(retry_after_ms * 1000000);
    status.add_details()->PackFrom(retry);
  }
  return status;
}

inline grpc::Status FakeError(grpc::StatusCode code, const std::string& reason,
                              const std::map<std::string, std::string>& metadata = {},
                              int retry_after_ms = 0) {
  const google::rpc::Status status = FakeStatus(code, reason, metadata, retry_after_ms);
  return grpc::Status(code, status.message(), status.SerializeAsString());
}

// The answers and the requests of one method. Thread-safe.
template <class Request, class Response>
class FakeMethod {
 public:
  using Answer = std::function<grpc::Status(grpc::ServerContext*, const Request&, Response*)>;

  explicit FakeMethod(Answer answer) : default_(std::move(answer)) {}

  // Sets the answer of the next call; several answers are used in order. Then the default applies.
  void Next(Answer answer) {
    const std::lock_guard lock(mutex_);
    script_.push_back(std::move(answer));
  }
  void NextError(grpc::Status status) {
    Next([status](grpc::ServerContext*, const Request&, Response*) { return status; });
  }
  void Always(Answer answer) {
    const std::lock_guard lock(mutex_);
    default_ = std::move(answer);
  }
  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  // Waits up to 20 s until the method has been called `count` times. False: time is over.
  bool WaitForCalls(size_t count) {
    std::unique_lock lock(mutex_);
    return called_.wait_for(lock, std::chrono::seconds(20),
                            [&] { return requests_.size() >= count; });
  }

  grpc::Status Call(grpc::ServerContext* context, const Request& request, Response* response) {
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      called_.notify_all();
      answer = default_;
      if (next_ < script_.size()) answer = script_[next_++];
    }
    return answer(context, request, response);
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable called_;
  std::vector<Request> requests_;
  std::vector<Answer> script_;
  size_t next_ = 0;
  Answer default_;
};

class FakeServer {
 public:
  FakeServer() { Start(0); }
  ~FakeServer() { Stop(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Breaks connections and refuses new ones until Restart().
  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }
  void Restart() { Start(port_); }

  FakeMethod<v1::EnqueueJobsRequest, v1::EnqueueJobsResponse> enqueue{
      [](grpc::ServerContext*, const v1::EnqueueJobsRequest& request,
         v1::EnqueueJobsResponse* response) {
        for (const auto& job : request.jobs()) {
          auto* result = response->add_results();
          result->set_id(job.id());
          result->set_created(true);
        }
        return grpc::Status::OK;
      }};
  FakeMethod<v1::GetJobRequest, v1::GetJobResponse> get{
      [](grpc::ServerContext*, const v1::GetJobRequest& request, v1::GetJobResponse* response) {
        response->mutable_job()->set_id(request.id());
        return grpc::Status::OK;
      }};
  FakeMethod<v1::LeaseJobsRequest, v1::LeaseJobsResponse> lease{NothingToLease};
  FakeMethod<v1::CompleteJobsRequest, v1::CompleteJobsResponse> complete{
      AllGood<v1::CompleteJobsRequest, v1::CompleteJobsResponse>};
  FakeMethod<v1::FailJobsRequest, v1::FailJobsResponse> fail{
      AllGood<v1::FailJobsRequest, v1::FailJobsResponse>};
  FakeMethod<v1::ExtendLeasesRequest, v1::ExtendLeasesResponse> extend{
      AllGood<v1::ExtendLeasesRequest, v1::ExtendLeasesResponse>};
  FakeMethod<v1::ReleaseJobsRequest, v1::ReleaseJobsResponse> release{
      AllGood<v1::ReleaseJobsRequest, v1::ReleaseJobsResponse>};
  FakeMethod<v1::CancelJobsRequest, v1::CancelJobsResponse> cancel{
      [](grpc::ServerContext*, const v1::CancelJobsRequest& request,
         v1::CancelJobsResponse* response) {
        for (int i = 0; i < request.ids_size(); ++i) response->add_results();
        return grpc::Status::OK;
      }};
  FakeMethod<v1::RetryJobsRequest, v1::RetryJobsResponse> retry{
      [](grpc::ServerContext*, const v1::RetryJobsRequest& request,
         v1::RetryJobsResponse* response) {
        for (int i = 0; i < request.ids_size(); ++i) response->add_results();
        return grpc::Status::OK;
      }};
  FakeMethod<v1::PauseQueueRequest, v1::PauseQueueResponse> pause{
      Nothing<v1::PauseQueueRequest, v1::PauseQueueResponse>};
  FakeMethod<v1::ResumeQueueRequest, v1::ResumeQueueResponse> resume{
      Nothing<v1::ResumeQueueRequest, v1::ResumeQueueResponse>};
  FakeMethod<v1::DeleteJobsRequest, v1::DeleteJobsResponse> remove{
      [](grpc::ServerContext*, const v1::DeleteJobsRequest& request,
         v1::DeleteJobsResponse* response) {
        for (int i = 0; i < request.ids_size(); ++i) response->add_results();
        return grpc::Status::OK;
      }};
  FakeMethod<v1::PurgeQueueRequest, v1::PurgeQueueResponse> purge{
      Nothing<v1::PurgeQueueRequest, v1::PurgeQueueResponse>};
  FakeMethod<v1::RedriveJobsRequest, v1::RedriveJobsResponse> redrive{
      Nothing<v1::RedriveJobsRequest, v1::RedriveJobsResponse>};
  FakeMethod<v1::GroupDeadJobsRequest, v1::GroupDeadJobsResponse> group{
      Nothing<v1::GroupDeadJobsRequest, v1::GroupDeadJobsResponse>};
  FakeMethod<v1::ListWorkersRequest, v1::ListWorkersResponse> workers{
      Nothing<v1::ListWorkersRequest, v1::ListWorkersResponse>};
  FakeMethod<v1::GetClusterRequest, v1::GetClusterResponse> cluster{
      [](grpc::ServerContext*, const v1::GetClusterRequest&, v1::GetClusterResponse* response) {
        response->set_node_id("fake");
        return grpc::Status::OK;
      }};

  FakeMethod<v1::TransferLeadershipRequest, v1::TransferLeadershipResponse> transfer{
      [](grpc::ServerContext*, const v1::TransferLeadershipRequest& request,
         v1::TransferLeadershipResponse* response) {
        response->set_leader_id(request.to().empty() ? "furthest" : request.to());
        return grpc::Status::OK;
      }};

  // A long poll without jobs: holds the call until it is cancelled.
  static grpc::Status NothingToLease(grpc::ServerContext* context, const v1::LeaseJobsRequest&,
                                     v1::LeaseJobsResponse*) {
    while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return grpc::Status::CANCELLED;
  }
  // Holds the call until the client cancels it.
  template <class Request, class Response>
  static grpc::Status Hang(grpc::ServerContext* context, const Request&, Response*) {
    while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return grpc::Status::CANCELLED;
  }

 private:
  template <class Request, class Response>
  static grpc::Status Nothing(grpc::ServerContext*, const Request&, Response*) {
    return grpc::Status::OK;
  }
  template <class Request, class Response>
  static grpc::Status AllGood(grpc::ServerContext*, const Request& request, Response* response) {
    for (int i = 0; i < request.items_size(); ++i) response->add_results();
    return grpc::Status::OK;
  }

  class Jobs final : public v1::JobService::Service {
   public:
    explicit Jobs(FakeServer* fake) : fake_(fake) {}
    grpc::Status EnqueueJobs(grpc::ServerContext* context, const v1::EnqueueJobsRequest* request,
                             v1::EnqueueJobsResponse* response) override {
      return fake_->enqueue.Call(context, *request, response);
    }
    grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                        v1::GetJobResponse* response) override {
      return fake_->get.Call(context, *request, response);
    }
    grpc::Status CancelJobs(grpc::ServerContext* context, const v1::CancelJobsRequest* request,
                            v1::CancelJobsResponse* response) override {
      return fake_->cancel.Call(context, *request, response);
    }
    grpc::Status RetryJobs(grpc::ServerContext* context, const v1::RetryJobsRequest* request,
                           v1::RetryJobsResponse* response) override {
      return fake_->retry.Call(context, *request, response);
    }
    grpc::Status PauseQueue(grpc::ServerContext* context, const v1::PauseQueueRequest* request,
                            v1::PauseQueueResponse* response) override {
      return fake_->pause.Call(context, *request, response);
    }
    grpc::Status ResumeQueue(grpc::ServerContext* context, const v1::ResumeQueueRequest* request,
                             v1::ResumeQueueResponse* response) override {
      return fake_->resume.Call(context, *request, response);
    }
    grpc::Status DeleteJobs(grpc::ServerContext* context, const v1::DeleteJobsRequest* request,
                            v1::DeleteJobsResponse* response) override {
      return fake_->remove.Call(context, *request, response);
    }
    grpc::Status PurgeQueue(grpc::ServerContext* context, const v1::PurgeQueueRequest* request,
                            v1::PurgeQueueResponse* response) override {
      return fake_->purge.Call(context, *request, response);
    }
    grpc::Status RedriveJobs(grpc::ServerContext* context, const v1::RedriveJobsRequest* request,
                             v1::RedriveJobsResponse* response) override {
      return fake_->redrive.Call(context, *request, response);
    }
    grpc::Status GroupDeadJobs(grpc::ServerContext* context,
                               const v1::GroupDeadJobsRequest* request,
                               v1::GroupDeadJobsResponse* response) override {
      return fake_->group.Call(context, *request, response);
    }

   private:
    FakeServer* const fake_;
  };

  class Workers final : public v1::WorkerService::Service {
   public:
    explicit Workers(FakeServer* fake) : fake_(fake) {}
    grpc::Status LeaseJobs(grpc::ServerContext* context, const v1::LeaseJobsRequest* request,
                           v1::LeaseJobsResponse* response) override {
      return fake_->lease.Call(context, *request, response);
    }
    grpc::Status CompleteJobs(grpc::ServerContext* context, const v1::CompleteJobsRequest* request,
                              v1::CompleteJobsResponse* response) override {
      return fake_->complete.Call(context, *request, response);
    }
    grpc::Status FailJobs(grpc::ServerContext* context, const v1::FailJobsRequest* request,
                          v1::FailJobsResponse* response) override {
      return fake_->fail.Call(context, *request, response);
    }
    grpc::Status ExtendLeases(grpc::ServerContext* context, const v1::ExtendLeasesRequest* request,
                              v1::ExtendLeasesResponse* response) override {
      return fake_->extend.Call(context, *request, response);
    }
    grpc::Status ReleaseJobs(grpc::ServerContext* context, const v1::ReleaseJobsRequest* request,
                             v1::ReleaseJobsResponse* response) override {
      return fake_->release.Call(context, *request, response);
    }
    grpc::Status ListWorkers(grpc::ServerContext* context, const v1::ListWorkersRequest* request,
                             v1::ListWorkersResponse* response) override {
      return fake_->workers.Call(context, *request, response);
    }

   private:
    FakeServer* const fake_;
  };

  class Cluster final : public v1::ClusterService::Service {
   public:
    explicit Cluster(FakeServer* fake) : fake_(fake) {}
    grpc::Status GetCluster(grpc::ServerContext* context, const v1::GetClusterRequest* request,
                            v1::GetClusterResponse* response) override {
      return fake_->cluster.Call(context, *request, response);
    }
    grpc::Status TransferLeadership(grpc::ServerContext* context,
                                    const v1::TransferLeadershipRequest* request,
                                    v1::TransferLeadershipResponse* response) override {
      return fake_->transfer.Call(context, *request, response);
    }

   private:
    FakeServer* const fake_;
  };

  void Start(int port) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&jobs_);
    builder.RegisterService(&workers_);
    builder.RegisterService(&cluster_);
    builder.SetMaxReceiveMessageSize(-1);
    server_ = builder.BuildAndStart();
  }

  Jobs jobs_{this};
  Workers workers_{this};
  Cluster cluster_{this};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dqueue::client
