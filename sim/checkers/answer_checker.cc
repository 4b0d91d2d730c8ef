#include "sim/checkers/answer_checker.h"

#include <algorithm>
#include <string_view>

#include "google/protobuf/util/time_util.h"
#include "google/rpc/error_details.pb.h"
#include "queue/state/attempts.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kDefiniteReasons[] = {
    "NOT_LEADER",      "NO_LEADER",       "OVERLOADED",           "DISK_LOW",
    "MEMORY_LOW",      "INVALID_FIELD",   "LEASE_STALE",          "INVALID_STATE",
    "JOB_NOT_FOUND",   "DUPLICATE_JOB",   "IDEMPOTENCY_MISMATCH", "BATCH_REJECTED",
    "SHUTTING_DOWN",   "DEADLINE_PASSED", "PAYLOAD_TOO_LARGE",    "QUEUE_NOT_FOUND",
    "TOO_MANY_QUEUES", "QUEUE_PAUSED",    "QUEUE_DENIED",         "KEY_NOT_FOUND",
    "KEY_EXISTS",      "TOO_MANY_KEYS"};

queue::LeaseToken ToToken(const v1::LeaseToken& token) { return {token.term(), token.sequence()}; }

// The length of the lease after this extension.
Duration ExtensionOf(const v1::ExtendLeasesRequest& request, const node::Options& options) {
  if (!request.has_lease_duration()) return options.broker.lease_timeout;
  return Duration(TimeUtil::DurationToMicroseconds(request.lease_duration()));
}

}  // namespace

std::string ReasonOf(const google::rpc::Status& status) {
  google::rpc::ErrorInfo info;
  for (const google::protobuf::Any& detail : status.details()) {
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return "";
}

bool IsDefinite(const std::string& reason) {
  return std::find(std::begin(kDefiniteReasons), std::end(kDefiniteReasons), reason) !=
         std::end(kDefiniteReasons);
}

void AnswerChecker::CheckReason(const std::string& reason) const {
  if (reason != "COMMIT_UNKNOWN" && !IsDefinite(reason)) {
    Violate("errors", "unknown reason \"" + reason + "\"");
  }
}

raft::Index AnswerChecker::FreshIndex(const ServerCall& call) const {
  const SimNode& node = world_->node(call.node);
  const raft::Index applied = node.node().state().applied_index();
  if (applied < call.required) {
    Violate("J16 stale read",
            node.name() + " answers from index " + std::to_string(applied.value()) + ", but " +
                std::to_string(call.required.value()) + " had been applied when the call arrived");
  }
  return applied;
}

template <class Item>
bool AnswerChecker::IsDenied(const ServerCall& call, const Item& item) const {
  const ModelJob* job = world_->jobs().FindSequence(item.id(), item.token().job());
  return job != nullptr && !queue::Allows(call.access, job->queue);
}

// ---- Arrivals

void AnswerChecker::Arrive(const ServerCall&, const v1::EnqueueJobsRequest& request) {
  for (const v1::JobSpec& job : request.jobs()) ++open_enqueues_[JobNumberOf(job.payload())];
}

void AnswerChecker::Arrive(const ServerCall&, const v1::LeaseJobsRequest&) {}

void AnswerChecker::Arrive(const ServerCall& call, const v1::CompleteJobsRequest& request) {
  for (const auto& item : request.items()) {
    ++open_ends_[{item.id(), ToToken(item.token()), LeaseEnd::kCompleted}];
    if (IsDenied(call, item)) continue;
    world_->grants().OnTokenArrives(world_->node(call.node), item.id(), ToToken(item.token()));
  }
}

void AnswerChecker::Arrive(const ServerCall& call, const v1::FailJobsRequest& request) {
  for (const auto& item : request.items()) {
    ++open_ends_[{item.id(), ToToken(item.token()), LeaseEnd::kFailed}];
    if (IsDenied(call, item)) continue;
    world_->grants().OnTokenArrives(world_->node(call.node), item.id(), ToToken(item.token()));
  }
}

void AnswerChecker::Arrive(const ServerCall& call, const v1::ExtendLeasesRequest& request) {
  const SimNode& node = world_->node(call.node);
  for (const auto& item : request.items()) {
    if (IsDenied(call, item)) continue;
    world_->grants().OnExtensionArrives(node, item.id(), ToToken(item.token()),
                                        ExtensionOf(request, node.options()));
  }
}

void AnswerChecker::Arrive(const ServerCall& call, const v1::ReleaseJobsRequest& request) {
  for (const auto& item : request.items()) {
    if (IsDenied(call, item)) continue;
    world_->grants().OnReleaseArrives(world_->node(call.node), item.id(), ToToken(item.token()));
  }
}

void AnswerChecker::Arrive(const ServerCall&, const v1::CancelJobsRequest&) {}
void AnswerChecker::Arrive(const ServerCall&, const v1::RetryJobsRequest&) {}

void AnswerChecker::Arrive(const ServerCall& call, const v1::DeleteJobsRequest& request) {
  for (const std::string& id : request.ids()) {
    world_->grants().OnDeleteArrives(world_->node(call.node), id);
  }
}

void AnswerChecker::Arrive(const ServerCall& call, const v1::PurgeQueueRequest& request) {
  world_->grants().OnPurgeArrives(world_->node(call.node), request.queue());
}

void AnswerChecker::PurgeAnswered(const ServerCall& call, const v1::PurgeQueueRequest& request) {
  world_->grants().OnPurgeAnswered(world_->node(call.node), request.queue());
}

// ---- Enqueue

void AnswerChecker::Answered(const ServerCall& call, const v1::EnqueueJobsRequest& request,
                             const v1::EnqueueJobsResponse& response) {
  const raft::Index applied = world_->node(call.node).node().state().applied_index();
  if (response.results_size() != request.jobs_size()) {
    Violate("answers", "an enqueue of " + std::to_string(request.jobs_size()) + " jobs has " +
                           std::to_string(response.results_size()) + " results");
  }
  for (int i = 0; i < request.jobs_size(); ++i) {
    CheckEnqueueItem(call, request.jobs(i), response.results(i), applied);
  }
}

void AnswerChecker::CheckEnqueueItem(const ServerCall& call, const v1::JobSpec& spec,
                                     const v1::EnqueueJobsResponse::Result& result,
                                     raft::Index applied) {
  const uint64_t number = JobNumberOf(spec.payload());
  const JobModel& model = world_->jobs();
  if (result.has_error() && result.error().code() != 0) {
    const std::string reason = ReasonOf(result.error());
    CheckReason(reason);
    if (IsDefinite(reason)) --open_enqueues_[number];
    if (reason == "DUPLICATE_JOB") {
      const ModelJob* other = model.FindAt(spec.id(), applied);
      const ModelJob* newest = model.Find(spec.id());
      if (newest == nullptr || (other != nullptr && other->number == number)) {
        Violate("J7 idempotency", "a repeated enqueue of job j" + std::to_string(number) +
                                      " is refused as a duplicate of another job");
      }
    }
    return;
  }
  ++acknowledged_;
  // The job may already have been purged, but it must have existed.
  const ModelJob* job = model.FindInstance(result.id(), number, applied);
  if (job == nullptr) {
    Violate("J1 acknowledged enqueue",
            "job j" + std::to_string(number) + " was acknowledged as " + result.id() +
                ", but is not in the log; the job: " + spec.ShortDebugString());
  }
  if (!spec.id().empty() && spec.id() != result.id() && spec.idempotency_key().empty()) {
    Violate("answers", "job " + spec.id() + " was acknowledged as " + result.id());
  }
  if (result.created() && job->past.front().index <= call.required) {
    Violate("J7 idempotency", Show(*job) + " was there before the call that claims its creation");
  }
}

void AnswerChecker::Refused(const ServerCall&, const v1::EnqueueJobsRequest& request,
                            const queue::Error& error) {
  CheckReason(error.reason);
  if (!IsDefinite(error.reason)) return;
  for (const v1::JobSpec& job : request.jobs()) --open_enqueues_[JobNumberOf(job.payload())];
}

// ---- Leases

void AnswerChecker::Answered(const ServerCall& call, const v1::LeaseJobsRequest& request,
                             const v1::LeaseJobsResponse& response) {
  FreshIndex(call);
  world_->grants().OnLeaseAnswer(call, request, response);
}

void AnswerChecker::CheckLeaseEnd(const ServerCall& call, const std::string& id,
                                  const v1::LeaseToken& item_token, LeaseEnd end,
                                  const google::rpc::Status& status) {
  const SimNode& node = world_->node(call.node);
  const raft::Index applied = node.node().state().applied_index();
  const queue::LeaseToken token = ToToken(item_token);
  const JobModel& model = world_->jobs();
  const ModelJob* job = model.FindSequence(id, item_token.job());
  const char* what = end == LeaseEnd::kCompleted ? "completion" : "failure";
  const bool in_log = job != nullptr && model.Ended(*job, token, end, applied);
  if (status.code() == 0) {
    ++acknowledged_;
    if (!in_log) {
      Violate("J6 acknowledged " + std::string(what),
              node.name() + " acknowledges the " + what + " of " + id + " with token " +
                  std::to_string(token.term) + "." + std::to_string(token.sequence) +
                  ", which the log does not have");
    }
    return;
  }
  const std::string reason = ReasonOf(status);
  CheckReason(reason);
  if (!IsDefinite(reason)) return;
  // The error is about this call only. An earlier call with the same token may have had the effect.
  --open_ends_[{id, token, end}];
  if (job == nullptr || !queue::Allows(call.access, job->queue)) return;
  const JobVersion* version = job->At(applied);
  if (version == nullptr || version->gone) return;
  // The state keeps the end of a job's last lease only.
  const bool remembered = in_log && job->last_token == token && job->last_end == end &&
                          !world_->grants().MayBeSuperseded(*job, token);
  if (remembered && reason != "OVERLOADED" && reason != "NOT_LEADER" && reason != "NO_LEADER" &&
      reason != "SHUTTING_DOWN" && reason != "DEADLINE_PASSED" &&
      job->past.back().index <= call.required) {
    Violate("J6 repeated " + std::string(what), node.name() +
                                                    " refuses to repeat that the lease of " +
                                                    Show(*job) + " has ended: " + reason);
  }
  const bool over = version->state != v1::JOB_STATE_READY || version->index > call.required;
  if (reason == "LEASE_STALE" && !over && world_->grants().CertainlyHeld(call, *job, token)) {
    Violate("J4 leases",
            node.name() + " calls the lease of " + Show(*job) + " stale, but it has not ended");
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::CompleteJobsRequest& request,
                             const v1::CompleteJobsResponse& response) {
  for (int i = 0; i < request.items_size(); ++i) {
    CheckLeaseEnd(call, request.items(i).id(), request.items(i).token(), LeaseEnd::kCompleted,
                  response.results(i));
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::FailJobsRequest& request,
                             const v1::FailJobsResponse& response) {
  for (int i = 0; i < request.items_size(); ++i) {
    CheckLeaseEnd(call, request.items(i).id(), request.items(i).token(), LeaseEnd::kFailed,
                  response.results(i));
  }
}

void AnswerChecker::Refused(const ServerCall&, const v1::CompleteJobsRequest& request,
                            const queue::Error& error) {
  CheckReason(error.reason);
  if (!IsDefinite(error.reason)) return;
  for (const auto& item : request.items()) {
    --open_ends_[{item.id(), ToToken(item.token()), LeaseEnd::kCompleted}];
  }
}

void AnswerChecker::Refused(const ServerCall&, const v1::FailJobsRequest& request,
                            const queue::Error& error) {
  CheckReason(error.reason);
  if (!IsDefinite(error.reason)) return;
  for (const auto& item : request.items()) {
    --open_ends_[{item.id(), ToToken(item.token()), LeaseEnd::kFailed}];
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::ExtendLeasesRequest& request,
                             const v1::ExtendLeasesResponse& response) {
  const Duration lease = ExtensionOf(request, world_->node(call.node).options());
  for (int i = 0; i < request.items_size(); ++i) {
    const auto& item = request.items(i);
    if (response.results(i).code() == 0) {
      const ModelJob* job = world_->jobs().FindSequence(item.id(), item.token().job());
      if (job == nullptr) {
        Violate("J6 fencing", world_->node(call.node).name() + " extends a lease of " + item.id() +
                                  " by a token of another job");
      } else {
        world_->grants().OnExtended(call, *job, ToToken(item.token()), lease);
      }
    } else {
      CheckReason(ReasonOf(response.results(i)));
    }
  }
}

void AnswerChecker::Answered(const ServerCall&, const v1::ReleaseJobsRequest& request,
                             const v1::ReleaseJobsResponse& response) {
  for (int i = 0; i < request.items_size(); ++i) {
    if (response.results(i).code() != 0) CheckReason(ReasonOf(response.results(i)));
  }
}

// ---- Cancel and retry

void AnswerChecker::CheckCancelOrRetry(const ServerCall& call, const std::string& id,
                                       const google::rpc::Status& status, bool cancel) {
  const SimNode& node = world_->node(call.node);
  if (status.code() != 0) {
    CheckReason(ReasonOf(status));
    return;
  }
  ++acknowledged_;
  const raft::Index applied = FreshIndex(call);
  bool seen = false;
  // The job may have been purged, and another job may have its id now.
  for (const ModelJob* job : world_->jobs().FindAll(id)) {
    const JobVersion* before = job->At(call.required);
    const auto is_it = [cancel](const JobVersion& v) {
      return cancel ? v.state == v1::JOB_STATE_CANCELLED : v.state == v1::JOB_STATE_READY;
    };
    seen = seen || (cancel && before != nullptr && is_it(*before));
    for (const JobVersion& v : job->past) {
      seen = seen || (v.index > call.required && v.index <= applied && is_it(v));
    }
  }
  if (!seen) {
    Violate(cancel ? "J19 cancel" : "J20 retry", node.name() + " acknowledges the " +
                                                     (cancel ? "cancelling" : "retry") + " of " +
                                                     id + ", which the log does not have");
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::CancelJobsRequest& request,
                             const v1::CancelJobsResponse& response) {
  for (int i = 0; i < request.ids_size(); ++i) {
    CheckCancelOrRetry(call, request.ids(i), response.results(i), true);
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::RetryJobsRequest& request,
                             const v1::RetryJobsResponse& response) {
  for (int i = 0; i < request.ids_size(); ++i) {
    CheckCancelOrRetry(call, request.ids(i), response.results(i), false);
  }
}

// ---- Queues

void AnswerChecker::CheckQueueSettings(const ServerCall& call, const std::string& queue,
                                       bool paused, bool refuses) {
  ++acknowledged_;
  const raft::Index applied = FreshIndex(call);
  const auto it = world_->jobs().queues().find(queue);
  if (it != world_->jobs().queues().end()) {
    for (const QueueVersion& v : it->second.past) {
      const bool in_time = v.index > call.required && v.index <= applied;
      if (in_time && v.paused == paused && v.refuses == refuses) return;
    }
  }
  Violate("J25 pause", world_->node(call.node).name() + " acknowledges the " +
                           (paused ? "pause" : "resumption") + " of queue " + queue +
                           ", which the log does not have");
}

void AnswerChecker::Answered(const ServerCall& call, const v1::PauseQueueRequest& request,
                             const v1::PauseQueueResponse&) {
  CheckQueueSettings(call, request.queue(), true, request.refuse_enqueues());
}

void AnswerChecker::Answered(const ServerCall& call, const v1::ResumeQueueRequest& request,
                             const v1::ResumeQueueResponse&) {
  CheckQueueSettings(call, request.queue(), false, false);
}

template <class F>
int64_t AnswerChecker::CountTransitions(const ServerCall& call, const F& matches) const {
  const raft::Index applied = FreshIndex(call);
  int64_t count = 0;
  for (const ModelJob& job : world_->jobs().jobs()) {
    count += std::count_if(job.past.begin(), job.past.end(), [&](const JobVersion& v) {
      return v.index > call.required && v.index <= applied && matches(job, v);
    });
  }
  return count;
}

void AnswerChecker::Answered(const ServerCall& call, const v1::DeleteJobsRequest& request,
                             const v1::DeleteJobsResponse& response) {
  for (int i = 0; i < request.ids_size(); ++i) {
    if (response.results(i).code() != 0) {
      CheckReason(ReasonOf(response.results(i)));
      continue;
    }
    ++acknowledged_;
    const auto is_it = [&](const ModelJob& job, const JobVersion& v) {
      return job.id == request.ids(i) && v.gone;
    };
    if (CountTransitions(call, is_it) == 0) {
      Violate("J26 delete", world_->node(call.node).name() + " acknowledges the deletion of " +
                                request.ids(i) + ", which the log does not have");
    }
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::PurgeQueueRequest& request,
                             const v1::PurgeQueueResponse& response) {
  ++acknowledged_;
  const int64_t gone = CountTransitions(call, [&](const ModelJob& job, const JobVersion& v) {
    return job.queue == request.queue() && v.gone;
  });
  if (response.purged() > std::min<int64_t>(gone, request.max_jobs())) {
    Violate("J27 sweep", world_->node(call.node).name() + " claims to have purged " +
                             std::to_string(response.purged()) + " jobs of " + request.queue() +
                             ", but " + std::to_string(gone) + " are gone, and " +
                             std::to_string(request.max_jobs()) + " were allowed");
  }
}

void AnswerChecker::Answered(const ServerCall& call, const v1::RedriveJobsRequest& request,
                             const v1::RedriveJobsResponse& response) {
  ++acknowledged_;
  const auto wanted = [&](const ModelJob& job) {
    return queue::Allows(call.access, job.queue) &&
           (request.queue().empty() || job.queue == request.queue()) &&
           (request.type().empty() || job.type == request.type());
  };
  const int64_t moved = CountTransitions(call, [&](const ModelJob& job, const JobVersion& v) {
    return wanted(job) && v.state == v1::JOB_STATE_READY;
  });
  if (response.redriven() > std::min<int64_t>(moved, request.max_jobs())) {
    Violate("J27 sweep", world_->node(call.node).name() + " claims to have redriven " +
                             std::to_string(response.redriven()) + " jobs, but " +
                             std::to_string(moved) + " became ready, and " +
                             std::to_string(request.max_jobs()) + " were allowed");
  }
  if (response.more()) return;
  for (const ModelJob& job : world_->jobs().jobs()) {
    const JobVersion* version = job.At(FreshIndex(call));
    if (version == nullptr || version->gone || version->index > call.required) continue;
    if (wanted(job) && version->state == v1::JOB_STATE_DEAD) {
      Violate("J27 sweep", world_->node(call.node).name() + " claims to have redriven all, but " +
                               Show(job) + " was dead during the whole call");
    }
  }
}

// ---- Keys

void AnswerChecker::Answered(const ServerCall& call, const queue::CreateKeyOrder& order,
                             const v1::Key& key) {
  ++acknowledged_;
  keys_.Answered(call, order, key);
}

void AnswerChecker::Answered(const ServerCall& call, const queue::ListKeysOrder& order,
                             const v1::ListKeysResponse& response) {
  keys_.Answered(call, order, response);
}

void AnswerChecker::Answered(const ServerCall& call, const queue::RevokeKeyOrder& order,
                             const v1::Key& key) {
  ++acknowledged_;
  keys_.Answered(call, order, key);
}

void AnswerChecker::Refused(const ServerCall& call, const queue::CreateKeyOrder& order,
                            const queue::Error& error) {
  CheckReason(error.reason);
  keys_.Refused(call, order, error);
}

void AnswerChecker::Refused(const ServerCall& call, const queue::RevokeKeyOrder& order,
                            const queue::Error& error) {
  CheckReason(error.reason);
  keys_.Refused(call, order, error);
}

// ---- The log

void AnswerChecker::AfterCommit(const SimNode& node, const raft::Entry& entry,
                                const log::v1::CommandBatch& batch) {
  const JobModel& model = world_->jobs();
  const auto created_now = [&](const std::string& id) {
    const ModelJob* job = model.Find(id);
    return job != nullptr && job->past.front().index == entry.index ? job : nullptr;
  };
  const auto ended_now = [&](const std::string& id, const log::v1::Token& item_token,
                             LeaseEnd end) {
    const queue::LeaseToken token{item_token.term(), item_token.sequence()};
    const ModelJob* job = model.Find(id);
    if (job == nullptr || !model.Ended(*job, token, end, entry.index) ||
        model.Ended(*job, token, end, entry.index.Prev())) {
      return;
    }
    world_->grants().OnEnded(entry.term, *job, token, end == LeaseEnd::kExpired);
    if (end != LeaseEnd::kExpired && open_ends_[{id, token, end}] <= 0) {
      Violate("J17 definite errors", "the log ends a lease of " + Show(*job) +
                                         ", but every call for it had a definite error");
    }
  };
  const auto deleted_now = [&](const log::v1::Delete& command) {
    const ModelJob* job = model.FindSequence(command.id(), command.job_sequence());
    return job != nullptr && job->now.gone && job->now.index == entry.index ? job : nullptr;
  };
  for (const log::v1::Command& command : batch.commands()) {
    switch (command.kind_case()) {
      case log::v1::Command::kEnqueue:
        for (const log::v1::Enqueue::Job& spec : command.enqueue().jobs()) {
          if (const ModelJob* job = created_now(spec.id())) {
            if (open_enqueues_[job->number] <= 0) {
              Violate("J17 definite errors", Show(*job) +
                                                 " is created, but every call for it had a "
                                                 "definite error");
            }
          }
          CompareJob(node, spec.id());
        }
        break;
      case log::v1::Command::kComplete:
        ended_now(command.complete().id(), command.complete().token(), LeaseEnd::kCompleted);
        CompareJob(node, command.complete().id());
        break;
      case log::v1::Command::kFail:
        ended_now(command.fail().id(), command.fail().token(), LeaseEnd::kFailed);
        CompareJob(node, command.fail().id());
        break;
      case log::v1::Command::kExpire:
        ended_now(command.expire().id(), command.expire().token(), LeaseEnd::kExpired);
        CompareJob(node, command.expire().id());
        break;
      case log::v1::Command::kCancel:
        CompareJob(node, command.cancel().id());
        break;
      case log::v1::Command::kRetry:
        CompareJob(node, command.retry().id());
        break;
      case log::v1::Command::kDeleteJob:
        if (const ModelJob* job = deleted_now(command.delete_job())) {
          world_->grants().OnDeleted(entry.term, *job);
        }
        CompareJob(node, command.delete_job().id());
        break;
      case log::v1::Command::kSetQueue:
        CompareQueue(node, command.set_queue().queue());
        break;
      case log::v1::Command::kTrim:
        CompareAll(node);
        break;
      case log::v1::Command::kCreateKey:
      case log::v1::Command::kRevokeKey:
      case log::v1::Command::kUseKeys:
        break;  // checked by KeyChecker
      case log::v1::Command::KIND_NOT_SET:
        break;
    }
  }
  constexpr uint64_t kCompareAllEvery = 128;
  if (++commits_ % kCompareAllEvery == 0) CompareAll(node);
}

void AnswerChecker::CompareJob(const SimNode& node, const std::string& id) {
  const queue::StateMachine& state = node.node().state();
  const ModelJob* expected = world_->jobs().FindAt(id, state.applied_index());
  const queue::JobRef job = state.Find(id);
  const bool there = job != queue::JobRef();
  if (there != (expected != nullptr)) {
    Violate("J10 state of a job", node.name() + (there ? " still has " : " does not have ") + id +
                                      " at index " + std::to_string(state.applied_index().value()));
  }
  if (!there) return;
  v1::Job shown;
  state.FillJob(job, false, &shown);
  state.FillAttempts(job, &shown);
  CheckJob(node, shown, state.applied_index(), "the state");
  CheckAttempts(node, shown, state.applied_index(), "the state");
}

void AnswerChecker::CompareAll(const SimNode& node) {
  const queue::StateMachine& state = node.node().state();
  const JobModel& model = world_->jobs();
  uint64_t there = 0;
  for (const ModelJob& job : model.jobs()) {
    if (job.now.gone) continue;
    ++there;
    CompareJob(node, job.id);
  }
  if (state.job_count() != there) {
    Violate("J1 set of jobs", node.name() + " has " + std::to_string(state.job_count()) +
                                  " jobs, expected " + std::to_string(there));
  }
  if (const std::string problem = state.CheckConsistency(); !problem.empty()) {
    Violate("J9 consistency", node.name() + ": " + problem);
  }
  if (state.Digest() != state.RecomputeDigest()) {
    Violate("J23 digest", node.name() + ": the kept digest differs from the digest of the state");
  }
  for (const auto& [name, queue] : model.queues()) CompareQueue(node, name);
  keys_.Compare(node);
}

void AnswerChecker::CompareQueue(const SimNode& node, const std::string& name) const {
  const queue::StateMachine& state = node.node().state();
  const auto expected = world_->jobs().queues().find(name);
  v1::GetStatsResponse stats;
  const bool known = state.Stats(name, &stats).ok();
  if (known != (expected != world_->jobs().queues().end() && !expected->second.forgotten)) {
    Violate("J9 conservation",
            node.name() + (known ? " knows" : " does not know") + " queue " + name);
  }
  if (!known) return;
  CompareStats(node, stats.queues(0), expected->second, name);
  const QueueVersion settings = expected->second.At(state.applied_index());
  if (stats.queues(0).paused() != settings.paused ||
      stats.queues(0).refuses_enqueues() != settings.refuses) {
    Violate("J25 pause", node.name() + " has other settings of queue " + name);
  }
}

}  // namespace dqueue::sim
