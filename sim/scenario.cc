#include "sim/scenario.h"

#include "queue/api/proto_time.h"

namespace dqueue::sim {
namespace {

// The result of the first item of an answer.
template <class Response>
std::string FirstReason(const std::optional<queue::Outcome<Response>>& outcome) {
  if (!outcome) return "UNKNOWN";
  if (!outcome->ok()) return outcome->error.reason;
  const google::rpc::Status& status = outcome->value.results(0);
  return status.code() == 0 ? "OK" : ReasonOf(status);
}

template <class Request>
Request ItemRequest(const v1::Job& job) {
  Request request;
  request.set_worker_id(job.lease().worker_id());
  auto* item = request.add_items();
  item->set_id(job.id());
  *item->mutable_token() = job.lease().token();
  return request;
}

}  // namespace

Profile QuietProfile(int nodes) {
  Profile profile;
  profile.name = "script";
  profile.nodes = nodes;
  profile.node = SmallNodeOptions();
  profile.network.drop_in_flight = 1;
  profile.durability_check = 0.2;
  return profile;
}

Scenario::Scenario(const Profile& profile, uint64_t seed)
    : world(seed, profile), client(&world, 1) {}

int Scenario::WaitForLeader(Duration limit) {
  world.RunUntil([this] { return world.Leader() != 0; }, limit);
  return world.Leader();
}

int Scenario::WaitForOtherLeader(int than, Duration limit) {
  world.RunUntil([this, than] { return world.Leader() != 0 && world.Leader() != than; }, limit);
  return world.Leader();
}

bool Scenario::WaitUntilAllApplied(Duration limit) {
  return world.RunUntil(
      [this] {
        for (int i = 1; i <= world.size(); ++i) {
          const SimNode& node = world.node(i);
          if (!node.up()) continue;
          if (node.node().state().applied_index() != world.ledger().last()) return false;
        }
        return world.Leader() != 0;
      },
      limit);
}

v1::EnqueueJobsRequest Scenario::EnqueueRequest(const std::string& id) {
  v1::EnqueueJobsRequest request;
  v1::JobSpec* job = request.add_jobs();
  job->set_id(id);
  job->set_payload(std::to_string(next_number_++) + ":payload");
  return request;
}

std::string Scenario::Enqueue(int node, const std::string& id, Duration timeout) {
  const auto outcome = CallAndWait<queue::EnqueueCall>(node, EnqueueRequest(id), timeout);
  if (!outcome) return "UNKNOWN";
  if (!outcome->ok()) return outcome->error.reason;
  const auto& result = outcome->value.results(0);
  if (result.error().code() != 0) return ReasonOf(result.error());
  return result.created() ? "OK" : "EXISTS";
}

std::vector<v1::Job> Scenario::Lease(int node, const std::string& worker, int max, Duration wait,
                                     Duration lease, std::string* reason) {
  v1::LeaseJobsRequest request;
  request.set_worker_id(worker);
  request.set_max_jobs(max);
  queue::SetTime(wait, request.mutable_wait());
  queue::SetTime(lease, request.mutable_lease_duration());
  const auto outcome = CallAndWait<queue::LeaseCall>(node, std::move(request), wait + 2s);
  if (reason != nullptr) {
    *reason = !outcome ? "UNKNOWN" : outcome->ok() ? "OK" : outcome->error.reason;
  }
  if (!outcome || !outcome->ok()) return {};
  return {outcome->value.jobs().begin(), outcome->value.jobs().end()};
}

std::string Scenario::Complete(int node, const v1::Job& job, Duration timeout) {
  return FirstReason(
      CallAndWait<queue::CompleteCall>(node, ItemRequest<v1::CompleteJobsRequest>(job), timeout));
}

std::string Scenario::Extend(int node, const v1::Job& job, Duration lease) {
  auto request = ItemRequest<v1::ExtendLeasesRequest>(job);
  queue::SetTime(lease, request.mutable_lease_duration());
  return FirstReason(CallAndWait<queue::ExtendCall>(node, std::move(request)));
}

std::string Scenario::Release(int node, const v1::Job& job) {
  return FirstReason(
      CallAndWait<queue::ReleaseCall>(node, ItemRequest<v1::ReleaseJobsRequest>(job)));
}

v1::JobState Scenario::StateOf(int node, const std::string& id) {
  v1::GetJobRequest request;
  request.set_id(id);
  const auto outcome = CallAndWait<queue::GetCall>(node, std::move(request));
  return outcome && outcome->ok() ? outcome->value.job().state() : v1::JOB_STATE_UNSPECIFIED;
}

}  // namespace dqueue::sim
