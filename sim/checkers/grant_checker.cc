#include "sim/checkers/grant_checker.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "google/protobuf/util/time_util.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

using google::protobuf::util::TimeUtil;

std::string Show(queue::LeaseToken token) {
  return std::to_string(token.term) + "." + std::to_string(token.sequence);
}
// A sort key: the job with the smallest key is delivered first.
std::tuple<int64_t, int64_t, uint32_t> DeliveryOrder(const ModelJob& job,
                                                     const JobVersion& version) {
  return {-static_cast<int64_t>(job.priority), version.run_ms, job.slot};
}
bool Wants(const v1::LeaseJobsRequest& request, const ModelJob& job) {
  const bool queue = request.queues().empty()
                         ? job.queue == "default"
                         : std::find(request.queues().begin(), request.queues().end(), job.queue) !=
                               request.queues().end();
  const bool type =
      request.types().empty() ||
      std::find(request.types().begin(), request.types().end(), job.type) != request.types().end();
  return queue && type;
}

}  // namespace

std::vector<GrantChecker::Grant>& GrantChecker::GrantsOf(const ModelJob& job) {
  if (grants_.size() <= job.slot) grants_.resize(job.slot + 1);
  return grants_[job.slot];
}

const GrantChecker::Grant* GrantChecker::FindGrant(const ModelJob& job,
                                                   queue::LeaseToken token) const {
  if (grants_.size() <= job.slot) return nullptr;
  for (const Grant& grant : grants_[job.slot]) {
    if (grant.token == token) return &grant;
  }
  return nullptr;
}

GrantChecker::Grant* GrantChecker::FindGrant(const ModelJob& job, queue::LeaseToken token) {
  return const_cast<Grant*>(std::as_const(*this).FindGrant(job, token));
}

bool GrantChecker::MayBeSuperseded(const ModelJob& job, queue::LeaseToken token) const {
  if (const auto it = forged_.find(job.slot); it != forged_.end() && it->second > token) {
    return true;
  }
  if (grants_.size() <= job.slot) return false;
  const std::vector<Grant>& grants = grants_[job.slot];
  return std::any_of(grants.begin(), grants.end(),
                     [token](const Grant& grant) { return grant.token > token; });
}

bool GrantChecker::WasGranted(const ModelJob& job, queue::LeaseToken token) const {
  return FindGrant(job, token) != nullptr;
}

void GrantChecker::OnGrant(const SimNode& node, const std::string& id, queue::LeaseToken token) {
  const raft::Index applied = node.node().state().applied_index();
  const JobModel& model = world_->jobs();
  const ModelJob* job = model.FindAt(id, applied);
  if (job == nullptr)
    Violate("J2 phantom", node.name() + " grants " + id + ", which does not exist");
  world_->Note({.kind = TraceKind::kGrant,
                .node = static_cast<uint8_t>(node.number()),
                .a = job->number,
                .b = token.term,
                .c = token.sequence});
  if (FindGrant(*job, token) != nullptr) return;  // reported again
  touched_[{node.number(), id}] = node.boots();
  const raft::Term term = node.node().raft().status().term;
  if (token.term != term.value()) {
    Violate("J5 tokens", node.name() + " grants " + Show(*job) + " with token " + Show(token) +
                             " in term " + std::to_string(term.value()));
  }
  const JobVersion& version = *job->At(applied);
  if (version.state != v1::JOB_STATE_READY) {
    Violate("J3 delivery", node.name() + " grants " + Show(*job) + ", which is " +
                               v1::JobState_Name(version.state) + " at index " +
                               std::to_string(applied.value()));
  }
  if (model.queues().at(job->queue).At(applied).paused) {
    Violate("J25 pause", node.name() + " grants " + Show(*job) + " of queue " + job->queue +
                             ", which is paused at index " + std::to_string(applied.value()));
  }
  std::vector<Grant>& grants = GrantsOf(*job);
  for (const Grant& earlier : grants) {
    if (earlier.token.term != token.term) continue;
    if (earlier.token > token) {
      Violate("J5 tokens", node.name() + " grants " + Show(*job) + " with token " + Show(token) +
                               " after " + Show(earlier.token));
    }
    const bool ended = model.Ended(*job, earlier.token, LeaseEnd::kFailed, applied) ||
                       model.Ended(*job, earlier.token, LeaseEnd::kExpired, applied);
    const bool revived = std::any_of(job->past.begin(), job->past.end(), [&](const JobVersion& v) {
      return v.index > earlier.applied && v.index <= applied && v.state != v1::JOB_STATE_READY &&
             v.state != v1::JOB_STATE_SCHEDULED;
    });
    if (!ended && !revived && !earlier.release_arrived) {
      Violate("J24 duplicate delivery", node.name() + " grants " + Show(*job) + " again (token " +
                                            Show(token) + ") while the lease " +
                                            Show(earlier.token) + " of worker " + earlier.worker +
                                            " has not ended");
    }
  }
  if (!grants.empty()) ++repeated_;
  ++granted_;
  Grant& grant = grants.emplace_back();
  grant.token = token;
  grant.node = node.number();
  grant.boot = node.boots();
  grant.at = world_->now();
  grant.applied = applied;
}

void GrantChecker::OnTokenArrives(const SimNode& node, const std::string& id,
                                  queue::LeaseToken token) {
  touched_[{node.number(), id}] = node.boots();
  const ModelJob* job = world_->jobs().Find(id);
  if (job == nullptr || WasGranted(*job, token)) return;
  queue::LeaseToken& highest = forged_[job->slot];
  highest = std::max(highest, token);
}

void GrantChecker::OnReleaseArrives(const SimNode& node, const std::string& id,
                                    queue::LeaseToken token) {
  OnTokenArrives(node, id, token);
  const ModelJob* job = world_->jobs().Find(id);
  if (job == nullptr) return;
  if (Grant* grant = FindGrant(*job, token)) grant->release_arrived = true;
}

void GrantChecker::OnDeleteArrives(const SimNode& node, const std::string& id) {
  touched_[{node.number(), id}] = node.boots();
}

void GrantChecker::OnPurgeArrives(const SimNode& node, const std::string& queue) {
  Purges& purges = purges_[{node.number(), queue}];
  if (purges.boot != node.boots()) purges = {.boot = node.boots()};
  ++purges.open;
}

void GrantChecker::OnPurgeAnswered(const SimNode& node, const std::string& queue) {
  Purges& purges = purges_[{node.number(), queue}];
  --purges.open;
  purges.closed = world_->now();
}

void GrantChecker::OnDeleted(raft::Term term, const ModelJob& job) const {
  if (grants_.size() <= job.slot) return;
  const JobModel& model = world_->jobs();
  const raft::Index by = model.applied();
  for (const Grant& grant : grants_[job.slot]) {
    if (grant.token.term != term.value() || grant.release_arrived) continue;
    const bool ended = model.Ended(job, grant.token, LeaseEnd::kFailed, by) ||
                       model.Ended(job, grant.token, LeaseEnd::kExpired, by) ||
                       model.Ended(job, grant.token, LeaseEnd::kCompleted, by);
    const bool left = std::any_of(job.past.begin(), job.past.end(), [&](const JobVersion& v) {
      return v.index > grant.applied && v.state != v1::JOB_STATE_READY;
    });
    if (ended || left) continue;
    Violate("J26 delete", "the leader of term " + std::to_string(term.value()) + " deletes " +
                              Show(job) + " while the lease " + Show(grant.token) + " of worker " +
                              grant.worker + " has not ended");
  }
}

bool GrantChecker::CertainlyReady(const SimNode& node, const ModelJob& job, raft::Index since,
                                  Time from) const {
  const JobVersion* version = job.At(node.node().state().applied_index());
  if (version == nullptr || version->gone || version->state != v1::JOB_STATE_READY) return false;
  if (version->index > since) return false;
  const QueueVersion queue =
      world_->jobs().queues().at(job.queue).At(node.node().state().applied_index());
  if (queue.paused || queue.index > since) return false;
  const auto purges = purges_.find({node.number(), job.queue});
  if (purges != purges_.end() && purges->second.boot == node.boots() &&
      (purges->second.open > 0 || purges->second.closed > from)) {
    return false;
  }
  const auto it = touched_.find({node.number(), job.id});
  return it == touched_.end() || it->second != node.boots();
}

void GrantChecker::OnLeaseAnswer(const ServerCall& call, const v1::LeaseJobsRequest& request,
                                 const v1::LeaseJobsResponse& response) {
  const SimNode& node = world_->node(call.node);
  const raft::Index applied = node.node().state().applied_index();
  const std::string who = node.name() + " answers worker " + request.worker_id() + " with ";
  if (response.jobs_size() > request.max_jobs()) {
    Violate("J4 leases", who + "more jobs than it asked for");
  }
  bool all_fresh = true;
  std::set<uint32_t> seen;
  for (const v1::Job& given : response.jobs()) {
    const ModelJob* job = world_->jobs().FindAt(given.id(), applied);
    if (job == nullptr) Violate("J2 phantom", who + given.id() + ", which does not exist");
    const queue::LeaseToken token{given.lease().token().term(), given.lease().token().sequence()};
    Grant* grant = FindGrant(*job, token);
    if (grant == nullptr || grant->node != call.node || grant->boot != call.boot ||
        given.lease().token().job() != job->sequence()) {
      Violate("J4 leases", who + Show(*job) + ", token " + Show(token) + ", without a lease");
    }
    if (!seen.insert(job->slot).second) Violate("J4 leases", who + Show(*job) + " twice");
    if (!Wants(request, *job)) Violate("J4 leases", who + Show(*job) + " of another queue or type");
    if (given.payload() != job->payload) {
      Violate("J2 payload", who + Show(*job) + " with another payload than was enqueued");
    }
    const JobVersion& version = *job->At(applied);
    if (given.counters().failed() != static_cast<int>(version.failed) ||
        given.counters().expired() != static_cast<int>(version.expired) ||
        given.counters().delivered() != static_cast<int>(version.delivered)) {
      Violate("J8 counters", who + Show(*job) + " with wrong counters");
    }
    const bool fresh = grant->worker.empty();
    if (fresh) {
      grant->worker = request.worker_id();
      grant->request_id = request.lease_request_id();
      for (const Grant& other : GrantsOf(*job)) {
        if (other.token > token && other.at < call.arrived) {
          Violate("J5 tokens", who + Show(*job) + ", token " + Show(token) + ", though " +
                                   Show(other.token) + " was granted before the call");
        }
      }
    } else {
      all_fresh = false;
      if (request.lease_request_id().empty() || request.lease_request_id() != grant->request_id ||
          request.worker_id() != grant->worker) {
        Violate("J4 leases", who + Show(*job) + ", which worker " + grant->worker + " holds");
      }
    }
    const Duration remaining(TimeUtil::DurationToMicroseconds(given.lease().remaining()));
    Duration lease = node.options().broker.lease_timeout;
    if (job->lease_duration_ms > 0) lease = std::chrono::milliseconds(job->lease_duration_ms);
    if (request.has_lease_duration()) {
      lease = Duration(TimeUtil::DurationToMicroseconds(request.lease_duration()));
    }
    if (fresh && remaining != lease) {
      Violate("J11 lease length", who + Show(*job) + " for " + std::to_string(remaining.count()) +
                                      " us instead of " + std::to_string(lease.count()));
    }
    if (fresh) {
      grant->holder = call.node;
      grant->holder_boot = call.boot;
      grant->holder_term = raft::Term(token.term);
      grant->until = node.LocalNow() + remaining;
    }
  }
  if (all_fresh) CheckOrder(node, call, request, response);
}

void GrantChecker::CheckOrder(const SimNode& node, const ServerCall& call,
                              const v1::LeaseJobsRequest& request,
                              const v1::LeaseJobsResponse& response) {
  const raft::Index applied = node.node().state().applied_index();
  const JobModel& model = world_->jobs();
  if (response.jobs().empty()) {
    if (call.cancelled) return;
    for (const uint32_t slot : model.live()) {
      const ModelJob& job = model.jobs()[slot];
      if (Wants(request, job) && CertainlyReady(node, job, call.required, call.arrived)) {
        Violate("J12 starvation", node.name() + " has nothing for worker " + request.worker_id() +
                                      ", but " + Show(job) + " has been ready all the time");
      }
    }
    return;
  }
  const ModelJob* worst = nullptr;
  std::set<uint32_t> given;
  for (const v1::Job& job : response.jobs()) {
    const ModelJob* found = model.FindAt(job.id(), applied);
    given.insert(found->slot);
    if (worst == nullptr ||
        DeliveryOrder(*found, *found->At(applied)) > DeliveryOrder(*worst, *worst->At(applied))) {
      worst = found;
    }
  }
  for (const uint32_t slot : model.live()) {
    const ModelJob& job = model.jobs()[slot];
    if (given.contains(slot) || !Wants(request, job) ||
        !CertainlyReady(node, job, applied, Time::max())) {
      continue;
    }
    if (DeliveryOrder(job, *job.At(applied)) < DeliveryOrder(*worst, *worst->At(applied))) {
      Violate("J15 order", node.name() + " gives worker " + request.worker_id() + " " +
                               Show(*worst) + " before " + Show(job));
    }
  }
}

void GrantChecker::OnExtended(const ServerCall& call, const ModelJob& job, queue::LeaseToken token,
                              Duration lease) {
  const SimNode& node = world_->node(call.node);
  const raft::Term term = node.node().raft().status().term;
  if (token.term > term.value()) {
    Violate("J6 fencing", node.name() + " extends " + Show(job) + " by the token " + Show(token) +
                              ", whose term is later than its own");
  }
  Grant* grant = FindGrant(job, token);
  if (grant == nullptr) {
    if (token.term == term.value()) {
      Violate("J6 fencing", node.name() + " extends " + Show(job) + " by the token " + Show(token) +
                                ", which was never granted");
    }
    return;
  }
  for (const Grant& other : GrantsOf(job)) {
    if (other.token > token && other.token.term == term.value() && other.at < call.arrived) {
      Violate("J6 fencing", node.name() + " extends " + Show(job) + " by " + Show(token) +
                                " after it had granted " + Show(other.token));
    }
  }
  // Extensions take effect in the order of arrival. Their answers may be reordered.
  if (call.arrived < grant->extended) return;
  grant->extended = call.arrived;
  grant->until = call.local_arrived + lease;
  grant->holder = call.node;
  grant->holder_boot = call.boot;
  grant->holder_term = term;
}

void GrantChecker::OnExtensionArrives(const SimNode& node, const std::string& id,
                                      queue::LeaseToken token, Duration lease) {
  OnTokenArrives(node, id, token);
  const ModelJob* job = world_->jobs().Find(id);
  if (job == nullptr) return;
  // An extension can shorten the lease, even if its answer is an error.
  if (Grant* grant = FindGrant(*job, token)) {
    if (grant->holder == node.number() && grant->holder_boot == node.boots()) {
      grant->until = std::min(grant->until, node.LocalNow() + lease);
    }
  }
}

void GrantChecker::OnEnded(raft::Term term, const ModelJob& job, queue::LeaseToken token,
                           bool expired) {
  const Grant* grant = FindGrant(job, token);
  if (grant == nullptr) {
    // A leader does not know the grants of earlier leaders.
    if (token.term == term.value()) {
      Violate("J6 fencing", "the log ends a lease of " + Show(job) + " with token " + Show(token) +
                                ", which was never granted");
    }
    return;
  }
  for (const Grant& other : GrantsOf(job)) {
    if (other.token > token && other.token.term == term.value()) {
      Violate("J6 fencing", "the leader of term " + std::to_string(term.value()) +
                                " ends the lease " + Show(token) + " of " + Show(job) +
                                " after it had granted " + Show(other.token));
    }
  }
  if (!expired || grant->holder_term != term || grant->holder == 0) return;
  const SimNode& holder = world_->node(grant->holder);
  if (!holder.up() || holder.boots() != grant->holder_boot) return;
  if (holder.LocalNow() < grant->until) {
    Violate("J11 early expiry", "the lease " + Show(token) + " of " + Show(job) + " expires " +
                                    std::to_string((grant->until - holder.LocalNow()).count()) +
                                    " us early");
  }
}

bool GrantChecker::CertainlyHeld(const ServerCall& call, const ModelJob& job,
                                 queue::LeaseToken token) const {
  const SimNode& node = world_->node(call.node);
  const Grant* grant = FindGrant(job, token);
  if (grant == nullptr || grant->worker.empty() || grant->release_arrived) return false;
  if (grant->at >= call.arrived) return false;
  if (job.last_token >= token) return false;
  // A client with a greater token may have used it, at this node or at another.
  if (MayBeSuperseded(job, token)) return false;
  // A job that died or was cancelled, and was then retried, has no lease.
  for (const JobVersion& version : job.past) {
    if (version.index > grant->applied && version.state != v1::JOB_STATE_READY) return false;
  }
  return grant->holder == node.number() && grant->holder_boot == node.boots() &&
         grant->holder_term == node.node().raft().status().term && node.LocalNow() < grant->until;
}

}  // namespace dqueue::sim
