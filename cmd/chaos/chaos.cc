#include "cmd/chaos/chaos.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <utility>

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Shares of leases that are failed or abandoned, so that retries and expirations happen between the
// kills.
constexpr int kFailedPerMille = 20;
constexpr int kForgottenPerMille = 5;
constexpr milliseconds kLeaseDuration{3000};
constexpr milliseconds kLeaseWait{500};
constexpr milliseconds kRecoverLimit{30000};

client::ClientOptions ClientFor(const ChaosOptions& options, const LocalCluster& cluster) {
  client::ClientOptions result;
  result.servers = cluster.servers();
  result.timeout = options.timeout;
  return result;
}

class ChaosRun {
 public:
  ChaosRun(const ChaosOptions& options, LocalCluster* cluster)
      : options_(options),
        cluster_(cluster),
        queue_("chaos-" + client::NewUuidV7()),
        ledger_(queue_.substr(0, 14) + "-"),
        client_(ClientFor(options, *cluster)) {}

  ChaosReport Run(const std::function<bool(milliseconds)>& pause,
                  const std::function<void(const std::string&)>& say) {
    std::vector<std::jthread> producers;
    std::vector<std::jthread> workers;
    for (int i = 0; i < options_.workers; ++i) workers.emplace_back([this, i] { Work(i); });
    for (int i = 0; i < options_.producers; ++i) producers.emplace_back([this] { Produce(); });

    KillLeaders(pause, say);
    producing_ = false;
    producers.clear();  // joins
    say("load stopped; completing the remaining jobs");
    WaitUntilDrained();
    working_ = false;
    workers.clear();
    Verify();
    return ledger_.report();
  }

 private:
  void KillLeaders(const std::function<bool(milliseconds)>& pause,
                   const std::function<void(const std::string&)>& say) {
    const Clock::time_point start = Clock::now();
    const Clock::time_point end = start + options_.duration;
    const auto until = [](Clock::time_point time) {
      return std::max(std::chrono::duration_cast<milliseconds>(time - Clock::now()),
                      milliseconds(0));
    };
    // The load continues for one interval after the last kill.
    for (Clock::time_point next = start + options_.kill_interval;
         next + options_.kill_interval <= end; next += options_.kill_interval) {
      if (!pause(until(next))) return;
      const absl::StatusOr<int> leader = cluster_->FindLeader(kRecoverLimit);
      if (!leader.ok()) return ledger_.Violation(std::string(leader.status().message()));
      ledger_.LeaderKilled(Clock::now());
      cluster_->Kill(*leader);
      const ChaosReport report = ledger_.report();
      say("killed the leader, " + cluster_->name(*leader) + "; " +
          std::to_string(report.acknowledged) + " acknowledged, " +
          std::to_string(report.completed) + " completed so far");
      const bool go_on = pause(options_.restart_after);
      if (absl::Status status = cluster_->Restart(*leader); !status.ok()) {
        return ledger_.Violation(std::string(status.message()));
      }
      if (!go_on) return;
    }
    pause(until(end));
  }

  void Produce() {
    const auto interval = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(static_cast<double>(options_.batch) * options_.producers /
                                      static_cast<double>(options_.rate)));
    Clock::time_point next = Clock::now();
    while (producing_) {
      std::vector<client::JobSpec> specs;
      std::vector<std::string> ids;
      for (int i = 0; i < options_.batch; ++i) {
        client::JobSpec spec;
        spec.id = ledger_.Submit();
        spec.queue = queue_;
        spec.type = "chaos";
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
      for (size_t i = 0; i < ids.size(); ++i) {
        const client::Status& status =
            i < results.value.size() ? results.value[i].status : results.status;
        if (status.ok()) {
          ledger_.Acknowledged(ids[i], start);
        } else {
          ledger_.NotAcknowledged(status);
        }
      }
      // Does not catch up after an outage: the rate is a limit.
      next = std::max(next + interval, Clock::now() - interval);
      std::this_thread::sleep_until(next);
    }
  }

  void Work(int index) {
    std::minstd_rand random(static_cast<unsigned>(index) + 1);
    client::LeaseOptions lease;
    lease.worker_id = "chaos-" + std::to_string(index);
    lease.queues = {queue_};
    lease.max_jobs = options_.batch;
    lease.wait = kLeaseWait;
    lease.lease_duration = kLeaseDuration;
    while (working_) {
      const Clock::time_point start = Clock::now();
      const auto jobs = client_.Lease(lease);
      if (!jobs.ok()) continue;
      std::vector<client::Completion> completions;
      std::vector<client::Failure> failures;
      for (const client::Job& job : jobs.value) {
        ledger_.Leased(job, start);
        const int lot = static_cast<int>(random() % 1000);
        // After the load every job is completed, so that the run ends.
        if (producing_ && lot < kFailedPerMille) {
          client::Failure failure;
          failure.id = job.id;
          failure.token = job.token;
          failure.error = "on purpose";
          failures.push_back(std::move(failure));
          ledger_.GivenUp(job.id);
        } else if (producing_ && lot < kFailedPerMille + kForgottenPerMille) {
          ledger_.GivenUp(job.id);
        } else {
          completions.push_back({job.id, job.token, "done by " + lease.worker_id});
        }
      }
      if (!failures.empty()) client_.Fail(failures);
      if (completions.empty()) continue;
      const auto results = client_.Complete(completions);
      for (size_t i = 0; i < completions.size(); ++i) {
        const client::Status& status = i < results.value.size() ? results.value[i] : results.status;
        ledger_.CompletionAnswered(completions[i], status);
      }
    }
  }

  void WaitUntilDrained() {
    const Clock::time_point end = Clock::now() + options_.drain_limit;
    std::string last = "no answer";
    while (Clock::now() < end) {
      const auto stats = client_.GetStats(queue_);
      if (stats.ok()) {
        const client::QueueStats& q = stats.value.total;
        if (q.scheduled + q.ready + q.leased == 0) return;
        last = std::to_string(q.scheduled) + " scheduled, " + std::to_string(q.ready) + " ready, " +
               std::to_string(q.leased) + " leased";
      } else {
        last = stats.status.message;
      }
      std::this_thread::sleep_for(milliseconds(100));
    }
    ledger_.Violation("jobs remained at the drain limit: " + last);
  }

  void Verify() {
    if (absl::Status status = cluster_->WaitUntilEqual(kRecoverLimit); !status.ok()) {
      ledger_.Violation(std::string(status.message()));
    }
    std::map<std::string, client::JobState> states;
    client::ListFilter filter;
    filter.queue = queue_;
    filter.page_size = 1000;
    do {
      const auto page = client_.List(filter);
      if (!page.ok()) return ledger_.Violation("list: " + page.status.message);
      for (const client::Job& job : page.value.jobs) states[job.id] = job.state;
      filter.page_token = page.value.next_page_token;
    } while (!filter.page_token.empty());
    ledger_.Judge(states);

    const auto stats = client_.GetStats(queue_);
    if (!stats.ok()) return ledger_.Violation("stats: " + stats.status.message);
    const client::QueueStats& q = stats.value.total;
    const uint64_t sum =
        q.scheduled + q.ready + q.leased + q.succeeded + q.dead + q.cancelled + q.purged;
    if (sum != q.enqueued || q.enqueued != states.size() || q.succeeded != q.completions) {
      ledger_.Violation("the counts do not add up: " + std::to_string(sum) + " in all states, " +
                        std::to_string(q.enqueued) + " enqueued, " + std::to_string(states.size()) +
                        " listed, " + std::to_string(q.succeeded) + " succeeded, " +
                        std::to_string(q.completions) + " completions");
    }
  }

  const ChaosOptions options_;
  LocalCluster* cluster_;
  const std::string queue_;
  ChaosLedger ledger_;
  client::Client client_;
  std::atomic<bool> producing_{true};
  std::atomic<bool> working_{true};
};

}  // namespace

ChaosReport RunChaos(const ChaosOptions& options, LocalCluster* cluster,
                     const std::function<bool(milliseconds)>& pause,
                     const std::function<void(const std::string&)>& say) {
  return ChaosRun(options, cluster).Run(pause, say);
}

}  // namespace dqueue::cmd
