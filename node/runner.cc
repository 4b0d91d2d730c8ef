#include "node/runner.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/check.h"
#include "node/turn_lock.h"
#include "spdlog/spdlog.h"

namespace dqueue::node {
namespace {

constexpr int kExitStorage = 74;  // EX_IOERR
// How long the loop's thread sleeps when another thread has the turn; that thread wakes it if there
// is more.
constexpr Duration kTurnElsewhere = std::chrono::milliseconds(5);

// A flag that a thread can wait for, with a time limit. Raising it when it is up already costs one
// atomic operation.
class Wakeup {
 public:
  void Raise() {
    if (raised_.exchange(true, std::memory_order_acq_rel)) return;
    // Whoever looked before that has begun to wait when the mutex is free; woken with it held, it
    // would run into it.
    { std::lock_guard lock(mutex_); }
    condition_.notify_one();
  }
  // Returns when raised (and lowers it) or at `until`.
  void WaitUntil(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    condition_.wait_until(lock, until, [this] { return raised_.load(std::memory_order_acquire); });
    raised_.store(false, std::memory_order_release);
  }

 private:
  std::atomic<bool> raised_{false};
  std::mutex mutex_;
  std::condition_variable condition_;
};

std::chrono::steady_clock::time_point ToSteady(Time time) {
  return std::chrono::steady_clock::time_point(time.time_since_epoch());
}

class RunnerImpl final : public NodeRunner {
 public:
  absl::Status Open(const Options& options, storage::FileSystem& fs, PeerTransport* peers) {
    Env env;
    env.fs = &fs;
    env.peers = peers;
    env.wall_ms = [] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(
                 std::chrono::system_clock::now().time_since_epoch())
          .count();
    };
    env.wake_loop = [this] { loop_wakeup_.Raise(); };
    env.run_loop = [this] { TakeTurn(); };
    env.run_loop_and_log = [this] { TakeTurnAndWrite(); };
    env.wake_log = [this] {
      log_pending_.store(true, std::memory_order_release);
      if (will_write_) {
        write_wanted_ = true;
      } else {
        log_wakeup_.Raise();
      }
    };
    env.wake_snapshots = [this] { snapshot_wakeup_.Raise(); };
    env.fatal = [](const absl::Status& status) {
      spdlog::critical("storage failed, ending: {}", status.ToString());
      spdlog::shutdown();
      std::_Exit(kExitStorage);
    };
    env.log_line = [](const std::string& line) { spdlog::info("{}", line); };
    absl::StatusOr<std::unique_ptr<Node>> node = Node::Open(options, env, MonotonicNow());
    if (!node.ok()) return node.status();
    node_ = *std::move(node);
    log_thread_ = std::jthread([this](std::stop_token stop) { RunLog(stop); });
    snapshot_thread_ = std::jthread([this](std::stop_token stop) { RunSnapshots(stop); });
    loop_thread_ = std::jthread([this](std::stop_token stop) { RunLoop(stop); });
    return absl::OkStatus();
  }

  ~RunnerImpl() override {
    if (!node_) return;
    // The loop first: it feeds the others.
    Stop(loop_thread_, loop_wakeup_);
    Stop(snapshot_thread_, snapshot_wakeup_);
    Stop(log_thread_, log_wakeup_);
    if (absl::Status status = node_->Close(); !status.ok()) {
      spdlog::error("closing the log: {}", status.ToString());
    }
  }

  Node& node() override { return *node_; }

  void Drain(Duration limit) override {
    struct Latch {
      std::mutex mutex;
      std::condition_variable condition;
      bool done = false;
    };
    auto latch = std::make_shared<Latch>();
    node_->Drain([latch] {
      std::lock_guard lock(latch->mutex);
      latch->done = true;
      latch->condition.notify_all();
    });
    std::unique_lock lock(latch->mutex);
    latch->condition.wait_for(lock, limit, [&] { return latch->done; });
  }

 private:
  static void Stop(std::jthread& thread, Wakeup& wakeup) {
    thread.request_stop();
    wakeup.Raise();
    thread.join();
  }

  // The thread that brought work takes one turn, if it can. It never stays: the loop's thread goes
  // on with what is left.
  void TakeTurn() {
    if (writing_) {
      turn_wanted_ = true;
      return;
    }
    if (!turns_.TryAcquire()) return;
    const bool more = node_->Poll(MonotonicNow());
    const Time due = node_->Deadline();
    if (more || !turns_.Release()) {
      turns_.Abandon();
      loop_wakeup_.Raise();
    } else if (due < sleeping_until_.load(std::memory_order_acquire)) {
      loop_wakeup_.Raise();
    }
  }

  // The same, and if the turn gave the log something to write and nobody is writing, this thread
  // writes it: a change of threads less between a message and its answer.
  void TakeTurnAndWrite() {
    will_write_ = true;
    TakeTurn();
    will_write_ = false;
    if (std::exchange(write_wanted_, false)) WriteLog(/*stay=*/false);
  }

  void RunLoop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      Time due{};
      if (turns_.TryAcquire()) {
        bool more = true;
        while (more && !stop.stop_requested())
          more = node_->Poll(MonotonicNow()) || !GiveTurnUp(&due);
        if (more) turns_.Abandon();
      } else {
        due = MonotonicNow() + kTurnElsewhere;
      }
      loop_wakeup_.WaitUntil(ToSteady(due));
      sleeping_until_.store(Time::min(), std::memory_order_release);
    }
  }
  // The deadline is read and published while the turn is still held, so that nobody can make it
  // earlier unseen.
  bool GiveTurnUp(Time* due) {
    *due = node_->Deadline();
    sleeping_until_.store(*due, std::memory_order_release);
    return turns_.Release();
  }

  void RunLog(const std::stop_token& stop) {
    while (true) {
      WriteLog(/*stay=*/true);
      // What was submitted before the stop is still written.
      if (stop.stop_requested() && !log_pending_.load(std::memory_order_acquire)) return;
      log_wakeup_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    }
  }
  // Writes what there is, unless somebody else does. Without `stay`: looks once more after its
  // write, and leaves to the log's thread what comes then.
  void WriteLog(bool stay) {
    if (!writes_.TryAcquire()) return;
    writing_ = true;
    bool more = true;
    for (int looks = 0; more && (stay || looks < 2); ++looks) {
      log_pending_.store(false, std::memory_order_release);
      const bool wrote = node_->PollLog();
      if (std::exchange(turn_wanted_, false)) AfterWrite();
      more = wrote || log_pending_.load(std::memory_order_acquire) || !writes_.Release();
    }
    writing_ = false;
    if (!more) return;
    writes_.Abandon();
    log_wakeup_.Raise();
  }
  // With nothing else to write, the thread that wrote sends what waited for it.
  void AfterWrite() {
    if (log_pending_.load(std::memory_order_acquire)) {
      loop_wakeup_.Raise();
      return;
    }
    writing_ = false;
    will_write_ = true;  // whoever writes looks again
    TakeTurn();
    will_write_ = write_wanted_ = false;
    writing_ = true;
  }
  void RunSnapshots(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (node_->PollSnapshots()) continue;
      snapshot_wakeup_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    }
  }

  Wakeup loop_wakeup_;
  Wakeup log_wakeup_;
  Wakeup snapshot_wakeup_;
  TurnLock turns_;
  std::atomic<Time> sleeping_until_{Time::min()};  // of the loop's thread
  std::atomic<bool> log_pending_{false};           // the log was given work since it last looked
  TurnLock writes_;                                // who writes the log
  // Of the thread that writes the log, while it does.
  static thread_local bool writing_;
  static thread_local bool turn_wanted_;
  // Of a thread in TakeTurnAndWrite().
  static thread_local bool will_write_;
  static thread_local bool write_wanted_;
  std::unique_ptr<Node> node_;
  std::jthread log_thread_;
  std::jthread snapshot_thread_;
  std::jthread loop_thread_;
};

thread_local bool RunnerImpl::writing_ = false;
thread_local bool RunnerImpl::turn_wanted_ = false;
thread_local bool RunnerImpl::will_write_ = false;
thread_local bool RunnerImpl::write_wanted_ = false;

}  // namespace

Time MonotonicNow() {
  return Time(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

absl::StatusOr<std::unique_ptr<NodeRunner>> NodeRunner::Start(const Options& options,
                                                              storage::FileSystem& fs,
                                                              PeerTransport* peers) {
  Options seeded = options;
  if (seeded.seed == 0) {
    std::random_device random;
    seeded.seed = (static_cast<uint64_t>(random()) << 32) | random();
  }
  auto runner = std::make_unique<RunnerImpl>();
  if (absl::Status status = runner->Open(seeded, fs, peers); !status.ok()) return status;
  return std::unique_ptr<NodeRunner>(std::move(runner));
}

}  // namespace dqueue::node
