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

#include "raft/check.h"
#include "spdlog/spdlog.h"

namespace dqueue::node {
namespace {

constexpr int kExitStorage = 74;  // EX_IOERR

// A flag that a thread can wait for, with a time limit. Raising it when it is up already costs one
// atomic operation.
class Wakeup {
 public:
  void Raise() {
    if (raised_.exchange(true, std::memory_order_acq_rel)) return;
    std::lock_guard lock(mutex_);
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

std::chrono::steady_clock::time_point ToSteady(raft::Time time) {
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
    env.wake_log = [this] { log_wakeup_.Raise(); };
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

  void Drain(raft::Duration limit) override {
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

  void RunLoop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (!node_->Poll(MonotonicNow())) loop_wakeup_.WaitUntil(ToSteady(node_->Deadline()));
    }
  }
  void RunLog(const std::stop_token& stop) {
    // What was submitted before the stop is still written.
    while (node_->PollLog() || !stop.stop_requested()) {
      if (stop.stop_requested()) continue;
      log_wakeup_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    }
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
  std::unique_ptr<Node> node_;
  std::jthread log_thread_;
  std::jthread snapshot_thread_;
  std::jthread loop_thread_;
};

}  // namespace

raft::Time MonotonicNow() {
  return raft::Time(std::chrono::duration_cast<raft::Duration>(
      std::chrono::steady_clock::now().time_since_epoch()));
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
