// Costs of one job on the leader's loop, without raft, disk and network: broker and state machine,
// in calls of 64 items.
#include <chrono>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "queue/broker/broker.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {
namespace {

constexpr int kItems = 64;
constexpr int64_t kWallMs = 1'700'000'000'000;

class Loop {
 public:
  Loop() : broker_(BrokerOptions(), &state_, 1) { broker_.BecomeLeader(now_, raft::Term(1)); }

  template <class C>
  typename C::ResponseType Call(typename C::RequestType request) {
    C call;
    call.request = std::move(request);
    typename C::ResponseType response;
    call.done = [&response](Outcome<typename C::ResponseType> outcome) {
      if (outcome.ok()) response = std::move(outcome.value);
    };
    broker_.Submit(now_, kWallMs, std::move(call));
    while (auto batch = broker_.TakeBatch(now_, kWallMs)) {
      raft::ProposalOutcome outcome;
      outcome.id = batch->id;
      outcome.kind = raft::ProposalOutcome::Kind::kCommitted;
      broker_.OnProposal(outcome);
      const auto start = std::chrono::steady_clock::now();
      state_.Apply(raft::Index(++index_), *batch->payload, &effects_);
      apply_ += std::chrono::steady_clock::now() - start;
      broker_.OnApplied(now_, batch->id, effects_);
    }
    if (broker_.WantsConfirmation()) {
      const uint64_t id = broker_.BeginConfirmation();
      broker_.OnConfirmation(now_, kWallMs, {id, true, raft::Index(index_)});
    }
    return response;
  }

  static v1::EnqueueJobsRequest EnqueueRequest() {
    v1::EnqueueJobsRequest request;
    for (int i = 0; i < kItems; ++i) {
      v1::JobSpec* job = request.add_jobs();
      job->set_queue("benchmark");
      job->set_type("work");
      job->set_payload(std::string(256, 'x'));
    }
    return request;
  }
  static v1::LeaseJobsRequest LeaseRequest() {
    v1::LeaseJobsRequest request;
    request.set_worker_id("worker-1");
    request.add_queues("benchmark");
    request.set_max_jobs(kItems);
    return request;
  }
  static v1::CompleteJobsRequest CompleteRequest(const v1::LeaseJobsResponse& leased) {
    v1::CompleteJobsRequest request;
    for (const v1::Job& job : leased.jobs()) {
      auto* item = request.add_items();
      item->set_id(job.id());
      *item->mutable_token() = job.lease().token();
    }
    return request;
  }
  double apply_seconds() const { return std::chrono::duration<double>(apply_).count(); }

 private:
  StateMachine state_;
  Time now_{std::chrono::hours(1)};
  uint64_t index_ = 0;
  Effects effects_;
  std::chrono::steady_clock::duration apply_{};
  Broker broker_;
};

// Enqueue, lease, complete. "apply" is the part of the state machine's commands.
void BM_WholeLife(benchmark::State& state) {
  Loop loop;
  for (auto _ : state) {
    loop.Call<EnqueueCall>(Loop::EnqueueRequest());
    const auto leased = loop.Call<LeaseCall>(Loop::LeaseRequest());
    loop.Call<CompleteCall>(Loop::CompleteRequest(leased));
  }
  state.SetItemsProcessed(state.iterations() * kItems);
  state.counters["apply_us_per_job"] =
      loop.apply_seconds() * 1e6 / (static_cast<double>(state.iterations()) * kItems);
}
BENCHMARK(BM_WholeLife);

void BM_Enqueue(benchmark::State& state) {
  Loop loop;
  for (auto _ : state) loop.Call<EnqueueCall>(Loop::EnqueueRequest());
  state.SetItemsProcessed(state.iterations() * kItems);
  state.counters["apply_us_per_job"] =
      loop.apply_seconds() * 1e6 / (static_cast<double>(state.iterations()) * kItems);
}
BENCHMARK(BM_Enqueue)->Iterations(3000);

}  // namespace
}  // namespace dqueue::queue
