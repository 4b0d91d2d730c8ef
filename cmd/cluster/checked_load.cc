#include "cmd/cluster/checked_load.h"

#include <algorithm>
#include <map>
#include <random>
#include <utility>

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLeaseDuration{3000};
constexpr milliseconds kLeaseWait{500};
constexpr milliseconds kLookAgain{100};

}  // namespace

CheckedLoad::CheckedLoad(LoadOptions options, JobLedger* ledger)
    : options_(std::move(options)), ledger_(ledger), client_(options_.access) {
  for (int i = 0; i < options_.workers; ++i) workers_.emplace_back([this, i] { Work(i); });
  for (int i = 0; i < options_.producers; ++i) producers_.emplace_back([this] { Produce(); });
}

CheckedLoad::~CheckedLoad() {
  producing_ = false;
  working_ = false;
}

LoadLatencies CheckedLoad::TakeLatencies() {
  const std::lock_guard lock(mutex_);
  return std::exchange(latencies_, {});
}

void CheckedLoad::Finish(milliseconds limit) {
  producing_ = false;
  producers_.clear();  // joins
  WaitUntilDrained(limit);
  working_ = false;
  workers_.clear();
}

void CheckedLoad::Add(Latencies LoadLatencies::*kind, Clock::duration time) {
  const std::lock_guard lock(mutex_);
  (latencies_.*kind).Add(time);
}

void CheckedLoad::Produce() {
  const auto interval = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(static_cast<double>(options_.batch) * options_.producers /
                                    static_cast<double>(options_.rate)));
  Clock::time_point due = Clock::now();
  while (producing_) {
    std::vector<client::JobSpec> specs;
    std::vector<std::string> ids;
    for (int i = 0; i < options_.batch; ++i) {
      client::JobSpec spec;
      spec.id = ledger_->Submit();
      spec.queue = options_.queue;
      spec.type = "checked";
      spec.payload = "{\"job\":\"" + spec.id + "\"}";
      // A job must succeed even if many of its attempts are lost.
      spec.retry.max_retries = 1000;
      spec.retry.max_expirations = 1000;
      spec.retry.backoff = client::RetryPolicy::Backoff::kNone;
      ids.push_back(spec.id);
      specs.push_back(std::move(spec));
    }
    const Clock::time_point start = Clock::now();
    const auto results = client_.EnqueueMany(std::move(specs));
    Add(&LoadLatencies::enqueue, Clock::now() - (options_.catch_up ? due : start));
    for (size_t i = 0; i < ids.size(); ++i) {
      const client::Status& status =
          i < results.value.size() ? results.value[i].status : results.status;
      if (status.ok()) {
        ledger_->Acknowledged(ids[i], start);
      } else {
        ledger_->NotAcknowledged(status);
      }
    }
    due += interval;
    if (!options_.catch_up) due = std::max(due, Clock::now() - interval);
    std::this_thread::sleep_until(due);
  }
}

void CheckedLoad::Work(int index) {
  std::minstd_rand random(static_cast<unsigned>(index) + 1);
  client::LeaseOptions lease;
  lease.worker_id = "checked-" + std::to_string(index);
  lease.queues = {options_.queue};
  lease.max_jobs = options_.batch;
  lease.wait = kLeaseWait;
  lease.lease_duration = kLeaseDuration;
  while (working_) {
    const Clock::time_point start = Clock::now();
    const auto jobs = client_.Lease(lease);
    if (!jobs.ok()) continue;
    for (const client::Job& job : jobs.value) {
      if (const auto time = ledger_->Leased(job, start)) Add(&LoadLatencies::delivery, *time);
    }
    Handle(jobs.value, lease.worker_id, &random);
  }
}

void CheckedLoad::Handle(const std::vector<client::Job>& jobs, const std::string& worker_id,
                         std::minstd_rand* random) {
  std::vector<client::Completion> completions;
  std::vector<client::Failure> failures;
  for (const client::Job& job : jobs) {
    const int lot = static_cast<int>((*random)() % 1000);
    // After the load every job is completed, so that the run ends.
    if (producing_ && lot < options_.failed_per_mille) {
      client::Failure failure;
      failure.id = job.id;
      failure.token = job.token;
      failure.error = "on purpose";
      failures.push_back(std::move(failure));
      ledger_->GivenUp(job.id);
    } else if (producing_ && lot < options_.failed_per_mille + options_.abandoned_per_mille) {
      ledger_->GivenUp(job.id);
    } else {
      completions.push_back({job.id, job.token, "done by " + worker_id});
    }
  }
  if (!failures.empty()) client_.Fail(failures);
  if (completions.empty()) return;
  const Clock::time_point start = Clock::now();
  const auto results = client_.Complete(completions);
  Add(&LoadLatencies::complete, Clock::now() - start);
  for (size_t i = 0; i < completions.size(); ++i) {
    const client::Status& status = i < results.value.size() ? results.value[i] : results.status;
    ledger_->CompletionAnswered(completions[i], status);
  }
}

void CheckedLoad::WaitUntilDrained(milliseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  std::string last = "no answer";
  while (Clock::now() < end) {
    const auto stats = client_.GetStats(options_.queue);
    if (stats.ok()) {
      const client::QueueStats& q = stats.value.total;
      if (q.scheduled + q.ready + q.leased == 0) return;
      last = std::to_string(q.scheduled) + " scheduled, " + std::to_string(q.ready) + " ready, " +
             std::to_string(q.leased) + " leased";
    } else {
      last = stats.status.message;
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  ledger_->Violation("jobs remained at the drain limit: " + last);
}

void CheckedLoad::Verify(LocalCluster* cluster, milliseconds limit) {
  if (absl::Status status = cluster->WaitUntilEqual(limit); !status.ok()) {
    ledger_->Violation(std::string(status.message()));
  }
  std::map<std::string, client::JobState> states;
  client::ListFilter filter;
  filter.queue = options_.queue;
  filter.page_size = 1000;
  do {
    const auto page = client_.List(filter);
    if (!page.ok()) return ledger_->Violation("list: " + page.status.message);
    for (const client::Job& job : page.value.jobs) states[job.id] = job.state;
    filter.page_token = page.value.next_page_token;
  } while (!filter.page_token.empty());
  const auto stats = client_.GetStats(options_.queue);
  if (!stats.ok()) return ledger_->Violation("stats: " + stats.status.message);
  const client::QueueStats& q = stats.value.total;
  ledger_->Judge(states, q.purged);
  const uint64_t sum =
      q.scheduled + q.ready + q.leased + q.succeeded + q.dead + q.cancelled + q.purged;
  // Finished jobs may have been purged since they were listed.
  const bool listed = states.size() <= q.enqueued && q.enqueued <= states.size() + q.purged;
  const bool completed = q.succeeded <= q.completions && q.completions <= q.succeeded + q.purged;
  if (sum != q.enqueued || !listed || !completed) {
    ledger_->Violation("the counts do not add up: " + std::to_string(sum) + " in all states, " +
                       std::to_string(q.enqueued) + " enqueued, " + std::to_string(states.size()) +
                       " listed, " + std::to_string(q.succeeded) + " succeeded, " +
                       std::to_string(q.purged) + " purged, " + std::to_string(q.completions) +
                       " completions");
  }
}

}  // namespace dqueue::cmd
