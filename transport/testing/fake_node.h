// A fake node: it keeps calls until the test takes and answers them.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "node/node.h"

namespace dqueue::transport {

// From node "a" to node "b".
inline raft::Message Heartbeat(uint64_t commit) {
  raft::Message message;
  message.cluster = {1, 2};
  message.from = raft::NodeIdOf("a");
  message.from_incarnation = raft::Incarnation(7);
  message.to = raft::NodeIdOf("b");
  message.term = raft::Term(3);
  message.body = raft::HeartbeatRequest{raft::Index(commit), raft::ReadId(commit)};
  return message;
}

class FakeNode final : public node::Node {
 public:
  FakeNode() { SetKeys(keys_); }

  void Submit(queue::AnyCall call) override {
    std::unique_lock lock(mutex_);
    if (on_submit_) {
      const auto on_submit = on_submit_;
      lock.unlock();
      on_submit(call);
      lock.lock();
    }
    calls_.push_back(std::move(call));
    changed_.notify_all();
  }
  void Receive(std::vector<raft::Message> messages) override {
    std::unique_lock lock(mutex_);
    if (on_receive_) {
      const auto on_receive = on_receive_;
      lock.unlock();
      on_receive(messages);
      lock.lock();
    }
    for (raft::Message& message : messages) received_.push_back(std::move(message));
    changed_.notify_all();
    // As in a node: one thread waits for the disk, the others return.
    if (!stalled_ || stuck_) return;
    stuck_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !stalled_; });
    stuck_ = false;
  }
  // Called at the start of each Receive(), on its thread. The test may send from it.
  // Called in Submit(), in its thread, before Take() finds the call.
  void OnSubmit(std::function<void(const queue::AnyCall&)> on_submit) {
    const std::lock_guard lock(mutex_);
    on_submit_ = std::move(on_submit);
  }
  void OnReceive(std::function<void(const std::vector<raft::Message>&)> on_receive) {
    const std::lock_guard lock(mutex_);
    on_receive_ = std::move(on_receive);
  }
  // True: Receive() does not return, as if the disk stalled. False: it returns.
  void Stall(bool stalled) {
    const std::lock_guard lock(mutex_);
    stalled_ = stalled;
    changed_.notify_all();
  }
  // A thread waits in Receive().
  bool stuck() const {
    const std::lock_guard lock(mutex_);
    return stuck_;
  }
  void PeerDisconnected(raft::NodeId peer) override {
    const std::lock_guard lock(mutex_);
    disconnected_.push_back(peer);
    changed_.notify_all();
  }
  void PeerRefused(raft::NodeId, std::string why) override {
    const std::lock_guard lock(mutex_);
    refusals_.push_back(std::move(why));
    changed_.notify_all();
  }
  void RequestView(std::function<void(const node::NodeView&)> done) override {
    node::NodeView view;
    {
      const std::lock_guard lock(mutex_);
      view = view_;
    }
    done(view);
  }
  void RequestMetrics(std::function<void(const node::NodeMetrics&)> done) override {
    node::NodeMetrics metrics;
    {
      const std::lock_guard lock(mutex_);
      metrics.view = view_;
    }
    done(metrics);
  }
  // The test answers with TakeTransfer().
  void TransferLeadership(std::string to, TransferDone done) override {
    const std::lock_guard lock(mutex_);
    transfers_.emplace_back(std::move(to), std::move(done));
    changed_.notify_all();
  }
  node::StatusWatch Watch(node::StatusWatcher watcher) override {
    return board_.Watch(std::move(watcher));
  }
  // These four change the published status, and (except keys) the answer to RequestView().
  void SetKeys(queue::KeyTablePtr keys) {
    Change([&] { keys_ = std::move(keys); });
  }
  void SetServing(bool serving) {
    Change([&] { view_.raft.status.serving = serving; });
  }
  void SetLeader(const std::string& name, const std::string& address) {
    Change([&] {
      view_.leader_name = name;
      view_.leader_address = address;
    });
  }
  void SetMembers(const std::vector<raft::Member>& members) {
    Change([&] {
      view_.raft.config.voters = members;
      std::sort(view_.raft.config.voters.begin(), view_.raft.config.voters.end(),
                [](const raft::Member& a, const raft::Member& b) { return a.id < b.id; });
    });
  }
  void Drain(std::function<void()> done) override { done(); }
  bool Poll(Time) override { return false; }
  Time Deadline() const override { return Time::max(); }
  bool PollLog() override { return false; }
  bool PollAnswers() override { return false; }
  Duration TurnCost() const override { return {}; }
  bool PollSnapshots() override { return false; }
  absl::Status Close() override { return absl::OkStatus(); }
  const queue::StateMachine& state() const override { std::abort(); }
  const raft::Raft& raft() const override { std::abort(); }

  // The next call, which must be of this kind; waits for it.
  template <class CallT>
  CallT Take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return !calls_.empty(); })) std::abort();
    CallT call = std::get<CallT>(std::move(calls_.front()));
    calls_.pop_front();
    return call;
  }
  std::pair<std::string, TransferDone> TakeTransfer() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return !transfers_.empty(); })) std::abort();
    auto transfer = std::move(transfers_.front());
    transfers_.pop_front();
    return transfer;
  }
  // The next call, of any kind.
  void TakeAny(const std::function<void(queue::AnyCall&)>& use) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return !calls_.empty(); })) std::abort();
    queue::AnyCall call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    use(call);
  }
  size_t waiting() {
    const std::lock_guard lock(mutex_);
    return calls_.size();
  }
  bool WaitForReceived(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return received_.size() >= count; });
  }
  bool WaitForReceived(const std::function<bool(const std::vector<raft::Message>&)>& enough) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return enough(received_); });
  }
  bool WaitForDisconnected(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return disconnected_.size() >= count; });
  }
  std::vector<raft::Message> received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  // What peers said when they refused a connection.
  std::vector<std::string> refusals() {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }
  std::vector<raft::NodeId> disconnected() {
    const std::lock_guard lock(mutex_);
    return disconnected_;
  }

 private:
  void Change(const std::function<void()>& change) {
    const std::lock_guard publish_lock(publish_mutex_);
    node::NodeStatus status;
    {
      const std::lock_guard lock(mutex_);
      change();
      status = {.role = view_.raft.status.role,
                .term = view_.raft.status.term,
                .leader_name = view_.leader_name,
                .leader_address = view_.leader_address,
                .serving = view_.raft.status.serving,
                .config = std::make_shared<const raft::Configuration>(view_.raft.config),
                .keys = keys_};
    }
    board_.Publish(std::move(status));
  }

  bool stalled_ = false;
  bool stuck_ = false;
  static constexpr std::chrono::seconds kPatience{20};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::mutex publish_mutex_;  // before mutex_
  node::StatusBoard board_;
  node::NodeView view_;
  std::deque<queue::AnyCall> calls_;
  std::deque<std::pair<std::string, TransferDone>> transfers_;
  queue::KeyTablePtr keys_ =
      std::make_shared<const queue::KeyTable>(std::vector<queue::KeyRecord>());
  std::function<void(const queue::AnyCall&)> on_submit_;
  std::function<void(const std::vector<raft::Message>&)> on_receive_;
  std::vector<raft::Message> received_;
  std::vector<raft::NodeId> disconnected_;
  std::vector<std::string> refusals_;
};

}  // namespace dqueue::transport
