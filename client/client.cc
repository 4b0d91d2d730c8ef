#include "client/client.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "client/client_impl.h"
#include "client/convert.h"

namespace dqueue::client {
namespace {

// Limits of one call, within those of the server (queue/api/limits.h: 10,000 items, 16 MiB).
constexpr size_t kItemsMax = 10000;
constexpr size_t kBytesMax = 15 << 20;
// The server cuts the text of a failure at the same length.
constexpr size_t kErrorBytesKept = 4096;

constexpr Duration kPollMin{5};
constexpr Duration kPollMax{200};

// The status of a batch whose calls succeeded: OK, or that of the first refused item.
template <class StatusOf>
Status BatchStatus(size_t count, StatusOf status_of) {
  size_t refused = 0;
  size_t first = 0;
  for (size_t i = count; i-- > 0;) {
    if (status_of(i).ok()) continue;
    ++refused;
    first = i;
  }
  if (refused == 0) return {};
  Status status = status_of(first);
  if (count > 1) {
    status.message = std::to_string(refused) + " of " + std::to_string(count) +
                     " items were refused; the first is item " + std::to_string(first) + ": " +
                     status.message;
  }
  return status;
}

// Sends items in as few calls as the limits allow. Returns one status per item. Items of a failed
// call get its status; the outer status is that of the first failed call, else of the first refused
// item.
template <class Request, class Response, class Item, class Fill, class Cost, class Invoke>
Result<std::vector<Status>> SendItems(Rpc& rpc, const CallSpec& spec,
                                      const std::vector<Item>& items, const Request& prototype,
                                      Fill fill, Cost cost, Invoke invoke) {
  Result<std::vector<Status>> result;
  result.value.reserve(items.size());
  size_t next = 0;
  while (next < items.size()) {
    Request request = prototype;
    size_t bytes = 0;
    size_t count = 0;
    while (next + count < items.size() && count < kItemsMax) {
      const size_t more = cost(items[next + count]);
      if (count > 0 && bytes + more > kBytesMax) break;
      bytes += more;
      fill(items[next + count], &request);
      ++count;
    }
    Response response;
    Status status = rpc.Call(spec, [&](Server& server, grpc::ClientContext* context) {
      return invoke(server, context, request, &response);
    });
    if (status.ok() && response.results_size() != static_cast<int>(count)) {
      status = {Code::kInternal, "", "the server returned a wrong number of results"};
    }
    for (size_t i = 0; i < count; ++i) {
      result.value.push_back(status.ok() ? FromRpcStatus(response.results(static_cast<int>(i)))
                                         : status);
    }
    if (result.status.ok()) result.status = status;
    next += count;
  }
  if (result.ok()) {
    result.status = BatchStatus(result.value.size(), [&](size_t i) { return result.value[i]; });
  }
  return result;
}

template <class Request, class Response>
Result<Response> CallJobs(Rpc& rpc, const CallSpec& spec,
                          grpc::Status (v1::JobService::Stub::*method)(grpc::ClientContext*,
                                                                       const Request&, Response*),
                          const Request& request) {
  Result<Response> result;
  result.status = rpc.Call(spec, [&](Server& server, grpc::ClientContext* context) {
    return (server.jobs.get()->*method)(context, request, &result.value);
  });
  return result;
}

// An attempt has all of the call's time, because no other attempt follows it.
CallSpec OnceSpec(Duration timeout) {
  return {.effect = Effect::kOnce, .timeout = timeout, .attempt_max = timeout};
}

size_t IdCost(const std::string& id) { return id.size() + 16; }

template <class Request>
void FillLease(const LeaseRef& lease, Request* request) {
  auto* item = request->add_items();
  item->set_id(lease.id);
  ToProto(lease.token, item->mutable_token());
}

bool IsFinished(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kDead || state == JobState::kCancelled;
}

}  // namespace

Client::Client(ClientOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
Client::~Client() { impl_->enqueues->Stop(); }

const ClientOptions& Client::options() const { return impl_->options; }

Result<Enqueued> Client::Enqueue(JobSpec spec) {
  struct Waiter {
    std::mutex mutex;
    std::condition_variable wake;
    bool done = false;
    Result<Enqueued> result;
  } waiter;
  impl_->enqueues->Add(std::move(spec), true, [&waiter](Result<Enqueued> result) {
    const std::lock_guard lock(waiter.mutex);
    waiter.result = std::move(result);
    waiter.done = true;
    // Under the lock: the waiter is destroyed as soon as it sees `done`.
    waiter.wake.notify_one();
  });
  std::unique_lock lock(waiter.mutex);
  waiter.wake.wait(lock, [&] { return waiter.done; });
  return std::move(waiter.result);
}

std::future<Result<Enqueued>> Client::EnqueueAsync(JobSpec spec) {
  auto promise = std::make_shared<std::promise<Result<Enqueued>>>();
  std::future<Result<Enqueued>> future = promise->get_future();
  EnqueueAsync(std::move(spec),
               [promise](Result<Enqueued> result) { promise->set_value(std::move(result)); });
  return future;
}

void Client::EnqueueAsync(JobSpec spec, std::function<void(Result<Enqueued>)> done) {
  impl_->enqueues->Add(std::move(spec), false, std::move(done));
}

Result<std::vector<Result<Enqueued>>> Client::EnqueueMany(std::vector<JobSpec> specs,
                                                          bool all_or_nothing) {
  Result<std::vector<Result<Enqueued>>> result;
  result.value.resize(specs.size());
  std::vector<bool> id_made_here(specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::string bad_field = FieldNotUtf8(specs[i]);
    if (!bad_field.empty()) {
      // Checked here: the server cannot decode such a request, so it cannot name the job.
      result.status = {Code::kInvalidArgument, "INVALID_FIELD",
                       "jobs[" + std::to_string(i) + "]." + bad_field + ": not valid UTF-8"};
      for (auto& each : result.value) each.status = result.status;
      return result;
    }
    id_made_here[i] = specs[i].id.empty();
    if (id_made_here[i]) specs[i].id = NewUuidV7();
    result.value[i].value = {specs[i].id, false};
  }
  const CallSpec call{.effect = Effect::kIdempotent, .timeout = impl_->options.timeout};
  size_t next = 0;
  while (next < specs.size()) {
    v1::EnqueueJobsRequest request;
    request.set_all_or_nothing(all_or_nothing);
    request.set_request_id(NewUuidV7());
    size_t bytes = 0;
    size_t count = 0;
    // all_or_nothing is a single call. The server checks its size.
    while (next + count < specs.size() && (all_or_nothing || count < kItemsMax)) {
      JobSpec& spec = specs[next + count];
      const size_t more = CostOf(spec);
      if (!all_or_nothing && count > 0 && bytes + more > kBytesMax) break;
      bytes += more;
      ToProto(std::move(spec), request.add_jobs());
      ++count;
    }
    v1::EnqueueJobsResponse response;
    Status status = impl_->rpc.Call(call, [&](Server& server, grpc::ClientContext* context) {
      return server.jobs->EnqueueJobs(context, request, &response);
    });
    if (status.ok() && response.results_size() != static_cast<int>(count)) {
      status = {Code::kInternal, "", "the server returned a wrong number of results"};
    }
    for (size_t i = 0; i < count; ++i) {
      Result<Enqueued>& each = result.value[next + i];
      if (!status.ok()) {
        each.status = status;
        continue;
      }
      auto* answer = response.mutable_results(static_cast<int>(i));
      if (answer->has_error()) each.status = FromRpcStatus(answer->error());
      // An id made by this client is new, so an existing job was created by an earlier attempt.
      each.value.created =
          answer->created() || (id_made_here[next + i] && answer->id() == each.value.id);
      each.value.id = std::move(*answer->mutable_id());
    }
    if (result.status.ok()) result.status = status;
    next += count;
  }
  if (result.ok()) {
    result.status =
        BatchStatus(result.value.size(), [&](size_t i) { return result.value[i].status; });
  }
  return result;
}

Result<Job> Client::Get(const std::string& id) { return impl_->Get(id, impl_->options.timeout); }

Result<Job> Client::Impl::Get(const std::string& id, Duration timeout) {
  v1::GetJobRequest request;
  request.set_id(MakeUtf8(id, id.size()));
  v1::GetJobResponse response;
  Result<Job> result;
  result.status = rpc.Call({.timeout = timeout}, [&](Server& server, grpc::ClientContext* context) {
    return server.jobs->GetJob(context, request, &response);
  });
  if (result.ok()) result.value = FromProto(std::move(*response.mutable_job()));
  return result;
}

Result<JobPage> Client::List(const ListFilter& filter) {
  v1::ListJobsRequest request;
  request.set_queue(filter.queue);
  request.set_type(filter.type);
  if (filter.state) request.set_state(ToProto(*filter.state));
  request.set_page_size(filter.page_size);
  request.set_page_token(filter.page_token);
  request.set_full(filter.full);
  v1::ListJobsResponse response;
  Result<JobPage> result;
  result.status = impl_->rpc.Call({.timeout = impl_->options.timeout},
                                  [&](Server& server, grpc::ClientContext* context) {
                                    return server.jobs->ListJobs(context, request, &response);
                                  });
  for (v1::Job& job : *response.mutable_jobs()) {
    result.value.jobs.push_back(FromProto(std::move(job)));
  }
  result.value.next_page_token = response.next_page_token();
  return result;
}

Result<std::vector<Status>> Client::Cancel(const std::vector<std::string>& ids) {
  return SendItems<v1::CancelJobsRequest, v1::CancelJobsResponse>(
      impl_->rpc, OnceSpec(impl_->options.timeout), ids, {},
      [](const std::string& id, v1::CancelJobsRequest* request) {
        request->add_ids(MakeUtf8(id, id.size()));
      },
      IdCost,
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.jobs->CancelJobs(context, request, response);
      });
}

Result<std::vector<Status>> Client::Retry(const std::vector<std::string>& ids) {
  return SendItems<v1::RetryJobsRequest, v1::RetryJobsResponse>(
      impl_->rpc, OnceSpec(impl_->options.timeout), ids, {},
      [](const std::string& id, v1::RetryJobsRequest* request) {
        request->add_ids(MakeUtf8(id, id.size()));
      },
      IdCost,
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.jobs->RetryJobs(context, request, response);
      });
}

Result<std::vector<Status>> Client::DeleteJobs(const std::vector<std::string>& ids) {
  return SendItems<v1::DeleteJobsRequest, v1::DeleteJobsResponse>(
      impl_->rpc, OnceSpec(impl_->options.timeout), ids, {},
      [](const std::string& id, v1::DeleteJobsRequest* request) {
        request->add_ids(MakeUtf8(id, id.size()));
      },
      IdCost,
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.jobs->DeleteJobs(context, request, response);
      });
}

Result<QueueStats> Client::PauseQueue(const std::string& queue, bool refuse_enqueues) {
  v1::PauseQueueRequest request;
  request.set_queue(MakeUtf8(queue, queue.size()));
  request.set_refuse_enqueues(refuse_enqueues);
  const auto answer =
      CallJobs(impl_->rpc, {.effect = Effect::kIdempotent, .timeout = impl_->options.timeout},
               &v1::JobService::Stub::PauseQueue, request);
  return {answer.status, FromProto(answer.value.stats())};
}

Result<QueueStats> Client::ResumeQueue(const std::string& queue) {
  v1::ResumeQueueRequest request;
  request.set_queue(MakeUtf8(queue, queue.size()));
  const auto answer =
      CallJobs(impl_->rpc, {.effect = Effect::kIdempotent, .timeout = impl_->options.timeout},
               &v1::JobService::Stub::ResumeQueue, request);
  return {answer.status, FromProto(answer.value.stats())};
}

Result<SweepResult> Client::PurgeQueue(const PurgeOptions& options) {
  v1::PurgeQueueRequest request;
  request.set_queue(MakeUtf8(options.queue, options.queue.size()));
  for (const JobState state : options.states) request.add_states(ToProto(state));
  request.set_max_jobs(options.max_jobs);
  const auto answer = CallJobs(impl_->rpc, OnceSpec(impl_->options.timeout),
                               &v1::JobService::Stub::PurgeQueue, request);
  return {answer.status, {static_cast<uint64_t>(answer.value.purged()), answer.value.more()}};
}

Result<SweepResult> Client::RedriveJobs(const RedriveOptions& options) {
  v1::RedriveJobsRequest request;
  request.set_queue(MakeUtf8(options.queue, options.queue.size()));
  request.set_type(MakeUtf8(options.type, options.type.size()));
  request.set_error_contains(MakeUtf8(options.error_contains, options.error_contains.size()));
  request.set_max_jobs(options.max_jobs);
  request.set_error_fingerprint(
      MakeUtf8(options.error_fingerprint, options.error_fingerprint.size()));
  const auto answer = CallJobs(impl_->rpc, OnceSpec(impl_->options.timeout),
                               &v1::JobService::Stub::RedriveJobs, request);
  return {answer.status, {static_cast<uint64_t>(answer.value.redriven()), answer.value.more()}};
}

Result<DeadGroups> Client::GroupDeadJobs(const std::string& queue, const std::string& type) {
  v1::GroupDeadJobsRequest request;
  request.set_queue(MakeUtf8(queue, queue.size()));
  request.set_type(MakeUtf8(type, type.size()));
  // It visits all jobs, and a repetition starts again.
  auto answer = CallJobs(impl_->rpc,
                         {.timeout = impl_->options.timeout, .attempt_max = impl_->options.timeout},
                         &v1::JobService::Stub::GroupDeadJobs, request);
  return {answer.status, FromProto(std::move(answer.value))};
}

Result<std::vector<WorkerInfo>> Client::ListWorkers() {
  Result<std::vector<WorkerInfo>> result;
  v1::ListWorkersRequest request;
  do {
    v1::ListWorkersResponse response;
    result.status = impl_->rpc.Call(
        {.timeout = impl_->options.timeout}, [&](Server& server, grpc::ClientContext* context) {
          return server.workers->ListWorkers(context, request, &response);
        });
    if (!result.ok()) return result;
    request.set_page_token(response.next_page_token());
    for (WorkerInfo& worker : FromProto(std::move(response))) {
      result.value.push_back(std::move(worker));
    }
  } while (!request.page_token().empty());
  return result;
}

Result<Stats> Client::GetStats(const std::string& queue) {
  v1::GetStatsRequest request;
  request.set_queue(queue);
  Result<Stats> result;
  do {
    v1::GetStatsResponse response;
    result.status = impl_->rpc.Call({.timeout = impl_->options.timeout},
                                    [&](Server& server, grpc::ClientContext* context) {
                                      return server.jobs->GetStats(context, request, &response);
                                    });
    if (!result.ok()) return result;
    const bool first = request.page_token().empty();
    request.set_page_token(response.next_page_token());
    AddPage(response, first, &result.value);
  } while (!request.page_token().empty());
  return result;
}

Result<ClusterView> Client::GetCluster(const std::string& server_address) {
  v1::GetClusterResponse response;
  const Rpc::Invoke invoke = [&](Server& server, grpc::ClientContext* context) {
    return server.cluster->GetCluster(context, {}, &response);
  };
  Result<ClusterView> result;
  if (!server_address.empty()) {
    const auto server = impl_->rpc.servers().ByAddress(server_address);
    result.status =
        impl_->rpc.CallServer(server, std::min(impl_->options.timeout, kAttemptMax), invoke);
  } else {
    result.status =
        impl_->rpc.Call({.timeout = impl_->options.timeout, .any_server = true}, invoke);
  }
  if (result.ok()) result.value = FromProto(std::move(response));
  return result;
}

Result<std::string> Client::TransferLeadership(const std::string& to) {
  v1::TransferLeadershipRequest request;
  request.set_to(MakeUtf8(to, to.size()));
  v1::TransferLeadershipResponse response;
  Result<std::string> result;
  // Without a target a repetition would move the leadership again.
  const CallSpec spec =
      to.empty() ? OnceSpec(impl_->options.timeout)
                 : CallSpec{.effect = Effect::kIdempotent, .timeout = impl_->options.timeout};
  result.status = impl_->rpc.Call(spec, [&](Server& server, grpc::ClientContext* context) {
    return server.cluster->TransferLeadership(context, request, &response);
  });
  if (result.ok()) result.value = std::move(*response.mutable_leader_id());
  return result;
}

Result<Job> Client::WaitForCompletion(const std::string& id, Duration limit) {
  const Clock::time_point end = Clock::now() + limit;
  Duration pause = kPollMin;
  std::optional<Job> seen;
  while (true) {
    const auto left = std::chrono::duration_cast<Duration>(end - Clock::now());
    Result<Job> job = impl_->Get(id, std::min(std::max(left, kPollMin), impl_->options.timeout));
    if (job.ok() && IsFinished(job.value.state)) return job;
    if (job.ok()) seen = job.value;
    const bool is_over = Clock::now() + pause >= end;
    const bool may_pass = job.status.code == Code::kUnavailable ||
                          (is_over && job.status.code == Code::kDeadlineExceeded);
    if (!job.ok() && !may_pass) return job;
    // No server has answered yet, and none is expected to.
    if (!job.ok() && !seen && impl_->rpc.HopesNoMore()) return job;
    if (is_over) {
      if (!seen) return job;
      return {{Code::kDeadlineExceeded, "",
               "the job is still " + std::string(JobStateName(seen->state))},
              *std::move(seen)};
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 3 / 2, kPollMax);
  }
}

Result<std::vector<Job>> Client::Impl::Lease(const LeaseOptions& lease,
                                             const std::string& request_id,
                                             const CallControl& control) {
  v1::LeaseJobsRequest request;
  request.set_worker_id(lease.worker_id);
  for (const std::string& queue : lease.queues) request.add_queues(queue);
  for (const std::string& type : lease.types) request.add_types(type);
  request.set_max_jobs(lease.max_jobs);
  if (lease.wait.count() != 0) ToProto(lease.wait, request.mutable_wait());
  if (lease.lease_duration) ToProto(*lease.lease_duration, request.mutable_lease_duration());
  request.set_lease_request_id(request_id);
  request.set_host(lease.host);
  v1::LeaseJobsResponse response;
  const Duration wait = std::max(lease.wait, Duration{0});
  CallSpec spec = Change(control);
  if (!control.timeout) spec.timeout += wait;
  spec.attempt_max = kAttemptMax + wait;
  Result<std::vector<Job>> result;
  result.status = rpc.Call(spec, [&](Server& server, grpc::ClientContext* context) {
    return server.workers->LeaseJobs(context, request, &response);
  });
  if (!result.ok()) return result;
  result.value.reserve(response.jobs_size());
  for (v1::Job& job : *response.mutable_jobs()) result.value.push_back(FromProto(std::move(job)));
  return result;
}

Result<std::vector<Job>> Client::Lease(const LeaseOptions& options) {
  return impl_->Lease(options, NewUuidV7(), {});
}

Result<std::vector<Status>> Client::Complete(const std::vector<Completion>& items) {
  return impl_->Complete(items, {});
}

Result<std::vector<Status>> Client::Impl::Complete(const std::vector<Completion>& items,
                                                   const CallControl& control) {
  return SendItems<v1::CompleteJobsRequest, v1::CompleteJobsResponse>(
      rpc, Change(control), items, {},
      [](const Completion& completion, v1::CompleteJobsRequest* request) {
        auto* item = request->add_items();
        item->set_id(completion.id);
        ToProto(completion.token, item->mutable_token());
        item->set_result(completion.result);
      },
      [](const Completion& completion) {
        return IdCost(completion.id) + completion.result.size() + 32;
      },
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.workers->CompleteJobs(context, request, response);
      });
}

Result<std::vector<Status>> Client::Fail(const std::vector<Failure>& items) {
  return impl_->Fail(items, {});
}

Result<std::vector<Status>> Client::Impl::Fail(const std::vector<Failure>& items,
                                               const CallControl& control) {
  return SendItems<v1::FailJobsRequest, v1::FailJobsResponse>(
      rpc, Change(control), items, {},
      [](const Failure& failure, v1::FailJobsRequest* request) {
        auto* item = request->add_items();
        item->set_id(failure.id);
        ToProto(failure.token, item->mutable_token());
        item->set_error(MakeUtf8Middle(failure.error, kErrorBytesKept));
        item->set_reject(failure.reject);
        if (failure.retry_delay) ToProto(*failure.retry_delay, item->mutable_retry_delay());
      },
      [](const Failure& failure) {
        return IdCost(failure.id) + std::min(failure.error.size(), kErrorBytesKept) + 32;
      },
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.workers->FailJobs(context, request, response);
      });
}

Result<std::vector<Status>> Client::Impl::Extend(const std::vector<LeaseRef>& items,
                                                 const std::string& worker_id,
                                                 std::optional<Duration> lease_duration,
                                                 const CallControl& control) {
  v1::ExtendLeasesRequest prototype;
  prototype.set_worker_id(worker_id);
  if (lease_duration) ToProto(*lease_duration, prototype.mutable_lease_duration());
  return SendItems<v1::ExtendLeasesRequest, v1::ExtendLeasesResponse>(
      rpc, Change(control), items, prototype,
      [](const LeaseRef& lease, v1::ExtendLeasesRequest* request) { FillLease(lease, request); },
      [](const LeaseRef& lease) { return IdCost(lease.id) + 32; },
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.workers->ExtendLeases(context, request, response);
      });
}

Result<std::vector<Status>> Client::Extend(const std::vector<LeaseRef>& items,
                                           std::optional<Duration> lease_duration) {
  return impl_->Extend(items, "", lease_duration, {});
}

Result<std::vector<Status>> Client::Release(const std::vector<LeaseRef>& items) {
  return impl_->Release(items, {});
}

Result<std::vector<Status>> Client::Impl::Release(const std::vector<LeaseRef>& items,
                                                  const CallControl& control) {
  return SendItems<v1::ReleaseJobsRequest, v1::ReleaseJobsResponse>(
      rpc, Change(control), items, {},
      [](const LeaseRef& lease, v1::ReleaseJobsRequest* request) { FillLease(lease, request); },
      [](const LeaseRef& lease) { return IdCost(lease.id) + 32; },
      [](Server& server, grpc::ClientContext* context, const auto& request, auto* response) {
        return server.workers->ReleaseJobs(context, request, response);
      });
}

}  // namespace dqueue::client
