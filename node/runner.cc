#include "node/runner.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
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
constexpr int kExitData = 65;     // EX_DATAERR: a restart does not help
// How long the loop's thread sleeps if another thread runs a turn. That thread wakes it earlier if
// work is left.
constexpr Duration kBusyTurnSleep = std::chrono::milliseconds(5);

// A flag that one thread can wait for, with a time limit. Raising a raised flag costs one atomic
// operation.
class Wakeup {
 public:
  void Raise() {
    if (raised_.exchange(true, std::memory_order_acq_rel)) return;
    // The empty critical section orders this after the waiter's check of the flag: the waiter has
    // then begun to wait. The notify is outside, so that the woken thread finds the mutex free.
    { std::lock_guard lock(mutex_); }
    condition_.notify_one();
  }
  // Returns when the flag is raised, or at `until`. Lowers the flag.
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

// 0 if it cannot be read.
uint64_t ResidentBytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;  // the second field
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
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
    env.wake_answers = [this] { answers_wakeup_.Raise(); };
    env.resident_bytes = ResidentBytes;
    env.fatal = [](const absl::Status& status) {
      const bool lost = absl::IsDataLoss(status);
      spdlog::critical("{}, exiting: {}", lost ? "acknowledged data is lost" : "storage error",
                       std::string(status.message()));
      spdlog::shutdown();
      std::_Exit(lost ? kExitData : kExitStorage);
    };
    env.turn_clock = MonotonicNow;
    env.log_line = [](const std::string& line) { spdlog::info("{}", line); };
    env.log_warning = [](const std::string& line) { spdlog::warn("{}", line); };
    absl::StatusOr<std::unique_ptr<Node>> node = Node::Open(options, env, MonotonicNow());
    if (!node.ok()) return node.status();
    node_ = *std::move(node);
    log_thread_ = std::jthread([this](std::stop_token stop) { RunLog(stop); });
    snapshot_thread_ = std::jthread([this](std::stop_token stop) { RunSnapshots(stop); });
    answers_thread_ = std::jthread([this](std::stop_token stop) { RunAnswers(stop); });
    loop_thread_ = std::jthread([this](std::stop_token stop) { RunLoop(stop); });
    return absl::OkStatus();
  }

  ~RunnerImpl() override {
    if (!node_) return;
    // The loop's thread first: it adds work for the others.
    Stop(loop_thread_, loop_wakeup_);
    Stop(snapshot_thread_, snapshot_wakeup_);
    Stop(answers_thread_, answers_wakeup_);
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

  // Runs one turn on the calling thread if the turn lock is free. Wakes the loop's thread if work
  // is left or the deadline is earlier.
  void TakeTurn() {
    if (writing_) {
      turn_wanted_ = true;
      return;
    }
    if (!turn_lock_.TryAcquire()) return;
    const bool more = node_->Poll(MonotonicNow());
    const Time due = node_->Deadline();
    if (more || !turn_lock_.Release()) {
      turn_lock_.Abandon();
      loop_wakeup_.Raise();
    } else if (due < sleeping_until_.load(std::memory_order_acquire)) {
      loop_wakeup_.Raise();
    }
  }

  // As TakeTurn(). If the turn submitted a log write and no thread is writing the log, the calling
  // thread writes it. That saves a thread switch between a message and its answer.
  void TakeTurnAndWrite() {
    will_write_ = true;
    TakeTurn();
    will_write_ = false;
    if (std::exchange(write_wanted_, false)) WriteLog(/*stay=*/false);
  }

  void RunLoop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      Time due{};
      if (turn_lock_.TryAcquire()) {
        bool more = true;
        while (more && !stop.stop_requested())
          more = node_->Poll(MonotonicNow()) || !ReleaseTurn(&due);
        if (more) turn_lock_.Abandon();
      } else {
        due = MonotonicNow() + kBusyTurnSleep;
      }
      loop_wakeup_.WaitUntil(ToSteady(due));
      sleeping_until_.store(Time::min(), std::memory_order_release);
    }
  }
  // Publishes the deadline while the lock is held: a later turn on another thread then sees it, and
  // wakes the loop's thread for an earlier deadline.
  bool ReleaseTurn(Time* due) {
    *due = node_->Deadline();
    sleeping_until_.store(*due, std::memory_order_release);
    return turn_lock_.Release();
  }

  void RunLog(const std::stop_token& stop) {
    while (true) {
      WriteLog(/*stay=*/true);
      // Writes that were submitted before the stop are not dropped.
      if (stop.stop_requested() && !log_pending_.load(std::memory_order_acquire)) return;
      log_wakeup_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    }
  }
  // Writes the submitted log writes, unless another thread is writing. With `stay`: until none is
  // left. Without: polls the log at most twice, and wakes the log's thread if writes are left.
  void WriteLog(bool stay) {
    if (!write_lock_.TryAcquire()) return;
    writing_ = true;
    bool more = true;
    for (int polls = 0; more && (stay || polls < 2); ++polls) {
      log_pending_.store(false, std::memory_order_release);
      const bool wrote = node_->PollLog();
      if (std::exchange(turn_wanted_, false)) AfterWrite();
      more = wrote || log_pending_.load(std::memory_order_acquire) || !write_lock_.Release();
    }
    writing_ = false;
    if (!more) return;
    write_lock_.Abandon();
    log_wakeup_.Raise();
  }
  // Runs a turn, which sends the messages that waited for the write. If more writes are submitted,
  // the loop's thread runs it instead.
  void AfterWrite() {
    if (log_pending_.load(std::memory_order_acquire)) {
      loop_wakeup_.Raise();
      return;
    }
    writing_ = false;
    will_write_ = true;  // WriteLog() checks log_pending_ after this
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

  void RunAnswers(const std::stop_token& stop) {
    while (true) {
      while (node_->PollAnswers()) {
      }
      if (stop.stop_requested()) return;
      answers_wakeup_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    }
  }

  Wakeup loop_wakeup_;
  Wakeup log_wakeup_;
  Wakeup snapshot_wakeup_;
  Wakeup answers_wakeup_;
  TurnLock turn_lock_;                             // held to call Node::Poll()
  std::atomic<Time> sleeping_until_{Time::min()};  // of the loop's thread; min: it is awake
  std::atomic<bool> log_pending_{false};           // writes were submitted since the last PollLog()
  TurnLock write_lock_;                            // held to call Node::PollLog()
  // In WriteLog() on this thread: TakeTurn() sets turn_wanted_ instead of running a turn.
  static thread_local bool writing_;
  static thread_local bool turn_wanted_;
  // In TakeTurnAndWrite() or AfterWrite() on this thread: Env::wake_log sets write_wanted_ instead
  // of waking the log's thread.
  static thread_local bool will_write_;
  static thread_local bool write_wanted_;
  std::unique_ptr<Node> node_;
  std::jthread log_thread_;
  std::jthread snapshot_thread_;
  std::jthread answers_thread_;
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
