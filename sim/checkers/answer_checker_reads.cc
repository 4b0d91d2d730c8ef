// AnswerChecker: checks the answers of reads against the model at the index of the read.
#include <algorithm>
#include <string>

#include "queue/state/attempts.h"
#include "sim/checkers/answer_checker.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

int64_t ToMs(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1000 + time.nanos() / 1'000'000;
}

}  // namespace

void AnswerChecker::CheckJob(const SimNode& node, const v1::Job& job, raft::Index applied,
                             const char* how) {
  const ModelJob* expected = world_->jobs().FindAt(job.id(), applied);
  if (expected == nullptr) Violate("J2 phantom", std::string(how) + " shows " + job.id());
  const JobVersion& version = *expected->At(applied);
  const v1::JobState state =
      job.state() == v1::JOB_STATE_LEASED ? v1::JOB_STATE_READY : job.state();
  const bool same = state == version.state && job.queue() == expected->queue &&
                    job.type() == expected->type &&
                    job.priority() == static_cast<int>(expected->priority) &&
                    job.counters().failed() == static_cast<int>(version.failed) &&
                    job.counters().expired() == static_cast<int>(version.expired) &&
                    job.counters().delivered() == static_cast<int>(version.delivered) &&
                    ToMs(job.run_time()) == version.run_ms;
  if (!same) {
    Violate("J10 state of a job",
            std::string(how) + " of " + node.name() + " at index " +
                std::to_string(applied.value()) + " shows " + Show(*expected) + " as " +
                job.ShortDebugString() + ", expected " + v1::JobState_Name(version.state) +
                " delivered " + std::to_string(version.delivered) + " failed " +
                std::to_string(version.failed) + " expired " + std::to_string(version.expired) +
                " run " + std::to_string(version.run_ms));
  }
}

void AnswerChecker::CheckAttempts(const SimNode& node, const v1::Job& job, raft::Index applied,
                                  const char* how) const {
  const ModelJob& expected = *world_->jobs().FindAt(job.id(), applied);
  const auto violate = [&](const std::string& what) {
    Violate("J30 attempts", std::string(how) + " of " + node.name() + " at index " +
                                std::to_string(applied.value()) + " shows " + Show(expected) +
                                " as " + job.ShortDebugString() + ": " + what);
  };
  std::vector<const ModelAttempt*> attempts;
  for (const ModelAttempt& attempt : expected.attempts) {
    if (attempt.index <= applied) attempts.push_back(&attempt);
  }
  // Each delivery in the log either was completed or is listed as an attempt.
  const size_t completed = job.state() == v1::JOB_STATE_SUCCEEDED ? 1 : 0;
  const auto delivered = static_cast<size_t>(job.counters().delivered());
  if (attempts.size() > delivered || attempts.size() + completed < delivered) {
    violate(std::to_string(attempts.size()) + " attempts do not agree with its counters");
  }
  if (attempts.size() > queue::kAttemptsMax) {
    attempts.erase(attempts.begin(), attempts.end() - queue::kAttemptsMax);
  }
  if (job.attempts_size() != static_cast<int>(attempts.size())) {
    violate("expected " + std::to_string(attempts.size()) + " attempts");
  }
  for (size_t i = 0; i < attempts.size(); ++i) {
    const v1::Attempt& shown = job.attempts(static_cast<int>(i));
    const ModelAttempt& attempt = *attempts[i];
    const bool same = shown.number() == static_cast<int>(attempt.number) &&
                      shown.end() == attempt.end && ToMs(shown.end_time()) == attempt.end_ms &&
                      shown.worker_id() == attempt.worker && shown.error() == attempt.error &&
                      shown.has_held() == (attempt.held_ms >= 0);
    if (!same) violate("attempt " + std::to_string(attempt.number) + " is another");
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::GroupDeadJobsRequest& request,
                             const v1::GroupDeadJobsResponse& response) {
  const raft::Index applied = FreshIndex(call);
  const std::string& node = world_->node(call.node).name();
  int64_t shown = 0;
  for (const auto& group : response.groups()) {
    shown += group.jobs();
    for (const std::string& id : group.sample_ids()) {
      const std::vector<const ModelJob*> jobs = world_->jobs().FindAll(id);
      const bool fits = std::any_of(jobs.begin(), jobs.end(), [&](const ModelJob* job) {
        return job->queue == group.queue() && job->type == group.type();
      });
      if (!fits) Violate("J31 groups", node + " shows " + id + " in another queue or type");
    }
  }
  // Jobs change while the call scans them. Jobs that were dead during the whole call must be
  // counted. Jobs that were dead at some time during the call may be counted.
  int64_t always = 0;
  int64_t ever = 0;
  for (const ModelJob& job : world_->jobs().jobs()) {
    if (!request.queue().empty() && job.queue != request.queue()) continue;
    if (!request.type().empty() && job.type != request.type()) continue;
    const auto is_dead = [](const JobVersion& v) {
      return v.state == v1::JOB_STATE_DEAD && !v.gone;
    };
    const JobVersion* before = job.At(call.required);
    bool once = before != nullptr && is_dead(*before);
    const JobVersion* now = job.At(applied);
    if (once && now->index <= call.required) ++always;
    for (const JobVersion& v : job.past) {
      once = once || (v.index > call.required && v.index <= applied && is_dead(v));
    }
    if (once) ++ever;
  }
  if (shown > ever || (!response.more() && shown < always)) {
    Violate("J31 groups", node + " has " + std::to_string(shown) + " dead jobs in groups; " +
                              std::to_string(always) + " were dead all the time, " +
                              std::to_string(ever) + " at any time");
  }
}

void AnswerChecker::Answered(const ServerCall&, const v1::ListWorkersRequest&,
                             const v1::ListWorkersResponse& response) {
  for (int i = 1; i < response.workers_size(); ++i) {
    if (response.workers(i - 1).id() >= response.workers(i).id()) {
      Violate("answers", "ListWorkers is not ordered by id");
    }
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::GetJobRequest& request,
                             const v1::GetJobResponse& response) {
  const raft::Index applied = FreshIndex(call);
  if (response.job().id() != request.id()) Violate("answers", "GetJob shows another job");
  CheckJob(world_->node(call.node), response.job(), applied, "GetJob");
  CheckAttempts(world_->node(call.node), response.job(), applied, "GetJob");
  const ModelJob* job = world_->jobs().FindAt(request.id(), applied);
  if (response.job().payload() != job->payload) Violate("J2 payload", Show(*job));
}

void AnswerChecker::Refused(const ServerCall& call, const v1::GetJobRequest& request,
                            const queue::Error& error) {
  CheckReason(error.reason);
  if (error.reason != "JOB_NOT_FOUND") return;
  const raft::Index applied = FreshIndex(call);
  const ModelJob* job = world_->jobs().FindAt(request.id(), applied);
  if (job != nullptr && queue::Allows(call.access, job->queue)) {
    Violate("J1 acknowledged enqueue",
            Show(*job) + " is not found at index " + std::to_string(applied.value()));
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::ListJobsRequest& request,
                             const v1::ListJobsResponse& response) {
  const raft::Index applied = FreshIndex(call);
  for (const v1::Job& job : response.jobs()) {
    CheckJob(world_->node(call.node), job, applied, "ListJobs");
    if (!request.queue().empty() && job.queue() != request.queue()) {
      Violate("answers", "ListJobs shows a job of another queue");
    }
    if (request.state() != v1::JOB_STATE_UNSPECIFIED && job.state() != request.state()) {
      Violate("answers", "ListJobs shows a job of another state");
    }
  }
}

void AnswerChecker::CompareStats(const SimNode& node, const v1::QueueStats& stats,
                                 const ModelQueue& queue, const std::string& name) const {
  const auto jobs = [&queue](v1::JobState state) {
    const auto it = queue.jobs.find(state);
    return it == queue.jobs.end() ? uint64_t{0} : it->second;
  };
  const std::pair<const char*, std::pair<uint64_t, uint64_t>> counts[] = {
      {"scheduled", {stats.scheduled(), jobs(v1::JOB_STATE_SCHEDULED)}},
      {"ready", {stats.ready() + stats.leased(), jobs(v1::JOB_STATE_READY)}},
      {"succeeded", {stats.succeeded(), jobs(v1::JOB_STATE_SUCCEEDED)}},
      {"dead", {stats.dead(), jobs(v1::JOB_STATE_DEAD)}},
      {"cancelled", {stats.cancelled(), jobs(v1::JOB_STATE_CANCELLED)}},
      {"enqueued", {stats.enqueued(), queue.enqueued}},
      {"purged", {stats.purged(), queue.purged}},
      {"completions", {stats.completions(), queue.completions}},
      {"failures", {stats.failures(), queue.failures}},
      {"expirations", {stats.expirations(), queue.expirations}},
      {"deaths", {stats.deaths(), queue.deaths}},
      {"cancellations", {stats.cancellations(), queue.cancellations}},
      {"retries", {stats.retries(), queue.retries}},
  };
  for (const auto& [what, pair] : counts) {
    if (pair.first == pair.second) continue;
    Violate("J9 conservation", node.name() + " counts " + std::to_string(pair.first) + " " + what +
                                   " in " + name + ", expected " + std::to_string(pair.second));
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::GetStatsRequest&,
                             const v1::GetStatsResponse& response) {
  const raft::Index applied = FreshIndex(call);
  const v1::QueueStats& t = response.total();
  if (t.scheduled() + t.ready() + t.leased() + t.succeeded() + t.dead() + t.cancelled() +
          t.purged() !=
      t.enqueued()) {
    Violate("J9 conservation", "GetStats does not add up: " + t.ShortDebugString());
  }
  if (response.applied_index() != applied.value()) {
    Violate("answers", "GetStats has a wrong applied_index");
  }
}

}  // namespace dqueue::sim
