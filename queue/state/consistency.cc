// Recomputes digest, statistics and indexes from the jobs: for tests and the simulator.
#include <vector>

#include "queue/state/attempts.h"
#include "queue/state/state_machine_impl.h"

namespace dqueue::queue {

uint64_t StateMachine::Impl::RecomputeDigest() const {
  uint64_t job_sum = 0;
  for (uint32_t slot = 0; slot < jobs.end(); ++slot) {
    const StoredJob& job = jobs[slot];
    if (job.state == 0) continue;
    StoredJob copy;
    copy.spec_size = job.spec_size;
    copy.spec = std::make_unique_for_overwrite<char[]>(job.spec_size);
    PutBytes(copy.spec.get(), job.spec_view());
    copy.outcome.Set(job.outcome.error(), job.outcome.result(), job.outcome.attempts());
    copy.sequence = job.sequence;
    copy.create_ms = job.create_ms;
    copy.run_ms = job.run_ms;
    copy.expire_ms = job.expire_ms;
    copy.since_ms = job.since_ms;
    copy.last_token = job.last_token;
    copy.failed = job.failed;
    copy.expired = job.expired;
    copy.delivered = job.delivered;
    copy.state = job.state;
    copy.dead_reason = job.dead_reason;
    copy.of_request = job.of_request;
    copy.token_end = job.token_end;
    copy.priority = job.priority;
    copy.fixed_hash = FixedHash(copy, ready.hash_of(job.lane));
    job_sum += RecordHash(copy);
  }
  return DigestOf({.jobs = job_sum,
                   .keys = idempotency.RecomputeHashSum(),
                   .queues = queues.RecomputeHashSum(),
                   .api_keys = api_keys.RecomputeHashSum(),
                   .requests = requests.RecomputeHashSum()});
}

std::string StateMachine::Impl::CheckConsistency() const {
  std::vector<Totals> counted(queues.end());
  std::vector<uint32_t> held_in(queues.end());
  std::vector<uint32_t> jobs_in_lane(ready.lanes_end());
  size_t used = 0;
  size_t due_jobs = 0;
  size_t ready_jobs = 0;
  size_t finished_jobs = 0;
  size_t block_bytes[3] = {};
  size_t expiring_jobs = 0;
  for (uint32_t slot = 0; slot < jobs.end(); ++slot) {
    const StoredJob& job = jobs[slot];
    if (job.state == 0) continue;
    ++used;
    const std::string id(IdOf(job.spec_view()));
    const auto problem = [&id](const std::string& what) { return "job " + id + ": " + what; };
    if (FindJob(id) != slot) return problem("not found by its id");
    if (job.sequence >= next_sequence) return problem("a sequence to come");
    std::vector<AttemptView> attempts;
    if (!ParseAttempts(job.outcome.attempts(), &attempts)) return problem("damaged attempts");
    if (!attempts.empty() && attempts.back().number > job.delivered) {
      return problem("an attempt that it did not count");
    }
    block_bytes[IsLive(job.job_state())                 ? 0
                : job.job_state() == v1::JOB_STATE_DEAD ? 1
                                                        : 2] += BlockBytes(job);
    const uint32_t queue = ready.queue_of(job.lane);
    if (!queues.used(queue)) return problem("in no queue");
    ++jobs_in_lane[job.lane];
    ++counted[queue][TotalOf(job.job_state())];
    const auto timer = [&](int64_t at_ms) {
      return OrderedSlot(static_cast<uint64_t>(at_ms), job.sequence, slot);
    };
    if (job.held()) {
      if (job.job_state() != v1::JOB_STATE_READY) return problem("held, but not ready");
      if (job.hold >= held.size() || held[job.hold] != slot) return problem("not among the held");
      ++held_in[queue];
    }
    const bool listed_ready = ready.Contains(job.lane, DeliveryPlace(slot));
    if (listed_ready != (job.job_state() == v1::JOB_STATE_READY && !job.held())) {
      return problem(listed_ready ? "in the ready order, but not ready" : "not in the ready order");
    }
    if (listed_ready) ++ready_jobs;
    if (job.job_state() == v1::JOB_STATE_SCHEDULED) {
      ++due_jobs;
      if (!due.contains(timer(job.run_ms))) return problem("not among the scheduled");
    }
    if (IsFinished(job.job_state())) {
      ++finished_jobs;
      const bool dead = job.job_state() == v1::JOB_STATE_DEAD;
      if (!(dead ? purging_dead : purging).contains(timer(PurgeTime(job)))) {
        return problem("never purged");
      }
    }
    if (IsExpiring(job)) {
      ++expiring_jobs;
      if (!expiring.contains(timer(job.expire_ms))) return problem("never expires");
    }
  }
  if (used != jobs.used() || used != by_id.size()) return "the number of jobs is wrong";
  if (ready_jobs != ready.size()) return "the ready order has other jobs";
  if (due_jobs != due.size()) return "the scheduled order has other jobs";
  if (finished_jobs != purging.size() + purging_dead.size())
    return "the purge order has other jobs";
  if (expiring_jobs != expiring.size()) return "the expiry order has other jobs";
  if (block_bytes[0] != live_block_bytes || block_bytes[1] != dead_block_bytes ||
      block_bytes[2] != finished_block_bytes) {
    return "the bytes of the jobs are wrong";
  }
  for (uint32_t lane = 0; lane < ready.lanes_end(); ++lane) {
    if (jobs_in_lane[lane] != ready.jobs_of(lane)) return "a lane counts other jobs";
  }
  size_t held_count = 0;
  Totals sum = queues.forgotten();
  for (uint32_t queue = 0; queue < queues.end(); ++queue) {
    if (!queues.used(queue)) continue;
    const QueueRecord& record = queues[queue];
    const std::string where = "queue " + record.name + ": ";
    for (const Total total :
         {Total::kScheduled, Total::kReady, Total::kSucceeded, Total::kDead, Total::kCancelled}) {
      if (record.totals[total] != counted[queue][total]) {
        return where + "total number " + std::to_string(static_cast<int>(total)) + " is " +
               std::to_string(record.totals[total]) + ", counted " +
               std::to_string(counted[queue][total]);
      }
    }
    if (record.settings.refuses_enqueues && !record.settings.paused) {
      return where + "it refuses jobs though it is not paused";
    }
    if (!record.totals.AddUp()) return where + "its totals do not add up to enqueued";
    if (record.held != held_in[queue]) return where + "its number of held jobs is wrong";
    held_count += held_in[queue];
    sum.Add(record.totals);
  }
  if (std::string problem = queues.Problem(); !problem.empty()) return problem;
  if (held_count != held.size()) return "the number of held jobs is wrong";
  if (sum != queues.sum()) return "the totals of the queues do not add up";
  const std::string order_problem = ready.Problem();
  if (!order_problem.empty()) return order_problem;
  if (std::string problem = idempotency.Problem(); !problem.empty()) return problem;
  if (std::string problem = SpentKeysProblem(); !problem.empty()) return problem;
  if (std::string problem = requests.Problem(); !problem.empty()) return problem;
  if (std::string problem = api_keys.Problem(); !problem.empty()) return problem;
  if (RecomputeDigest() != DigestOf(Sums())) {
    return "the digest is not that of the jobs";
  }
  return "";
}

std::string StateMachine::Impl::SpentKeysProblem() const {
  for (uint32_t entry = 0; entry < idempotency.end(); ++entry) {
    if (!idempotency[entry].used()) continue;
    const uint32_t job = FindJob(idempotency[entry].job_id());
    const bool waits = job != kNoSlot && jobs[job].sequence == idempotency[entry].sequence &&
                       IsLive(jobs[job].job_state());
    if (idempotency[entry].spent == waits) {
      return "idempotency key " + std::string(idempotency[entry].key()) +
             (waits ? " is spent, but its job waits" : " is not spent, but its job is done");
    }
  }
  return "";
}

}  // namespace dqueue::queue
