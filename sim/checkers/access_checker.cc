#include "sim/checkers/access_checker.h"

#include <algorithm>
#include <vector>

#include "queue/api/error_status.h"
#include "queue/broker/refusals.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

constexpr char kRule[] = "J29 access";

bool Denied(const ServerCall& call, const std::string& queue) {
  return !queue::Allows(call.access, queue);
}

}  // namespace

std::string AccessChecker::EmptyIfAllowed(const queue::QueueAccessPtr& access,
                                          const std::string& queue) {
  return queue::Allows(access, queue) ? "" : queue;
}

std::string AccessChecker::Describe(const ServerCall& call) const {
  return world_->node(call.node).name() + " and client " + std::to_string(call.client);
}

void AccessChecker::CheckDenial(const ServerCall& call, const std::string& denied, bool ok,
                                const std::string& reason) const {
  if (!denied.empty() && ok) {
    Violate(kRule, Describe(call) + ": a call that names the denied queue " + denied + " succeeds");
  }
  if (denied.empty() && reason == "QUEUE_DENIED") {
    Violate(kRule, Describe(call) + ": a call that names no denied queue is denied");
  }
}

void AccessChecker::CheckItem(const ServerCall& call, const std::string& id, uint64_t job_sequence,
                              const google::rpc::Status& status) const {
  const JobModel& model = world_->jobs();
  const std::vector<const ModelJob*> jobs = model.FindAll(id);
  const bool all_denied =
      !jobs.empty() && std::all_of(jobs.begin(), jobs.end(),
                                   [&](const ModelJob* job) { return Denied(call, job->queue); });
  const ModelJob* const meant = job_sequence == 0 ? nullptr : model.FindSequence(id, job_sequence);
  if (status.code() == 0) {
    if (all_denied || (meant != nullptr && Denied(call, meant->queue))) {
      Violate(kRule, Describe(call) + ": job " + id + " of a denied queue was changed");
    }
    return;
  }
  if (!all_denied) return;
  const google::rpc::Status unknown = queue::ToRpcStatus(queue::JobNotFoundError(id));
  if (ReasonOf(status) != "INVALID_FIELD" &&
      status.SerializeAsString() != unknown.SerializeAsString()) {
    Violate(kRule, Describe(call) + ": job " + id +
                       " of a denied queue is revealed by: " + status.ShortDebugString());
  }
}

void AccessChecker::CheckShown(const ServerCall& call, const v1::Job& job) const {
  if (Denied(call, job.queue())) {
    Violate(kRule, Describe(call) + ": job " + job.id() + " of queue " + job.queue() + " is shown");
  }
}

void AccessChecker::CheckCounted(const ServerCall& call, const v1::GetStatsResponse& stats) const {
  v1::QueueStats sum;
  for (const v1::QueueStats& queue : stats.queues()) {
    if (Denied(call, queue.queue())) {
      Violate(kRule, Describe(call) + ": queue " + queue.queue() + " is counted");
    }
    sum.set_enqueued(sum.enqueued() + queue.enqueued());
    sum.set_ready(sum.ready() + queue.ready());
    sum.set_leased(sum.leased() + queue.leased());
    sum.set_purged(sum.purged() + queue.purged());
    sum.set_completions(sum.completions() + queue.completions());
  }
  const v1::QueueStats& total = stats.total();
  if (sum.enqueued() != total.enqueued() || sum.ready() != total.ready() ||
      sum.leased() != total.leased() || sum.purged() != total.purged() ||
      sum.completions() != total.completions()) {
    Violate(kRule, Describe(call) + ": the total counts more than the queues that are shown: " +
                       total.ShortDebugString());
  }
}

}  // namespace dqueue::sim
