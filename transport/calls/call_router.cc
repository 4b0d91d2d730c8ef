#include "transport/calls/call_router.h"

#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "transport/calls/channels.h"
#include "transport/calls/unary_call.h"

namespace dqueue::transport {
namespace {

constexpr std::chrono::milliseconds kViewEvery{100};
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
  thread_ = std::thread([this] { Watch(); });
}

void CallRouter::Stop() {
  stopping_.store(true);
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    waiting.swap(waiting_);
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Waiting& w : waiting) w.call->OnStop();
  for (const auto& call : Calls()) {
    if (!call->ChangeUnderWay()) call->OnStop();
  }
  {
    std::unique_lock lock(calls_mutex_);
    calls_left_.wait_for(lock, kChangesMayEndIn, [this] { return calls_.empty(); });
  }
  for (const auto& call : Calls()) call->OnStop();
  gate_.Close();
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
  const raft::Member* member = members_.Find(raft::NodeIdOf(name));
  return member != nullptr && member->name == name;
}

std::string CallRouter::MemberAt(const std::string& address) const {
  const std::shared_lock lock(members_mutex_);
  for (const raft::NodeId id : members_.MemberIds()) {
    const raft::Member* member = members_.Find(id);
    if (member->address == address) return member->name;
  }
  return "";
}

void CallRouter::Register(UnaryCall* call) {
  const std::lock_guard lock(calls_mutex_);
  calls_.insert(call);
}

void CallRouter::Unregister(UnaryCall* call) {
  const std::lock_guard lock(calls_mutex_);
  calls_.erase(call);
  if (calls_.empty()) calls_left_.notify_all();
}

std::vector<std::shared_ptr<UnaryCall>> CallRouter::Calls() const {
  const std::lock_guard lock(calls_mutex_);
  std::vector<std::shared_ptr<UnaryCall>> calls;
  calls.reserve(calls_.size());
  // A registered call has not been answered, so it is alive.
  for (UnaryCall* call : calls_) calls.push_back(call->shared_from_this());
  return calls;
}

void CallRouter::WaitForLeader(std::shared_ptr<UnaryCall> call) {
  bool stopped = false;
  {
    const std::lock_guard lock(mutex_);
    stopped = stop_;
    if (!stopped) waiting_.push_back({call, Clock::now() + kRetryEvery});
  }
  if (stopped) {
    call->OnStop();
  } else {
    wake_.notify_one();
  }
}

void CallRouter::RequestView() {
  gate_.With([this](node::Node& node) {
    node.RequestView([router = weak_from_this()](const node::NodeView& view) {
      if (const auto self = router.lock()) self->OnView(view);
    });
  });
}

void CallRouter::OnView(const node::NodeView& view) {
  Leader leader;
  leader.name = view.leader_name;
  leader.address = view.leader_address;
  leader.self = !view.leader_name.empty() && view.leader_name == self_name_;
  // Written on the node's loop only, which is here.
  if (members_ != view.raft.config) {
    const std::unique_lock lock(members_mutex_);
    members_ = view.raft.config;
  }
  {
    const std::lock_guard lock(mutex_);
    view_requested_ = false;
    if (stop_ || leader == leader_) return;
    leader_ = leader;
    leader_changed_ = true;
    on_leader_(leader);
  }
  wake_.notify_one();
}

void CallRouter::Watch() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (!view_requested_) {
      view_requested_ = true;
      lock.unlock();
      RequestView();
      lock.lock();
    }
    const Clock::time_point now = Clock::now();
    std::vector<std::shared_ptr<UnaryCall>> retry;
    std::vector<std::shared_ptr<UnaryCall>> give_up;
    std::erase_if(waiting_, [&](const Waiting& waiting) {
      if (waiting.call->answered()) return true;
      if (waiting.call->WaitIsOver()) {
        give_up.push_back(waiting.call);
        return true;
      }
      if (leader_.known() && now >= waiting.not_before) {
        retry.push_back(waiting.call);
        return true;
      }
      return false;
    });
    const bool changed = std::exchange(leader_changed_, false);
    if (changed) last_answers_by_ = now + kLastAnswersIn;
    const bool late = now >= last_answers_by_;
    if (late) last_answers_by_ = Clock::time_point::max();
    const Leader leader = leader_;
    lock.unlock();
    for (const auto& call : give_up) call->GiveUp();
    for (const auto& call : retry) call->Retry();
    if ((changed || late) && leader.known()) {
      for (const auto& call : Calls()) call->OnLeaderChange(leader.address, late);
    }
    give_up.clear();
    retry.clear();
    lock.lock();
    if (stop_ || leader_changed_) continue;
    wake_.wait_for(lock, waiting_.empty() ? kViewEvery : kRetryEvery);
  }
}

}  // namespace dqueue::transport
