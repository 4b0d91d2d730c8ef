// The connection of one client to the cluster. Calls go over a network that delays and loses them,
// to the node that the client believes to be the leader. Answers come back over the same network.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "queue/broker/broker.h"
#include "sim/checkers/grant_checker.h"
#include "sim/profile.h"
#include "sim/random_stream.h"
#include "sim/world.h"

namespace dqueue::sim {

class Caller {
 public:
  // Clients are numbered from 1.
  Caller(World* world, int number)
      : world_(world),
        number_(number),
        random_(world->seed(), "client" + std::to_string(number)),
        target_(static_cast<int>(random_.Between(1, world->size()))) {}

  template <class C>
  using Reply = std::function<void(std::optional<queue::Outcome<typename C::ResponseType>>)>;

  // Calls `reply` once: with the answer, with the error UNREACHABLE if the node was down, or with
  // nullopt after `timeout`. The product never sends UNREACHABLE.
  template <class C>
  void Call(typename C::RequestType request, Duration timeout, Reply<C> reply) {
    CallNode<C>(target_, std::move(request), timeout, std::move(reply));
  }
  template <class C>
  void CallNode(int node, typename C::RequestType request, Duration timeout, Reply<C> reply);

  // Chooses the node for the next calls: the leader that the error names, else a random node.
  // `error` is null after a timeout.
  void Redirect(const queue::Error* error);
  // Sets the access of later calls; null: unrestricted.
  void SetAccess(queue::QueueAccessPtr access) { access_ = std::move(access); }
  const queue::QueueAccessPtr& access() const { return access_; }
  RandomStream& random() { return random_; }
  int number() const { return number_; }

 private:
  template <class C>
  struct Pending {
    typename C::RequestType request;
    Reply<C> reply;  // null after it was called
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
    ServerCall call;
    bool deadline = false;
  };
  template <class C>
  void Arrive(const std::shared_ptr<Pending<C>>& pending, Duration timeout);
  template <class C>
  void Answered(const std::shared_ptr<Pending<C>>& pending,
                queue::Outcome<typename C::ResponseType> outcome);
  template <class C>
  static void Finish(const std::shared_ptr<Pending<C>>& pending,
                     std::optional<queue::Outcome<typename C::ResponseType>> outcome) {
    if (auto reply = std::exchange(pending->reply, nullptr)) reply(std::move(outcome));
  }
  Duration NetworkDelay() { return 100us + random_.Exponential(300us); }
  bool Lost(int node) { return world_->ClientsCut(node) || random_.Chance(world_->client_loss()); }
  void NoteCall(const ServerCall& call, size_t kind, uint64_t job, const v1::LeaseToken& token);
  void NoteAnswer(const ServerCall& call, size_t kind, uint64_t good, uint64_t bad,
                  const std::string& reason);
  uint64_t NumberOfJob(const std::string& id) const;

  World* world_;
  int number_;
  RandomStream random_;
  int target_;
  queue::QueueAccessPtr access_;
};

// ---- Implementation

template <class C>
void Caller::CallNode(int node, typename C::RequestType request, Duration timeout, Reply<C> reply) {
  auto pending = std::make_shared<Pending<C>>();
  pending->request = std::move(request);
  pending->reply = std::move(reply);
  pending->call.id = world_->NextCallId();
  pending->call.client = number_;
  pending->call.node = node;
  pending->call.access = access_;
  pending->deadline = random_.Chance(0.7);
  if (!Lost(node)) {
    world_->After(NetworkDelay(), [this, pending, timeout] { Arrive<C>(pending, timeout); });
  }
  const bool cancels = random_.Chance(0.7);
  world_->After(timeout, [pending, cancels] {
    if (pending->reply == nullptr) return;
    if (cancels) {
      pending->cancelled->store(true);
      pending->call.cancelled = true;
    }
    Finish<C>(pending, std::nullopt);
  });
}

template <class C>
void Caller::Arrive(const std::shared_ptr<Pending<C>>& pending, Duration timeout) {
  ServerCall& call = pending->call;
  SimNode& node = world_->node(call.node);
  if (!node.up()) {
    world_->After(NetworkDelay(), [pending] {
      queue::Error error;
      error.code = absl::StatusCode::kUnavailable;
      error.reason = "UNREACHABLE";
      Finish<C>(pending, queue::Outcome<typename C::ResponseType>(error));
    });
    return;
  }
  call.boot = node.boots();
  call.arrived = world_->now();
  call.local_arrived = node.LocalNow();
  call.required = world_->ledger().last();
  uint64_t job = UINT64_MAX;
  v1::LeaseToken token;
  if constexpr (requires { pending->request.jobs(0).payload(); }) {
    if (pending->request.jobs_size() > 0) job = JobNumberOf(pending->request.jobs(0).payload());
  } else if constexpr (requires { pending->request.items(0).id(); }) {
    if (pending->request.items_size() > 0) {
      job = NumberOfJob(pending->request.items(0).id());
      token = pending->request.items(0).token();
    }
  } else if constexpr (requires { pending->request.ids(0); }) {
    if (pending->request.ids_size() > 0) job = NumberOfJob(pending->request.ids(0));
  }
  C server_call;
  server_call.request = pending->request;
  server_call.access = call.access;
  if (pending->deadline) server_call.deadline = call.local_arrived + timeout;
  server_call.cancelled = pending->cancelled;
  server_call.done = [this, pending](queue::Outcome<typename C::ResponseType> outcome) {
    Answered<C>(pending, std::move(outcome));
  };
  queue::AnyCall any(std::move(server_call));
  NoteCall(call, any.index(), job, token);
  world_->answers().Arrive(call, pending->request);
  node.node().Submit(std::move(any));
}

template <class C>
void Caller::Answered(const std::shared_ptr<Pending<C>>& pending,
                      queue::Outcome<typename C::ResponseType> outcome) {
  const ServerCall& call = pending->call;
  const SimNode& node = world_->node(call.node);
  // An answer of a process that is being killed is lost.
  if (!node.up() || node.boots() != call.boot || node.disk_stopped()) return;
  uint64_t good = 0;
  uint64_t bad = outcome.ok() ? 0 : 1;
  std::string reason = outcome.error.reason;
  if constexpr (requires { outcome.value.results(0).code(); }) {
    for (const auto& status : outcome.value.results()) {
      ++(status.code() == 0 ? good : bad);
      if (status.code() != 0) reason = ReasonOf(status);
    }
  } else if constexpr (requires { outcome.value.results(0).error(); }) {
    for (const auto& result : outcome.value.results()) {
      ++(result.error().code() == 0 ? good : bad);
      if (result.error().code() != 0) reason = ReasonOf(result.error());
    }
  } else if constexpr (requires { outcome.value.jobs_size(); }) {
    good = static_cast<uint64_t>(outcome.value.jobs_size());
  }
  NoteAnswer(call, queue::AnyCall(C{}).index(), good, bad, reason);
  world_->answers().Answer(call, pending->request, outcome);
  if (Lost(call.node)) return;
  auto shared = std::make_shared<queue::Outcome<typename C::ResponseType>>(std::move(outcome));
  world_->After(NetworkDelay(), [pending, shared] { Finish<C>(pending, std::move(*shared)); });
}

}  // namespace dqueue::sim
