#include "transport/calls/call_router.h"

#include <algorithm>
#include <utility>

#include "transport/calls/channels.h"

namespace dqueue::transport {
namespace {

constexpr std::chrono::milliseconds kChangesMayEndIn{300};
constexpr size_t kStubsMax = 64;

}  // namespace

CallRouter::CallRouter(node::Node* node, std::string self_name,
                       std::shared_ptr<Authenticator> authenticator,
                       std::function<void(const Leader&)> on_leader, std::shared_ptr<TlsStore> tls)
    : gate_(node),
      self_name_(std::move(self_name)),
      authenticator_(std::move(authenticator)),
      on_leader_(std::move(on_leader)),
      tls_(std::move(tls)) {}

CallRouter::~CallRouter() { Stop(); }

void CallRouter::Start() {
  gate_.With([this](node::Node& node) {
    watch_ = node.Watch([this](const node::NodeStatus& status) { OnStatus(status); });
  });
  thread_ = std::thread([this] { Run(); });
}

void CallRouter::Stop() {
  stopping_.store(true);
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    woken_ = true;
    waiting.swap(waiting_);
  }
  wake_.notify_all();
  watch_.Cancel();
  if (thread_.joinable()) thread_.join();
  for (const Waiting& w : waiting) w.call->OnStop();
  for (const auto& call : Calls()) {
    if (!call->MayHaveEffect()) call->OnStop();
  }
  {
    std::unique_lock lock(calls_mutex_);
    calls_left_.wait_for(lock, kChangesMayEndIn, [this] { return calls_.empty(); });
  }
  for (const auto& call : Calls()) call->OnStop();
  requests_.Stop();
  gate_.Close();
  answers_.Stop();
}

Leader CallRouter::leader() const {
  const std::lock_guard lock(mutex_);
  return leader_;
}

std::shared_ptr<grpc::GenericStub> CallRouter::StubFor(const std::string& address,
                                                       const std::string& known_name) {
  const bool look_up = tls_ != nullptr && known_name.empty();
  const std::string name = look_up ? MemberAt(address) : known_name;
  const uint64_t generation = tls_ == nullptr ? 0 : tls_->generation();
  const std::lock_guard lock(mutex_);
  // New connections are made with the new certificates.
  if (generation != std::exchange(stubs_generation_, generation)) stubs_.clear();
  const auto it = stubs_.find({address, name});
  if (it != stubs_.end()) return it->second;
  // Calls under way keep their own reference.
  if (stubs_.size() >= kStubsMax) stubs_.clear();
  auto stub = std::make_shared<grpc::GenericStub>(MakeNodeChannel(address, tls_.get(), name));
  stubs_.emplace(std::pair(address, name), stub);
  return stub;
}

bool CallRouter::IsMember(const std::string& name) const {
  const std::shared_lock lock(members_mutex_);
  if (members_ == nullptr) return false;
  const raft::Member* member = members_->Find(raft::NodeIdOf(name));
  return member != nullptr && member->name == name;
}

std::string CallRouter::MemberAt(const std::string& address) const {
  const std::shared_lock lock(members_mutex_);
  if (members_ == nullptr) return "";
  for (const raft::NodeId id : members_->MemberIds()) {
    const raft::Member* member = members_->Find(id);
    if (member->address == address) return member->name;
  }
  return "";
}

void CallRouter::Register(RoutedCall* call) {
  const std::lock_guard lock(calls_mutex_);
  calls_.insert(call);
}

void CallRouter::Unregister(RoutedCall* call) {
  const std::lock_guard lock(calls_mutex_);
  calls_.erase(call);
  if (calls_.empty()) calls_left_.notify_all();
}

std::vector<std::shared_ptr<RoutedCall>> CallRouter::Calls() const {
  const std::lock_guard lock(calls_mutex_);
  std::vector<std::shared_ptr<RoutedCall>> calls;
  calls.reserve(calls_.size());
  // A registered call has not been answered, so it is alive.
  for (RoutedCall* call : calls_) calls.push_back(call->shared_from_this());
  return calls;
}

void CallRouter::WaitForLeader(std::shared_ptr<RoutedCall> call, uint64_t seen,
                               Clock::time_point until) {
  bool stopped = false;
  {
    const std::lock_guard lock(mutex_);
    stopped = stop_;
    if (!stopped) {
      waiting_.push_back({call, seen, Clock::now() + kSameLeaderPause, until});
      woken_ = true;
    }
  }
  if (stopped) {
    call->OnStop();
  } else {
    wake_.notify_one();
  }
}

void CallRouter::OnStatus(const node::NodeStatus& status) {
  {
    const std::unique_lock lock(members_mutex_);
    members_ = status.config;
  }
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return;
    const bool moved =
        status.leader_name != leader_.name || status.leader_address != leader_.address;
    if (!moved && status.serving == serving_) return;
    serving_ = status.serving;
    leader_ = {.name = status.leader_name,
               .address = status.leader_address,
               .self = !status.leader_name.empty() && status.leader_name == self_name_,
               .change = leader_.change + 1};
    woken_ = true;
    if (moved) {
      leader_changed_ = true;
      on_leader_(leader_);
    }
  }
  wake_.notify_one();
}

void CallRouter::CheckKeys() {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return;
    key_loss_ = true;
    woken_ = true;
  }
  wake_.notify_one();
}

void CallRouter::TakeKeyLoss(Clock::time_point now, Due* due) {
  if (std::exchange(key_loss_, false)) {
    due->check_keys = true;
    last_key_loss_ = now;
    keys_checked_at_ = std::min(keys_checked_at_, now + kChangesEndIn);
  }
  if (now >= keys_checked_at_) {
    due->check_keys = true;
    const Clock::time_point again = last_key_loss_ + kChangesEndIn;
    keys_checked_at_ = again > now ? again : Clock::time_point::max();
  }
  due->next = std::min(due->next, keys_checked_at_);
}

CallRouter::Due CallRouter::TakeDue(Clock::time_point now) {
  Due due;
  due.now = now;
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    if (waiting.call->answered()) return true;
    if (now >= waiting.until) {
      due.give_up.push_back(waiting.call);
      return true;
    }
    due.next = std::min(due.next, waiting.until);
    if (!leader_.known()) return false;
    if (leader_.change != waiting.seen || now >= waiting.not_before) {
      due.retry.push_back(waiting.call);
      return true;
    }
    due.next = std::min(due.next, waiting.not_before);
    return false;
  });
  due.changed = std::exchange(leader_changed_, false);
  if (due.changed) last_answers_by_ = now + kLastAnswersIn;
  due.late = now >= last_answers_by_;
  if (due.late) last_answers_by_ = Clock::time_point::max();
  due.next = std::min(due.next, last_answers_by_);
  TakeKeyLoss(now, &due);
  due.leader = leader_;
  return due;
}

void CallRouter::Tell(const Due& due) {
  for (const auto& call : due.give_up) call->GiveUp();
  for (const auto& call : due.retry) call->Retry();
  if (due.check_keys) {
    for (const auto& call : Calls()) call->OnKeyLoss(due.now);
  }
  if ((!due.changed && !due.late) || !due.leader.known()) return;
  for (const auto& call : Calls()) call->OnLeaderChange(due.leader.address, due.late);
}

void CallRouter::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    woken_ = false;
    Clock::time_point next;
    {
      const Due due = TakeDue(Clock::now());
      next = due.next;
      lock.unlock();
      Tell(due);
    }
    lock.lock();
    // An event since the last look has set woken_.
    if (next == Clock::time_point::max()) {
      wake_.wait(lock, [this] { return woken_; });
    } else {
      wake_.wait_until(lock, next, [this] { return woken_; });
    }
  }
}

}  // namespace dqueue::transport
