#include "sim/clients/operator.h"

#include <string>
#include <utility>

namespace dqueue::sim {
namespace {
constexpr Duration kTimeout = 1s;
}

void Operator::Next() {
  world_->After(1ms + caller_.random().Exponential(load_.think_mean), [this] { Act(); });
}

template <class Response>
void Operator::Seen(const std::optional<queue::Outcome<Response>>& outcome) {
  if (!outcome || !outcome->ok()) caller_.Redirect(outcome ? &outcome->error : nullptr);
  Next();
}

template <class C>
void Operator::Call(typename C::RequestType request) {
  caller_.Call<C>(std::move(request), kTimeout, [this](const auto& outcome) { Seen(outcome); });
}

std::string Operator::AnyQueue() {
  return QueueName(caller_.random().Below(static_cast<uint64_t>(load_.queues)));
}

void Operator::Act() {
  if (stopped_) return;
  if (finishing_) {
    return Resume(QueueName(next_to_resume_++ % static_cast<uint64_t>(load_.queues)));
  }
  RandomStream& random = caller_.random();
  const double of_jobs = load_.cancel + load_.retry + load_.remove;
  const double of_queues = load_.pause + load_.resume + load_.purge + load_.redrive;
  double draw = random.Fraction() * (of_jobs + load_.read + of_queues);
  const std::string id = book_->AnyId(random);
  if (draw < of_jobs) return id.empty() ? Read() : ActOn(id);
  if ((draw -= of_jobs + load_.read) < 0) return Read();
  if ((draw -= load_.pause) < 0) {
    v1::PauseQueueRequest request;
    request.set_queue(AnyQueue());
    request.set_refuse_enqueues(random.Chance(0.3));
    return Call<queue::PauseCall>(std::move(request));
  }
  if ((draw -= load_.resume) < 0) return Resume(AnyQueue());
  return draw < load_.purge ? Purge() : Redrive();
}

void Operator::ActOn(const std::string& id) {
  const double draw = caller_.random().Fraction() * (load_.cancel + load_.retry + load_.remove);
  const auto request_for = [&id](auto request) {
    request.add_ids(id);
    return request;
  };
  if (draw < load_.cancel) {
    Call<queue::CancelCall>(request_for(v1::CancelJobsRequest()));
  } else if (draw < load_.cancel + load_.retry) {
    Call<queue::RetryCall>(request_for(v1::RetryJobsRequest()));
  } else {
    Call<queue::DeleteCall>(request_for(v1::DeleteJobsRequest()));
  }
}

void Operator::Resume(const std::string& queue) {
  v1::ResumeQueueRequest request;
  request.set_queue(queue);
  Call<queue::ResumeCall>(std::move(request));
}

void Operator::Purge() {
  RandomStream& random = caller_.random();
  v1::PurgeQueueRequest request;
  request.set_queue(AnyQueue());
  for (const v1::JobState state : {v1::JOB_STATE_SCHEDULED, v1::JOB_STATE_READY,
                                   v1::JOB_STATE_SUCCEEDED, v1::JOB_STATE_DEAD}) {
    if (random.Chance(0.3)) request.add_states(state);
  }
  request.set_max_jobs(static_cast<int>(random.Between(1, 10)));
  Call<queue::PurgeCall>(std::move(request));
}

void Operator::Redrive() {
  RandomStream& random = caller_.random();
  v1::RedriveJobsRequest request;
  if (random.Chance(0.5)) request.set_queue(AnyQueue());
  if (random.Chance(0.3)) request.set_type("mail");
  request.set_max_jobs(static_cast<int>(random.Between(1, 10)));
  Call<queue::RedriveCall>(std::move(request));
}

void Operator::Read() {
  RandomStream& random = caller_.random();
  const std::string id = book_->AnyId(random);
  // Operators that redrive often also read dead groups and workers.
  switch (random.Below(load_.redrive >= 1 ? 5 : 3)) {
    case 0:
      if (!id.empty()) {
        v1::GetJobRequest request;
        request.set_id(id);
        return Call<queue::GetCall>(std::move(request));
      }
      [[fallthrough]];
    case 1: {
      v1::ListJobsRequest request;
      if (random.Chance(0.5)) request.set_queue(AnyQueue());
      if (random.Chance(0.5)) request.set_state(static_cast<v1::JobState>(random.Between(1, 6)));
      request.set_page_size(static_cast<int>(random.Between(1, 50)));
      return Call<queue::ListCall>(std::move(request));
    }
    case 3: {
      v1::GroupDeadJobsRequest request;
      if (random.Chance(0.5)) request.set_queue(AnyQueue());
      return Call<queue::GroupCall>(std::move(request));
    }
    case 4:
      return Call<queue::WorkersCall>({});
    default:
      Call<queue::StatsCall>({});
  }
}

}  // namespace dqueue::sim
