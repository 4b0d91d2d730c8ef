// The state of the cluster that clients' calls depend on: the leader, the members, channels to
// them, and the time to try again. Watches the node's status (node/status_watch.h); a thread of its
// own wakes waiting calls, ends calls whose key has lost its rights, and is idle otherwise.
//
// Any thread may call, except where noted.
#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "transport/calls/node_gate.h"
#include "transport/calls/rejections.h"
#include "transport/calls/work_pool.h"
#include "transport/keys/authenticator.h"
#include "transport/listeners/tls.h"

namespace dqueue::transport {

struct Leader {
  std::string name;  // empty: none known
  std::string address;
  bool self = false;
  // Rises whenever name, address or readiness of the leader changes.
  uint64_t change = 0;
  bool known() const { return !name.empty(); }
};

// Pause before a retry at the same leader. A new leader is tried at once.
inline constexpr std::chrono::milliseconds kSameLeaderPause{10};
// The answers of a leader that handed over arrive within this time after the change.
inline constexpr std::chrono::milliseconds kLastAnswersIn{300};

// A call that changes something goes on for this time, at most twice this time, after its key lost
// its rights: it ends by itself in a moment, and its caller should learn how. All other calls end
// at once.
inline constexpr std::chrono::milliseconds kChangesEndIn{500};

// A call under way, as the router sees it. All from any thread.
class RoutedCall : public std::enable_shared_from_this<RoutedCall> {
 public:
  virtual ~RoutedCall() = default;
  virtual bool answered() const = 0;
  // The call may have changed something, or is about to.
  virtual bool MayHaveEffect() const = 0;
  // After WaitForLeader(): one of these two follows, on the router's thread, or OnStop().
  virtual void Retry() = 0;
  virtual void GiveUp() = 0;
  // Another leader is at `address`. `late`: the last answers of the former leader have arrived.
  virtual void OnLeaderChange(const std::string& address, bool late) = 0;
  // Keys have lost rights: the call must end if its own has. Called on the router's thread, again
  // kChangesEndIn later, and at most kChangesEndIn after that.
  virtual void OnKeyLoss(std::chrono::steady_clock::time_point now) = 0;
  // This node stops: the call must be answered now.
  virtual void OnStop() = 0;
};

class CallRouter {
 public:
  // `on_leader` is called with the leader at the start, if one is known, and with each change, on
  // the node's loop thread; it must not block. `tls`: for channels to members; null: plain text.
  CallRouter(node::Node* node, std::string self_name, std::shared_ptr<Authenticator> authenticator,
             std::function<void(const Leader&)> on_leader, std::shared_ptr<TlsStore> tls = nullptr);
  ~CallRouter();

  // Subscribes to the node's status. Before this, no leader is known.
  void Start();
  // New calls are refused, and calls that wait or read are answered. Changes get a moment to end,
  // then they are answered COMMIT_UNKNOWN. Afterwards the node is not used any more.
  void Stop();
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  const std::string& self_name() const { return self_name_; }
  Leader leader() const;
  NodeGate& node() { return gate_; }
  // Decode requests and encode answers that are large. Two pools, so that an answer never waits for
  // requests.
  WorkPool& requests() { return requests_; }
  WorkPool& answers() { return answers_; }
  Authenticator& authenticator() { return *authenticator_; }
  Rejections& rejections() { return rejections_; }
  // To send a call to the member `name` at `address`. With TLS its certificate must have the name;
  // an empty one is looked up by the address.
  std::shared_ptr<grpc::GenericStub> StubFor(const std::string& address, const std::string& name);
  // In the newest configuration that the node knows.
  bool IsMember(const std::string& name) const;

  // Keys have lost rights: calls get OnKeyLoss().
  void CheckKeys();

  // A call registers when it begins and unregisters when it has been answered.
  void Register(RoutedCall* call);
  void Unregister(RoutedCall* call);
  // `seen`: Leader::change of the attempt that failed. Retry() follows at once if the leader has
  // changed since, or when it changes, or after kSameLeaderPause if the same leader is still known;
  // GiveUp() at `until`.
  void WaitForLeader(std::shared_ptr<RoutedCall> call, uint64_t seen,
                     std::chrono::steady_clock::time_point until);

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    std::shared_ptr<RoutedCall> call;
    uint64_t seen = 0;
    Clock::time_point not_before;  // for the same leader
    Clock::time_point until;
  };
  // The work of one round of the thread.
  struct Due {
    std::vector<std::shared_ptr<RoutedCall>> retry;
    std::vector<std::shared_ptr<RoutedCall>> give_up;
    bool changed = false;  // of leader
    bool late = false;     // kLastAnswersIn after a change
    bool check_keys = false;
    Leader leader;
    Clock::time_point now;
    Clock::time_point next = Clock::time_point::max();  // the next round, at the latest
  };

  void OnStatus(const node::NodeStatus& status);
  void Run();
  // Both require mutex_.
  void TakeKeyLoss(Clock::time_point now, Due* due);
  Due TakeDue(Clock::time_point now);
  void Tell(const Due& due);
  std::string MemberAt(const std::string& address) const;
  std::vector<std::shared_ptr<RoutedCall>> Calls() const;

  NodeGate gate_;
  WorkPool requests_;
  WorkPool answers_;
  const std::string self_name_;
  const std::shared_ptr<Authenticator> authenticator_;
  const std::function<void(const Leader&)> on_leader_;
  std::atomic<bool> stopping_{false};
  Rejections rejections_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;  // the thread has something to look at
  Leader leader_;
  bool serving_ = false;  // this node is the leader and ready
  bool leader_changed_ = false;
  Clock::time_point last_answers_by_ = Clock::time_point::max();
  bool key_loss_ = false;  // since the last round
  Clock::time_point last_key_loss_{};
  // When calls that change something are checked again; max(): no key was lost since the last time.
  Clock::time_point keys_checked_at_ = Clock::time_point::max();
  bool stop_ = false;
  std::vector<Waiting> waiting_;
  const std::shared_ptr<TlsStore> tls_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<grpc::GenericStub>> stubs_;
  uint64_t stubs_generation_ = 0;  // of tls_, when they were made

  mutable std::shared_mutex members_mutex_;
  std::shared_ptr<const raft::Configuration> members_;

  mutable std::mutex calls_mutex_;
  std::condition_variable calls_left_;
  std::unordered_set<RoutedCall*> calls_;

  std::thread thread_;
  node::StatusWatch watch_;
};

}  // namespace dqueue::transport
