#include "transport/server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "node/peer_codec.h"
#include "transport/calls/channels.h"
#include "transport/calls/services.h"
#include "transport/listeners/accept_loop.h"
#include "transport/listeners/callback_threads.h"
#include "transport/listeners/http2_guard.h"
#include "transport/listeners/listen_socket.h"
#include "transport/listeners/poller_reserve.h"
#include "transport/listeners/tls_credentials.h"
#include "transport/logging/grpc_log.h"
#include "transport/peers/peer_service.h"

namespace dqueue::transport {
namespace {

// Descriptors for log and snapshot files, peers and gRPC itself.
constexpr int kOwnDescriptors = 200;
constexpr int kConnectionsMax = 100000;
constexpr int kStreamsPerConnectionMax = 10000;
constexpr int kMetadataBytesMax = 16 << 10;
// TLS and the first frames of HTTP/2.
constexpr int kHandshakeMs = 10000;
constexpr std::chrono::milliseconds kStopLimit{500};
constexpr const char* kHealthServices[] = {"dqueue.v1.JobService", "dqueue.v1.WorkerService",
                                           "dqueue.v1.KeyService"};

void EnableHealthServiceOnce() {
  // Process-wide, and not thread-safe by itself.
  static std::once_flag once;
  std::call_once(once, [] { grpc::EnableDefaultHealthCheckService(true); });
}

void EnableReflectionOnce() {
  static std::once_flag once;
  std::call_once(once, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
}

// The state of the health services. Set before the servers exist, so it is stored.
class Health {
 public:
  void Attach(grpc::HealthCheckServiceInterface* service) {
    const std::lock_guard lock(mutex_);
    services_.push_back(service);
    TellLocked();
  }
  void SetLeader(const Leader& leader) {
    const std::lock_guard lock(mutex_);
    no_leader_ = leader.known() ? ""
                                : "no leader is known: an election is running, or a majority of "
                                  "the nodes cannot be reached";
    UpdateLocked();
  }
  // `problem`: NodeStatus::excluded.
  void SetExcluded(const std::string& problem) {
    const std::lock_guard lock(mutex_);
    if (problem == excluded_) return;
    excluded_ = problem;
    UpdateLocked();
  }
  void ShutDown() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    reason_ = "this node is shutting down";
    TellLocked();
    services_.clear();
  }
  std::string NotReadyReason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }

 private:
  void UpdateLocked() {
    if (stopping_) return;
    // A node that is not part of the cluster may follow its leader, or know none.
    reason_ = excluded_.empty() ? no_leader_ : excluded_;
    TellLocked();
  }
  void TellLocked() {
    for (grpc::HealthCheckServiceInterface* service : services_) {
      service->SetServingStatus("", reason_.empty());
      for (const char* name : kHealthServices) service->SetServingStatus(name, reason_.empty());
    }
  }

  mutable std::mutex mutex_;
  std::vector<grpc::HealthCheckServiceInterface*> services_;  // one for each port
  std::string reason_ = "this node is starting";
  std::string no_leader_ = reason_;
  std::string excluded_;
  bool stopping_ = false;
};

// One port: its services, gRPC's server, and the loop that accepts for it.
class Port {
 public:
  explicit Port(const CallEntry& entry) : services_(MakeServices(entry)) {}

  // `peers` may be null.
  absl::Status Listen(const std::string& listen, const ServerOptions& options, int descriptors,
                      PeerServiceBase* peers) {
    absl::StatusOr<ListenSocket> socket = OpenListenSocket(listen);
    if (!socket.ok()) return socket.status();
    port_ = socket->port;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(static_cast<int>(node::kPeerMessageBytesMax));
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
    // A small message could expand and fill the memory before its size is checked.
    for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
      builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
    }
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    // Unused statistics.
    builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    // Detects workers whose machine vanished during a long poll.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    for (const auto& service : services_) builder.RegisterService(service.get());
    if (peers != nullptr) builder.RegisterService(peers->service());
    credentials_ =
        options.tls == nullptr
            ? grpc::InsecureServerCredentials()
            : TlsServerCredentials(options.tls, peers != nullptr && options.tls->for_peers());
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("the gRPC server did not start");
    accept_loop_ = std::make_unique<AcceptLoop>(
        std::move(socket->fd), std::min(descriptors - kOwnDescriptors / 2, kConnectionsMax),
        [this](int fd) {
          GuardConnection(fd);
          grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
          connection.fd = fd;
          acceptor_->HandleNewConnection(&connection);
        });
    return absl::OkStatus();
  }

  void StopAccepting() { accept_loop_.reset(); }
  // Calls that still run at `limit` are cut off.
  void Stop(std::chrono::system_clock::time_point limit) {
    if (server_ == nullptr) return;
    server_->Shutdown(limit);
    server_->Wait();
  }
  int port() const { return port_; }
  grpc::Server* server() { return server_.get(); }

 private:
  static std::vector<std::unique_ptr<grpc::Service>> MakeServices(const CallEntry& entry) {
    std::vector<std::unique_ptr<grpc::Service>> services;
    services.push_back(MakeJobService(entry));
    services.push_back(MakeWorkerService(entry));
    services.push_back(MakeClusterService(entry));
    services.push_back(MakeKeyService(entry));
    return services;
  }

  const std::vector<std::unique_ptr<grpc::Service>> services_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AcceptLoop> accept_loop_;
  int port_ = 0;
};

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerOptions& options, node::Node* node)
      : authenticator_(std::make_shared<Authenticator>(options.auth)),
        router_(std::make_shared<CallRouter>(
            node, options.node_name, authenticator_,
            [health = health_](const Leader& leader) { health->SetLeader(leader); },
            PeerTls(options))),
        peers_(MakePeerService(EntryOfPeers(options), options.node_name)),
        port_(EntryOfPeers(options)) {
    if (!options.client_listen.empty()) {
      client_port_.emplace(CallEntry(router_, Audience::kClients, false));
    }
  }

  ~ServerImpl() override {
    standing_.Cancel();
    health_->ShutDown();
    port_.StopAccepting();
    if (client_port_) client_port_->StopAccepting();
    keeper_.reset();
    router_->Stop();
    peers_->StopStreams();
    const auto limit = std::chrono::system_clock::now() + kStopLimit;
    if (client_port_) client_port_->Stop(limit);
    port_.Stop(limit);
  }

  absl::Status Listen(const ServerOptions& options) {
    const absl::StatusOr<int> descriptors =
        RaiseDescriptorLimit(options.max_connections_hint + kOwnDescriptors);
    if (!descriptors.ok()) return descriptors.status();
    KeepCallbackThreads();
    // Debian's Abseil detects deadlocks in every lock that gRPC takes, which costs some percent of
    // a call.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    RouteGrpcLogOnce();
    EnableHealthServiceOnce();
    if (options.reflection) EnableReflectionOnce();
    if (options.keep_poller_in_reserve) KeepOnePollerInReserve();
    absl::Status status = port_.Listen(options.listen, options, *descriptors, peers_.get());
    if (!status.ok()) return Of("--grpc-addr", status);
    health_->Attach(port_.server()->GetHealthCheckService());
    if (client_port_) {
      status = client_port_->Listen(options.client_listen, options, *descriptors, nullptr);
      if (!status.ok()) return Of("--client-addr", status);
      health_->Attach(client_port_->server()->GetHealthCheckService());
    }
    router_->Start();
    router_->node().With([this](node::Node& node) {
      standing_ = node.Watch(
          [health = health_](const node::NodeStatus& now) { health->SetExcluded(now.excluded); });
    });
    keeper_ = KeyKeeper::Start(&router_->node(), authenticator_, options.first_keys,
                               [this] { router_->CheckKeys(); });
    return absl::OkStatus();
  }

  int port() const override { return port_.port(); }
  int client_port() const override { return client_port_ ? client_port_->port() : port(); }
  std::string NotReadyReason() const override { return health_->NotReadyReason(); }
  bool RequestMetrics(std::function<void(const node::NodeMetrics&)> done) override {
    return router_->node().With(
        [&done](node::Node& node) { node.RequestMetrics(std::move(done)); });
  }
  std::shared_ptr<Authenticator> authenticator() override { return authenticator_; }
  Rejections::Counts rejections() override { return router_->rejections().counts(); }
  std::shared_ptr<grpc::Channel> InProcessChannel() override {
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(-1);
    args.SetMaxSendMessageSize(-1);
    return (client_port_ ? *client_port_ : port_).server()->InProcessChannel(args);
  }

 private:
  static absl::Status Of(const char* flag, const absl::Status& status) {
    return absl::Status(status.code(), std::string(flag) + ": " + std::string(status.message()));
  }
  static std::shared_ptr<TlsStore> PeerTls(const ServerOptions& options) {
    return options.tls != nullptr && options.tls->for_peers() ? options.tls : nullptr;
  }
  CallEntry EntryOfPeers(const ServerOptions& options) const {
    return CallEntry(router_, options.client_listen.empty() ? Audience::kAll : Audience::kPeers,
                     options.tls != nullptr);
  }

  // Shared with the node's callbacks, which may come late.
  const std::shared_ptr<Health> health_ = std::make_shared<Health>();
  node::StatusWatch standing_;
  const std::shared_ptr<Authenticator> authenticator_;
  const std::shared_ptr<CallRouter> router_;
  const std::unique_ptr<PeerServiceBase> peers_;
  Port port_;
  std::optional<Port> client_port_;
  std::unique_ptr<KeyKeeper> keeper_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      node::Node* node) {
  auto server = std::make_unique<ServerImpl>(options, node);
  const absl::Status status = server->Listen(options);
  if (!status.ok()) return status;
  return server;
}

}  // namespace dqueue::transport
