#include "client/servers.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <utility>

#include "client/convert.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace dqueue::client {
namespace {

// Equal to the key in transport/calls/unary_call.h. The SDK shares no code with the servers.
constexpr char kLeaderAddressKey[] = "dqueue-leader-address";
constexpr std::chrono::milliseconds kAvoidFor{1000};
// For a leader address that this machine cannot reach: followers forward the calls meanwhile.
constexpr std::chrono::seconds kAvoidNamedFor{30};
constexpr size_t kEntriesMax = 64;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const Access& access) {
  grpc::ChannelArguments args;
  if (!access.server_name.empty()) args.SetSslTargetNameOverride(access.server_name);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 10);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Despite its name, this is the time limit of one connection attempt.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // The SDK retries itself.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Leaves out filters that cost CPU time, such as compression and statistics. Deadlines are kept.
  args.SetInt(GRPC_ARG_MINIMAL_STACK, 1);
  args.SetInt(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 1);
  args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  args.SetMaxReceiveMessageSize(-1);
  args.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, access.credentials, args);
}

// gRPC's errors of attempts that had no connection.
bool NeverSent(const std::string& grpc_message) {
  return grpc_message.starts_with("failed to connect to all addresses") ||
         grpc_message.starts_with("DNS resolution failed");
}

Duration FromProtoDuration(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) +
         std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(duration.nanos()));
}

}  // namespace

// Never freed. Global, so that leak checkers find it reachable.
void* anchor_of_callback_threads = nullptr;

void KeepCallbackThreads() {
  // Calls on a channel without credentials fail at once, but they keep the threads in use.
  struct Anchor {
    std::unique_ptr<v1::JobService::Stub> stub =
        v1::JobService::NewStub(grpc::CreateChannel("", nullptr));
    grpc::ClientContext context;
    v1::GetJobRequest request;
    v1::GetJobResponse response;
  };
  static const bool made_once = [] {
    auto* made = new Anchor;
    made->stub->async()->GetJob(&made->context, &made->request, &made->response,
                                [](const grpc::Status&) {});
    anchor_of_callback_threads = made;
    return true;
  }();
  (void)made_once;
}

Server::Server(std::string server_address, const Access& access)
    : address(std::move(server_address)),
      channel(MakeChannel(address, access)),
      jobs(v1::JobService::NewStub(channel)),
      workers(v1::WorkerService::NewStub(channel)),
      cluster(v1::ClusterService::NewStub(channel)),
      keys(v1::KeyService::NewStub(channel)) {}

std::string NormalAddress(std::string address) {
  for (const char* scheme : {"http://", "https://", "dns:///"}) {
    if (address.starts_with(scheme)) address.erase(0, std::string_view(scheme).size());
  }
  while (!address.empty() && address.back() == '/') address.pop_back();
  return address;
}

Servers::Servers(const std::vector<std::string>& addresses, Access access)
    : access_(std::move(access)) {
  if (!access_.problem.ok()) return;
  for (const std::string& raw : addresses) {
    const std::string address = NormalAddress(raw);
    const bool known = std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.server->address == address;
    });
    if (!address.empty() && !known) {
      entries_.push_back({std::make_shared<Server>(address, access_), Clock::time_point::min()});
    }
  }
  configured_ = entries_.size();
  // Clients start with different servers.
  if (configured_ > 0) {
    next_ = static_cast<size_t>(Clock::now().time_since_epoch().count() / 1000) % configured_;
  }
}

Status Servers::NoServers() const {
  if (!access_.problem.ok()) return access_.problem;
  return {Code::kInvalidArgument, "NO_SERVERS", "the client has no server addresses"};
}

std::shared_ptr<Server> Servers::Pick() {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (leader_ != kNone && entries_[leader_].avoid_until <= now) return entries_[leader_].server;
  size_t best = kNone;
  for (size_t i = 0; i < configured_; ++i) {
    const size_t candidate = (next_ + i) % configured_;
    if (entries_[candidate].avoid_until <= now) {
      best = candidate;
      break;
    }
    if (best == kNone || entries_[candidate].avoid_until < entries_[best].avoid_until) {
      best = candidate;
    }
  }
  if (best == kNone) return nullptr;
  next_ = (best + 1) % configured_;
  return entries_[best].server;
}

std::shared_ptr<Server> Servers::ByAddress(const std::string& raw) {
  const std::string address = NormalAddress(raw);
  {
    const std::lock_guard lock(mutex_);
    for (const Entry& entry : entries_) {
      if (entry.server->address == address) return entry.server;
    }
  }
  return std::make_shared<Server>(address, access_);
}

size_t Servers::FindOrAddLocked(const std::string& address) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].server->address == address) return i;
  }
  if (entries_.size() >= configured_ + kEntriesMax) return kNone;
  entries_.push_back({std::make_shared<Server>(address, access_), Clock::time_point::min()});
  return entries_.size() - 1;
}

void Servers::SetLeaderLocked(const std::string& address) {
  const size_t index = FindOrAddLocked(address);
  if (index == kNone || index == leader_) return;
  leader_ = index;
  // The hint is newer than an earlier failure of this server.
  if (index < configured_) entries_[index].avoid_until = Clock::time_point::min();
}

void Servers::OnSuccess(const std::shared_ptr<Server>& server, const grpc::ClientContext& context) {
  if (server->failing.load(std::memory_order_relaxed)) {
    server->failing.store(false, std::memory_order_relaxed);
    probes_.OnSuccess(server->address);
  }
  const auto& metadata = context.GetServerInitialMetadata();
  const auto it = metadata.find(kLeaderAddressKey);
  const std::lock_guard lock(mutex_);
  if (it != metadata.end()) {
    SetLeaderLocked(std::string(it->second.data(), it->second.size()));
  } else if (leader_ == kNone || entries_[leader_].server != server) {
    // It did not forward the call, so it is the leader.
    SetLeaderLocked(server->address);
  }
}

void Servers::OnFailure(const std::shared_ptr<Server>& server, const FailedAttempt& failure,
                        bool avoid) {
  if (failure.transport) {
    server->failing.store(true, std::memory_order_relaxed);
    probes_.OnFailure(server->address, failure.status.message);
  }
  const std::lock_guard lock(mutex_);
  const bool was_leader = leader_ != kNone && entries_[leader_].server == server;
  if (was_leader && failure.status.reason != "COMMIT_UNKNOWN" &&
      failure.status.code != Code::kResourceExhausted) {
    leader_ = kNone;
  }
  for (size_t i = 0; avoid && i < entries_.size(); ++i) {
    if (entries_[i].server != server) continue;
    const bool named = i >= configured_ && failure.transport;
    entries_[i].avoid_until =
        Clock::now() + (named ? Clock::duration(kAvoidNamedFor) : Clock::duration(kAvoidFor));
  }
  if (!failure.leader_address.empty() && failure.leader_address != server->address) {
    SetLeaderLocked(failure.leader_address);
  }
}

void Servers::Explain(const Server& server, Status* status, Duration limit) {
  if (status->ok() || !status->reason.empty()) return;
  const std::optional<ConnectionProblem> problem = probes_.Problem(server.address, limit);
  if (problem && !problem->reason.empty()) {
    status->reason = problem->reason;
    status->message = problem->message;
  } else {
    status->message = server.address + ": " + status->message;
  }
}

bool Servers::Unreachable(Duration duration) {
  const Clock::time_point now = Clock::now();
  std::vector<std::string> addresses;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < configured_; ++i) addresses.push_back(entries_[i].server->address);
  }
  return std::all_of(addresses.begin(), addresses.end(), [&](const std::string& address) {
    const auto since = probes_.UnreachableSince(address);
    return since && now - *since >= duration;
  });
}

FailedAttempt ReadFailure(const grpc::Status& status) {
  FailedAttempt failure;
  failure.status.code = FromRpcCode(status.error_code());
  failure.status.message = status.error_message();
  google::rpc::Status details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      if (any.UnpackTo(&info)) {
        failure.status.reason = info.reason();
        const auto it = info.metadata().find("leader_address");
        if (it != info.metadata().end()) failure.leader_address = it->second;
      } else if (any.UnpackTo(&retry)) {
        failure.retry_after = FromProtoDuration(retry.retry_delay());
      }
    }
  }
  if (!failure.status.reason.empty()) {
    failure.maybe_done = failure.status.reason == "COMMIT_UNKNOWN";
    return failure;
  }
  // An error of gRPC itself. Broken connections have several codes, depending on the moment.
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      failure.transport = true;
      failure.maybe_done = !NeverSent(failure.status.message);
      break;
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      failure.transport = true;
      failure.maybe_done = true;
      break;
    default:
      break;
  }
  return failure;
}

}  // namespace dqueue::client
