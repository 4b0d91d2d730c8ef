#include "sim/operator.h"

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

void Operator::Act() {
  if (stopped_) return;
  Random& random = caller_.random();
  const double draw = random.Fraction() * (load_.cancel + load_.retry + load_.read);
  const std::string id = book_->AnyId(random);
  if (id.empty() || draw >= load_.cancel + load_.retry) {
    Read();
  } else if (draw < load_.cancel) {
    v1::CancelJobsRequest request;
    request.add_ids(id);
    caller_.Call<queue::CancelCall>(std::move(request), kTimeout,
                                    [this](const auto& outcome) { Seen(outcome); });
  } else {
    v1::RetryJobsRequest request;
    request.add_ids(id);
    caller_.Call<queue::RetryCall>(std::move(request), kTimeout,
                                   [this](const auto& outcome) { Seen(outcome); });
  }
}

void Operator::Read() {
  Random& random = caller_.random();
  const std::string id = book_->AnyId(random);
  switch (random.Below(3)) {
    case 0:
      if (!id.empty()) {
        v1::GetJobRequest request;
        request.set_id(id);
        caller_.Call<queue::GetCall>(std::move(request), kTimeout,
                                     [this](const auto& outcome) { Seen(outcome); });
        return;
      }
      [[fallthrough]];
    case 1: {
      v1::ListJobsRequest request;
      if (random.Chance(0.5)) {
        request.set_queue(QueueName(random.Below(static_cast<uint64_t>(load_.queues))));
      }
      if (random.Chance(0.5)) request.set_state(static_cast<v1::JobState>(random.Between(1, 6)));
      request.set_page_size(static_cast<int>(random.Between(1, 50)));
      caller_.Call<queue::ListCall>(std::move(request), kTimeout,
                                    [this](const auto& outcome) { Seen(outcome); });
      return;
    }
    default:
      caller_.Call<queue::StatsCall>(v1::GetStatsRequest(), kTimeout,
                                     [this](const auto& outcome) { Seen(outcome); });
  }
}

}  // namespace dqueue::sim
