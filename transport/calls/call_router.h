// Where a client's call goes: to this node, to the leader, or into a short wait while an election
// runs. Knows the leader from the node's view, which a thread of its own asks for ten times a
// second, and a hundred times while calls wait.
#pragma once

#include <grpcpp/generic/generic_stub.h>

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
#include "transport/keys/authenticator.h"
#include "transport/listeners/tls.h"

namespace dqueue::transport {

class UnaryCall;

struct Leader {
  std::string name;  // empty: none known
  std::string address;
  bool self = false;
  bool known() const { return !name.empty(); }
  friend bool operator==(const Leader&, const Leader&) = default;
};

// The rules of waiting for a leader.
inline constexpr std::chrono::milliseconds kLeaderWaitMax{2000};
inline constexpr std::chrono::milliseconds kRetryEvery{10};
// What a leader said before it was one no more arrives by then.
inline constexpr std::chrono::milliseconds kLastAnswersIn{300};
// Forwards of one call, one after the other, without waiting in between.
inline constexpr int kForwardHopsMax = 3;

class CallRouter : public std::enable_shared_from_this<CallRouter> {
 public:
  // `on_leader` is called on the node's loop thread, with each change. With `tls` members are
  // called by it.
  CallRouter(node::Node* node, std::string self_name, std::shared_ptr<Authenticator> authenticator,
             std::function<void(const Leader&)> on_leader, std::shared_ptr<TlsStore> tls = nullptr);
  ~CallRouter();

  void Start();
  // New calls are refused, those that wait or read are answered; changes get a moment to end, then
  // they are answered COMMIT_UNKNOWN. Afterwards the node is not used any more.
  void Stop();
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  Leader leader() const;
  NodeGate& node() { return gate_; }
  Authenticator& authenticator() { return *authenticator_; }
  // To send a call to the member `name` at `address`. With TLS its certificate must have the name;
  // an empty one is looked up by the address.
  std::shared_ptr<grpc::GenericStub> StubFor(const std::string& address, const std::string& name);
  // In the newest configuration that the node knows.
  bool IsMember(const std::string& name) const;

  // A call registers when it begins and unregisters when it has been answered.
  void Register(UnaryCall* call);
  void Unregister(UnaryCall* call);
  // Calls Retry() or GiveUp() on it, from this router's thread.
  void WaitForLeader(std::shared_ptr<UnaryCall> call);

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    std::shared_ptr<UnaryCall> call;
    Clock::time_point not_before;
  };

  void Watch();
  void RequestView();
  void OnView(const node::NodeView& view);
  std::string MemberAt(const std::string& address) const;
  std::vector<std::shared_ptr<UnaryCall>> Calls() const;

  NodeGate gate_;
  const std::string self_name_;
  const std::shared_ptr<Authenticator> authenticator_;
  const std::function<void(const Leader&)> on_leader_;
  std::atomic<bool> stopping_{false};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Leader leader_;
  bool leader_changed_ = false;
  Clock::time_point last_answers_by_ = Clock::time_point::max();
  bool view_requested_ = false;
  bool stop_ = false;
  std::vector<Waiting> waiting_;
  const std::shared_ptr<TlsStore> tls_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<grpc::GenericStub>> stubs_;
  uint64_t stubs_generation_ = 0;  // of tls_, when they were made

  mutable std::shared_mutex members_mutex_;
  raft::Configuration members_;

  mutable std::mutex calls_mutex_;
  std::condition_variable calls_left_;
  std::unordered_set<UnaryCall*> calls_;

  std::thread thread_;
};

}  // namespace dqueue::transport
