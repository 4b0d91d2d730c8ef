#include "sim/clients/tenant.h"

#include <memory>
#include <utility>
#include <vector>

namespace dqueue::sim {
namespace {
constexpr Duration kTimeout = 1s;
}

queue::QueueAccessPtr DrawAccess(RandomStream& random, int queues) {
  std::vector<std::string> patterns;
  switch (random.Below(4)) {
    case 0:
      patterns.emplace_back("default");
      break;
    case 1:
      patterns.emplace_back("queue-*");
      break;
    default:
      patterns.push_back(QueueName(random.Below(static_cast<uint64_t>(queues))));
      if (random.Chance(0.3)) patterns.emplace_back("nobody-*");
      break;
  }
  return std::make_shared<const queue::QueueAccess>(std::move(patterns));
}

Tenant::Tenant(World* world, int number, const LoadProfile& load, JobBook* book)
    : world_(world), caller_(world, number), load_(load), book_(book) {
  caller_.SetAccess(DrawAccess(caller_.random(), load_.queues));
}

void Tenant::Next() {
  world_->After(1ms + caller_.random().Exponential(load_.think_mean), [this] { Act(); });
}

template <class C>
void Tenant::Call(typename C::RequestType request) {
  caller_.Call<C>(std::move(request), kTimeout, [this](const auto& outcome) {
    if (!outcome || !outcome->ok()) caller_.Redirect(outcome ? &outcome->error : nullptr);
    Next();
  });
}

std::string Tenant::AnyQueue() {
  return QueueName(caller_.random().Below(static_cast<uint64_t>(load_.queues)));
}

void Tenant::Act() {
  if (stopped_) return;
  switch (caller_.random().Below(8)) {
    case 0:
    case 1:
      return Read();
    case 2:
      return ActOnId();
    case 3:
      return ActOnQueue();
    case 4: {
      v1::EnqueueJobsRequest request;
      *request.add_jobs() =
          book_->NewJob(caller_.random(), load_, NodeClock().WallMs(world_->now()));
      return Call<queue::EnqueueCall>(std::move(request));
    }
    case 5:
      return Lease();
    default:
      return ActOnToken();
  }
}

void Tenant::Read() {
  RandomStream& random = caller_.random();
  const std::string id = book_->AnyId(random);
  const uint64_t draw = random.Below(3);
  if (draw == 0 && !id.empty()) {
    v1::GetJobRequest request;
    request.set_id(id);
    return Call<queue::GetCall>(std::move(request));
  }
  if (draw == 1) {
    v1::ListJobsRequest request;
    if (random.Chance(0.3)) request.set_queue(AnyQueue());
    request.set_page_size(static_cast<int>(random.Between(1, 50)));
    return Call<queue::ListCall>(std::move(request));
  }
  v1::GetStatsRequest request;
  if (random.Chance(0.3)) request.set_queue(AnyQueue());
  Call<queue::StatsCall>(std::move(request));
}

void Tenant::ActOnId() {
  const std::string id = book_->AnyId(caller_.random());
  if (id.empty()) return Read();
  const auto request_for = [&id](auto request) {
    request.add_ids(id);
    return request;
  };
  switch (caller_.random().Below(3)) {
    case 0:
      return Call<queue::CancelCall>(request_for(v1::CancelJobsRequest()));
    case 1:
      return Call<queue::RetryCall>(request_for(v1::RetryJobsRequest()));
    default:
      return Call<queue::DeleteCall>(request_for(v1::DeleteJobsRequest()));
  }
}

void Tenant::ActOnQueue() {
  RandomStream& random = caller_.random();
  const std::string queue = AnyQueue();
  switch (random.Below(4)) {
    case 0: {
      // A tenant does not pause a queue that it can use: the queue might stay paused.
      if (queue::Allows(caller_.access(), queue)) return Read();
      v1::PauseQueueRequest request;
      request.set_queue(queue);
      return Call<queue::PauseCall>(std::move(request));
    }
    case 1: {
      v1::ResumeQueueRequest request;
      request.set_queue(queue);
      return Call<queue::ResumeCall>(std::move(request));
    }
    case 2: {
      v1::PurgeQueueRequest request;
      request.set_queue(queue);
      request.add_states(v1::JOB_STATE_SUCCEEDED);
      request.set_max_jobs(static_cast<int>(random.Between(1, 10)));
      return Call<queue::PurgeCall>(std::move(request));
    }
    default: {
      v1::RedriveJobsRequest request;
      if (random.Chance(0.3)) request.set_queue(queue);
      request.set_max_jobs(static_cast<int>(random.Between(1, 10)));
      return Call<queue::RedriveCall>(std::move(request));
    }
  }
}

void Tenant::Lease() {
  RandomStream& random = caller_.random();
  v1::LeaseJobsRequest request;
  request.set_worker_id("tenant-" + std::to_string(caller_.number()));
  for (int64_t i = random.Between(0, 2); i > 0; --i) request.add_queues(AnyQueue());
  request.set_max_jobs(1);
  caller_.Call<queue::LeaseCall>(
      std::move(request), kTimeout,
      [this](const std::optional<queue::Outcome<v1::LeaseJobsResponse>>& outcome) {
        if (outcome && outcome->ok()) {
          for (const v1::Job& job : outcome->value.jobs()) book_->RecordLease(job);
        } else {
          caller_.Redirect(outcome ? &outcome->error : nullptr);
        }
        Next();
      });
}

void Tenant::ActOnToken() {
  RandomStream& random = caller_.random();
  const JobBook::KnownLease* const lease = book_->AnyLease(random);
  if (lease == nullptr) return Read();
  const auto request_for = [lease](auto request) {
    auto* item = request.add_items();
    item->set_id(lease->id);
    *item->mutable_token() = lease->token;
    return request;
  };
  switch (random.Below(4)) {
    case 0:
      return Call<queue::FailCall>(request_for(v1::FailJobsRequest()));
    case 1:
      return Call<queue::ExtendCall>(request_for(v1::ExtendLeasesRequest()));
    case 2:
      return Call<queue::ReleaseCall>(request_for(v1::ReleaseJobsRequest()));
    default:
      return Call<queue::CompleteCall>(request_for(v1::CompleteJobsRequest()));
  }
}

}  // namespace dqueue::sim
