#include "node/status_watch.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"

namespace dqueue::node {

struct StatusWatch::Watcher {
  explicit Watcher(StatusWatcher to_call) : call(std::move(to_call)) {}

  // Requires `mutex`.
  void Notify(const NodeStatus& status) {
    if (!call) return;
    running.store(std::this_thread::get_id());
    call(status);
    running.store(std::thread::id());
  }

  std::mutex mutex;  // held during a call, so that calls do not overlap and are in order
  StatusWatcher call;
  std::atomic<std::thread::id> running{};  // the thread of the running call
};

struct StatusWatch::Watchers {
  std::mutex mutex;
  std::shared_ptr<const NodeStatus> status = std::make_shared<const NodeStatus>();
  std::vector<std::shared_ptr<Watcher>> all;
};

StatusWatch::StatusWatch(std::shared_ptr<Watchers> watchers, std::shared_ptr<Watcher> watcher)
    : watchers_(std::move(watchers)), watcher_(std::move(watcher)) {}

StatusWatch& StatusWatch::operator=(StatusWatch&& other) noexcept {
  if (this == &other) return *this;
  Cancel();
  watchers_ = std::move(other.watchers_);
  watcher_ = std::move(other.watcher_);
  return *this;
}

void StatusWatch::Cancel() {
  if (watcher_ == nullptr) return;
  DQ_CHECK(watcher_->running.load() != std::this_thread::get_id());
  {
    const std::lock_guard lock(watchers_->mutex);
    std::erase(watchers_->all, watcher_);
  }
  {
    const std::lock_guard lock(watcher_->mutex);
    watcher_->call = nullptr;
  }
  watcher_.reset();
  watchers_.reset();
}

StatusBoard::StatusBoard() : watchers_(std::make_shared<StatusWatch::Watchers>()) {}

void StatusBoard::Publish(NodeStatus status) {
  const auto published = std::make_shared<const NodeStatus>(std::move(status));
  std::vector<std::shared_ptr<StatusWatch::Watcher>> all;
  {
    const std::lock_guard lock(watchers_->mutex);
    watchers_->status = published;
    all = watchers_->all;
  }
  for (const auto& watcher : all) {
    const std::lock_guard lock(watcher->mutex);
    watcher->Notify(*published);
  }
}

StatusWatch StatusBoard::Watch(StatusWatcher call) {
  auto watcher = std::make_shared<StatusWatch::Watcher>(std::move(call));
  // Publish() on another thread waits for this mutex, so the watcher sees `status` first.
  const std::lock_guard lock(watcher->mutex);
  std::shared_ptr<const NodeStatus> status;
  {
    const std::lock_guard all_lock(watchers_->mutex);
    watchers_->all.push_back(watcher);
    status = watchers_->status;
  }
  watcher->Notify(*status);
  return StatusWatch(watchers_, std::move(watcher));
}

}  // namespace dqueue::node
