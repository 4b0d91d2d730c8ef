#include "client/worker.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "client/client_impl.h"
#include "client/convert.h"
#include "client/stop_signals.h"
#include "client/trouble_log.h"
#include "client/verdict_reporter.h"

namespace dqueue::client {
namespace {

constexpr Duration kLeaseWait{20000};
constexpr Duration kLeasePauseMin{50};
constexpr Duration kLeasePauseMax{500};
constexpr Duration kRefusedPauseMax{2000};
constexpr Duration kProbeTimeout{2000};  // of a lease call that looks whether servers answer again
constexpr Duration kExtendEveryMin{100};
// If neither the options, nor the job, nor the answer of the lease call has a duration.
constexpr Duration kLeaseDefault{30000};
constexpr Duration kReportGrace{800};  // see Worker::Drain()
constexpr Duration kGiveUpAfterMin{60000};
constexpr int kConcurrencyMax = 1000;
constexpr int kLeaseJobsMax = 1000;

// Empty if the host name is unknown.
std::string HostName() {
  char host[65] = "";
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  return MakeUtf8(host, sizeof(host));
}

std::string MakeWorkerId() {
  const std::string random = NewUuidV7().substr(24, 8);
  return HostName() + ":" + std::to_string(getpid()) + ":" + random;
}

// Must be called without a lock: stop callbacks of handlers run here.
void RequestStop(std::vector<std::stop_source> stops) {
  for (std::stop_source& stop : stops) stop.request_stop();
}

}  // namespace

Verdict Complete(std::string result) { return {Verdict::Kind::kComplete, std::move(result), {}}; }
Verdict Fail(std::string error, std::optional<Duration> retry_delay) {
  return {Verdict::Kind::kFail, std::move(error), retry_delay};
}
Verdict Reject(std::string error) { return {Verdict::Kind::kReject, std::move(error), {}}; }
Verdict Release() { return {Verdict::Kind::kRelease, "", {}}; }

class Worker::Impl {
 public:
  Impl(ClientOptions client, WorkerOptions options);
  ~Impl() { Drain(); }

  void Handle(const std::string& type, Handler handler) { handlers_[type] = std::move(handler); }
  void Start();
  void Drain();
  Status RunUntilSignal();
  WorkerStats stats() const;

 private:
  // A job from its lease until its verdict is settled.
  struct Held {
    Job job;
    std::stop_source stop;
    // The duration that extensions ask for; unset: that of the node.
    std::optional<Duration> asked;
    Duration term{};          // the duration of the lease, as far as it is known
    Clock::time_point until;  // end of the lease unless it is extended
    Clock::time_point extended;
    bool lost = false;
    Clock::time_point extend_at() const { return extended + std::max(term / 3, kExtendEveryMin); }
  };

  void LeaseLoop();
  void HandleLoop();
  void ExtendLoop();
  void Hold(std::vector<Job> jobs);
  Verdict RunHandler(const Held& held);
  std::map<std::optional<Duration>, std::vector<std::shared_ptr<Held>>> TakeDue();
  void Extend(std::optional<Duration> asked, const std::vector<std::shared_ptr<Held>>& leases);
  void Report(const std::shared_ptr<Held>& held, Verdict verdict);
  void OnSettled(const VerdictReporter::Report& report, bool counted);
  void Forget(const std::string& id, FencingToken token);
  void Say(const std::string& line) const {
    if (options_.log_line) options_.log_line(line);
  }
  void TellTrouble(const Status& status) const;
  CallControl ControlOf(Activity activity, CallCancel* cancel);

  const WorkerOptions options_;
  std::map<std::string, Handler> handlers_;
  Client client_;
  TroubleLog trouble_;
  CallCancel lease_cancel_;
  CallCancel extend_cancel_;

  mutable std::mutex mutex_;
  std::condition_variable slots_;   // a handler became free, or draining has begun
  std::condition_variable jobs_;    // a job is ready to handle, or leasing has ended
  std::condition_variable extend_;  // a job was leased, or the extension thread must end
  std::condition_variable idle_;    // a handler ended
  std::deque<std::shared_ptr<Held>> ready_;
  // By id. A job can be leased again while the verdict of an older lease is not settled.
  std::unordered_multimap<std::string, std::shared_ptr<Held>> held_;
  int busy_ = 0;  // running handlers plus jobs in ready_
  bool started_ = false;
  bool draining_ = false;
  bool leasing_ended_ = false;
  bool extending_ended_ = false;
  WorkerStats stats_;

  std::unique_ptr<VerdictReporter> reporter_;
  std::thread lease_thread_;
  std::thread extend_thread_;
  std::vector<std::thread> handler_threads_;
};

Worker::Impl::Impl(ClientOptions client, WorkerOptions options)
    : options_([&] {
        options.concurrency = std::clamp(options.concurrency, 1, kConcurrencyMax);
        if (options.worker_id.empty()) options.worker_id = MakeWorkerId();
        return std::move(options);
      }()),
      client_(std::move(client)),
      trouble_(client_.impl_->rpc.servers().count(),
               [this](const Status& status) { TellTrouble(status); }) {}

void Worker::Impl::TellTrouble(const Status& status) const {
  if (options_.on_trouble) {
    options_.on_trouble(status);
  } else {
    Say(status.ok() ? status.message
                    : "calls fail and are retried: " + std::string(CodeName(status.code)) + " " +
                          status.reason + " " + status.message);
  }
}

CallControl Worker::Impl::ControlOf(Activity activity, CallCancel* cancel) {
  CallControl control;
  control.cancel = cancel;
  control.on_failure = [this, activity](const Server& server, const FailedAttempt& failure) {
    const bool told = trouble_.OnFailure(activity, server.address, failure, Clock::now());
    // A lease call that waits for jobs would show only much later that servers answer again.
    return told && activity == Activity::kLease;
  };
  return control;
}

void Worker::Impl::Start() {
  if (std::exchange(started_, true)) return;
  reporter_ = std::make_unique<VerdictReporter>(
      client_.impl_.get(), ControlOf(Activity::kReport, nullptr),
      [this](const VerdictReporter::Report& report, bool counted) { OnSettled(report, counted); });
  for (int i = 0; i < options_.concurrency; ++i) {
    handler_threads_.emplace_back([this] { HandleLoop(); });
  }
  extend_thread_ = std::thread([this] { ExtendLoop(); });
  lease_thread_ = std::thread([this] { LeaseLoop(); });
}

void Worker::Impl::LeaseLoop() {
  LeaseOptions lease;
  lease.worker_id = options_.worker_id;
  lease.queues = options_.queues;
  lease.host = HostName();
  lease.lease_duration = options_.lease_duration;
  if (!handlers_.contains("")) {
    for (const auto& [type, handler] : handlers_) lease.types.push_back(type);
  }
  // Limits unsettled verdicts too: if the cluster accepts no verdicts, no more jobs are leased.
  const size_t pending_max = 1000 + 4 * static_cast<size_t>(options_.concurrency);
  std::string request_id = NewUuidV7();
  Duration pause = kLeasePauseMin;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      slots_.wait(lock, [&] {
        return draining_ || (busy_ < options_.concurrency && held_.size() < pending_max);
      });
      if (draining_) return;
      lease.max_jobs = std::min(options_.concurrency - busy_, kLeaseJobsMax);
    }
    CallControl control = ControlOf(Activity::kLease, &lease_cancel_);
    const bool trouble = trouble_.active();
    lease.wait = trouble ? Duration{0} : kLeaseWait;
    if (trouble) control.timeout = kProbeTimeout;
    Result<std::vector<Job>> leased = client_.impl_->Lease(lease, request_id, control);
    const Clock::time_point now = Clock::now();
    if (!leased.ok()) {
      // After an unknown outcome the same id returns the jobs that may have been leased already.
      if (leased.status.code != Code::kUnknownOutcome) request_id = NewUuidV7();
      // Calls that fail without an attempt: the options are invalid.
      if (leased.status.code == Code::kInvalidArgument && !lease_cancel_.cancelled()) {
        trouble_.OnFailure(Activity::kLease, "", {.status = leased.status}, now);
      }
      std::unique_lock lock(mutex_);
      slots_.wait_for(lock, pause, [this] { return draining_; });
      pause = std::min(pause * 2, trouble_.LeaseRefusal() ? kRefusedPauseMax : kLeasePauseMax);
      continue;
    }
    trouble_.OnSuccess(Activity::kLease, now);
    pause = kLeasePauseMin;
    request_id = NewUuidV7();
    Hold(std::move(leased.value));
  }
}

void Worker::Impl::Hold(std::vector<Job> jobs) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  for (Job& job : jobs) {
    auto held = std::make_shared<Held>();
    held->asked = options_.lease_duration ? options_.lease_duration : job.lease_duration;
    const Duration remaining =
        job.lease_remaining.count() > 0 ? job.lease_remaining : kLeaseDefault;
    held->term = held->asked.value_or(remaining);
    held->until = now + job.lease_remaining;
    held->extended = now;
    held->job = std::move(job);
    held_.emplace(held->job.id, held);
    ready_.push_back(std::move(held));
    ++busy_;
    ++stats_.leased;
    jobs_.notify_one();
  }
  if (!jobs.empty()) extend_.notify_all();
}

void Worker::Impl::HandleLoop() {
  while (true) {
    std::shared_ptr<Held> held;
    {
      std::unique_lock lock(mutex_);
      jobs_.wait(lock, [this] { return leasing_ended_ || !ready_.empty(); });
      if (ready_.empty()) return;
      held = std::move(ready_.front());
      ready_.pop_front();
    }
    Verdict verdict = RunHandler(*held);
    Report(held, std::move(verdict));
    const std::lock_guard lock(mutex_);
    --busy_;
    slots_.notify_one();
    idle_.notify_all();
  }
}

Verdict Worker::Impl::RunHandler(const Held& held) {
  auto handler = handlers_.find(held.job.type);
  if (handler == handlers_.end()) handler = handlers_.find("");
  if (handler == handlers_.end()) return Release();
  try {
    JobContext context(held.job, held.stop.get_token());
    return handler->second(context);
  } catch (const std::exception& e) {
    return Fail(std::string("exception: ") + e.what());
  } catch (...) {
    return Fail("exception of an unknown type");
  }
}

void Worker::Impl::Report(const std::shared_ptr<Held>& held, Verdict verdict) {
  Clock::time_point give_up;
  {
    const std::lock_guard lock(mutex_);
    // A lost lease, too: a leader that refuses to extend a lease may still accept its verdict, for
    // example while the expiry is on its way into the log.
    give_up = std::max(held->until + 2 * held->term, Clock::now() + kGiveUpAfterMin);
  }
  reporter_->Add({held->job.id, held->job.token, std::move(verdict), give_up});
}

void Worker::Impl::OnSettled(const VerdictReporter::Report& report, bool counted) {
  if (counted) trouble_.OnSuccess(Activity::kReport, Clock::now());
  {
    const std::lock_guard lock(mutex_);
    if (!counted) {
      ++stats_.lost;
    } else {
      switch (report.verdict.kind) {
        case Verdict::Kind::kComplete:
          ++stats_.completed;
          break;
        case Verdict::Kind::kFail:
        case Verdict::Kind::kReject:
          ++stats_.failed;
          break;
        case Verdict::Kind::kRelease:
          ++stats_.released;
          break;
      }
    }
    Forget(report.id, report.token);
    slots_.notify_one();
  }
  if (!counted) Say("the verdict of job " + report.id + " did not take effect: its lease was lost");
}

// Requires mutex_.
void Worker::Impl::Forget(const std::string& id, FencingToken token) {
  const auto [first, last] = held_.equal_range(id);
  for (auto it = first; it != last; ++it) {
    if (it->second->job.token != token) continue;
    held_.erase(it);
    return;
  }
}

void Worker::Impl::ExtendLoop() {
  std::unique_lock lock(mutex_);
  while (!extending_ended_) {
    Clock::time_point next = Clock::time_point::max();
    for (const auto& [id, held] : held_) {
      if (!held->lost) next = std::min(next, held->extend_at());
    }
    if (next == Clock::time_point::max()) {
      extend_.wait(lock);
      continue;
    }
    if (Clock::now() < next) {
      extend_.wait_until(lock, next);
      continue;
    }
    auto due = TakeDue();
    lock.unlock();
    for (const auto& [asked, leases] : due) Extend(asked, leases);
    lock.lock();
  }
}

// The leases to extend now, by the duration to ask for. Takes those that are due soon as well, so
// that leases of the same time share a call. Requires mutex_.
std::map<std::optional<Duration>, std::vector<std::shared_ptr<Worker::Impl::Held>>>
Worker::Impl::TakeDue() {
  std::map<std::optional<Duration>, std::vector<std::shared_ptr<Held>>> due;
  const Clock::time_point now = Clock::now();
  for (const auto& [id, held] : held_) {
    if (held->lost || now - held->extended < held->term / 6) continue;
    due[held->asked].push_back(held);
  }
  // Without a pause a failed extension would be repeated at once.
  for (const auto& [asked, leases] : due) {
    for (const auto& held : leases) held->extended = now;
  }
  return due;
}

void Worker::Impl::Extend(std::optional<Duration> asked,
                          const std::vector<std::shared_ptr<Held>>& leases) {
  const Clock::time_point begin = Clock::now();
  std::vector<LeaseRef> items;
  Duration term = leases[0]->term;
  for (const auto& held : leases) {
    items.push_back({held->job.id, held->job.token});
    term = std::min(term, held->term);
  }
  CallControl control = ControlOf(Activity::kExtend, &extend_cancel_);
  control.timeout = std::max(term / 3, kAttemptMax);
  const Result<std::vector<Status>> extended =
      client_.impl_->Extend(items, options_.worker_id, asked, control);
  const auto lost = [](const Status& status) {
    return status.code == Code::kNotFound || status.code == Code::kFailedPrecondition;
  };
  // A node answered if it judged a lease, also if every lease is lost.
  if (std::ranges::any_of(extended.value,
                          [&](const Status& status) { return status.ok() || lost(status); })) {
    trouble_.OnSuccess(Activity::kExtend, Clock::now());
  }
  std::vector<std::stop_source> stops;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < leases.size(); ++i) {
      Held& held = *leases[i];
      const Status& status = extended.value[i];
      if (status.ok()) {
        held.extended = begin;
        held.until = begin + held.term;
      } else if (lost(status)) {
        held.lost = true;
        stops.push_back(held.stop);
      } else if (Clock::now() > held.until + held.term) {
        // The lease expired long ago by this clock, so another worker probably has the job. The
        // verdict is still reported, because it may take effect.
        stops.push_back(held.stop);
      }
    }
  }
  RequestStop(std::move(stops));
}

void Worker::Impl::Drain() {
  std::vector<std::shared_ptr<Held>> unstarted;
  std::vector<std::stop_source> stops;
  const Clock::time_point limit = Clock::now() + options_.drain_limit;
  {
    const std::lock_guard lock(mutex_);
    if (!started_ || std::exchange(draining_, true)) return;
  }
  slots_.notify_all();
  lease_cancel_.Cancel();
  lease_thread_.join();
  {
    const std::lock_guard lock(mutex_);
    unstarted.assign(ready_.begin(), ready_.end());
    ready_.clear();
    busy_ -= static_cast<int>(unstarted.size());
    leasing_ended_ = true;
  }
  jobs_.notify_all();
  for (const auto& held : unstarted) Report(held, Release());
  {
    std::unique_lock lock(mutex_);
    const auto all_ended = [this] { return busy_ == 0; };
    if (!idle_.wait_until(lock, limit, all_ended)) {
      for (const auto& [id, held] : held_) stops.push_back(held->stop);
    }
  }
  RequestStop(std::move(stops));
  // A handler that ignores the stop keeps its lease until it returns.
  for (std::thread& thread : handler_threads_) thread.join();
  reporter_->Finish(std::max(limit, Clock::now()) + kReportGrace);
  {
    const std::lock_guard lock(mutex_);
    extending_ended_ = true;
  }
  extend_.notify_all();
  extend_cancel_.Cancel();
  extend_thread_.join();
}

Status Worker::Impl::RunUntilSignal() {
  // As often as the refusal is looked at.
  constexpr std::chrono::milliseconds kSlice{500};
  StopSignals signals;
  Start();
  signals.Accept();
  Status refused;
  while (refused.ok() && !signals.Wait(kSlice)) {
    const auto refusal = trouble_.LeaseRefusal();
    if (refusal && Clock::now() - refusal->second >= options_.refusal_limit) {
      refused = refusal->first;
    }
  }
  Say(refused.ok() ? "draining: no new jobs; a second signal stops at once"
                   : "draining: the servers refuse to lease jobs to this worker");
  Drain();
  return refused;
}

WorkerStats Worker::Impl::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

Worker::Worker(ClientOptions client, WorkerOptions options)
    : impl_(std::make_unique<Impl>(std::move(client), std::move(options))) {}
Worker::~Worker() = default;
void Worker::Handle(const std::string& type, Handler handler) {
  impl_->Handle(type, std::move(handler));
}
void Worker::Start() { impl_->Start(); }
void Worker::Drain() { impl_->Drain(); }
Status Worker::RunUntilSignal() { return impl_->RunUntilSignal(); }
WorkerStats Worker::stats() const { return impl_->stats(); }

}  // namespace dqueue::client
