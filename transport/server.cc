#include "transport/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include <mutex>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "node/peer_codec.h"
#include "transport/accept_loop.h"
#include "transport/channels.h"
#include "transport/listen_socket.h"
#include "transport/poller_reserve.h"
#include "transport/services.h"

namespace dqueue::transport {
namespace {

// Descriptors for log and snapshot files, peers and gRPC itself.
constexpr int kOwnDescriptors = 200;
constexpr int kConnectionsMax = 100000;
constexpr int kStreamsPerConnectionMax = 10000;
constexpr int kMetadataBytesMax = 16 << 10;
constexpr std::chrono::milliseconds kStopLimit{500};
constexpr const char* kHealthServices[] = {"dqueue.v1.JobService", "dqueue.v1.WorkerService"};

void EnableHealthServiceOnce() {
  // Process-wide, and not thread-safe by itself.
  static std::once_flag once;
  std::call_once(once, [] { grpc::EnableDefaultHealthCheckService(true); });
}

void EnableReflectionOnce() {
  static std::once_flag once;
  std::call_once(once, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
}

// What the health service says. Set before the server exists, so it remembers.
class Health {
 public:
  void Attach(grpc::HealthCheckServiceInterface* service) {
    const std::lock_guard lock(mutex_);
    service_ = service;
    TellLocked();
  }
  void SetLeader(const Leader& leader) {
    const std::lock_guard lock(mutex_);
    reason_ = leader.known() ? ""
                             : "no leader is known: an election is running, or a majority of "
                               "the nodes cannot be reached";
    TellLocked();
  }
  void ShutDown() {
    const std::lock_guard lock(mutex_);
    reason_ = "this node is shutting down";
    TellLocked();
    service_ = nullptr;
    stopped_ = true;
  }
  std::string NotReadyReason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }

 private:
  void TellLocked() {
    if (service_ == nullptr || stopped_) return;
    service_->SetServingStatus("", reason_.empty());
    for (const char* name : kHealthServices) service_->SetServingStatus(name, reason_.empty());
  }

  mutable std::mutex mutex_;
  grpc::HealthCheckServiceInterface* service_ = nullptr;
  bool stopped_ = false;
  std::string reason_ = "this node is starting";
};

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerOptions& options, node::Node* node)
      : authenticator_(std::make_shared<Authenticator>(options.auth)),
        router_(std::make_shared<CallRouter>(
            node, options.node_name, authenticator_,
            [health = health_](const Leader& leader) { health->SetLeader(leader); })),
        jobs_(MakeJobService(router_)),
        workers_(MakeWorkerService(router_)),
        cluster_(MakeClusterService(router_)),
        peers_(MakePeerService(router_, options.node_name)) {}

  ~ServerImpl() override {
    health_->ShutDown();
    accept_loop_.reset();
    router_->Stop();
    peers_->StopStreams();
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + kStopLimit);
      server_->Wait();
    }
  }

  absl::Status Listen(const ServerOptions& options) {
    absl::StatusOr<ListenSocket> socket = OpenListenSocket(options.listen);
    if (!socket.ok()) return socket.status();
    const absl::StatusOr<int> descriptors =
        RaiseDescriptorLimit(options.max_connections_hint + kOwnDescriptors);
    if (!descriptors.ok()) return descriptors.status();
    port_ = socket->port;

    KeepCallbackThreads();
    // Debian's Abseil looks for deadlocks in every lock that gRPC takes: some percent of a call.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    EnableHealthServiceOnce();
    if (options.reflection) EnableReflectionOnce();
    if (options.keep_poller_in_reserve) KeepOnePollerInReserve();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(static_cast<int>(node::kPeerMessageBytesMax));
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
    // Finds workers whose machine vanished during a long poll.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.RegisterService(jobs_.get());
    builder.RegisterService(workers_.get());
    builder.RegisterService(cluster_.get());
    builder.RegisterService(peers_->service());
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("the gRPC server did not start");

    health_->Attach(server_->GetHealthCheckService());
    router_->Start();
    accept_loop_ = std::make_unique<AcceptLoop>(
        std::move(socket->fd), std::min(*descriptors - kOwnDescriptors / 2, kConnectionsMax),
        [this](int fd) {
          grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
          connection.fd = fd;
          acceptor_->HandleNewConnection(&connection);
        });
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  std::string NotReadyReason() const override { return health_->NotReadyReason(); }
  bool RequestMetrics(std::function<void(const node::NodeMetrics&)> done) override {
    return router_->node().With(
        [&done](node::Node& node) { node.RequestMetrics(std::move(done)); });
  }
  std::shared_ptr<Authenticator> authenticator() override { return authenticator_; }
  std::shared_ptr<grpc::Channel> InProcessChannel() override {
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(-1);
    args.SetMaxSendMessageSize(-1);
    return server_->InProcessChannel(args);
  }

 private:
  // Shared with the node's callbacks, which may come late.
  const std::shared_ptr<Health> health_ = std::make_shared<Health>();
  const std::shared_ptr<Authenticator> authenticator_;
  const std::shared_ptr<CallRouter> router_;
  const std::unique_ptr<grpc::Service> jobs_;
  const std::unique_ptr<grpc::Service> workers_;
  const std::unique_ptr<grpc::Service> cluster_;
  const std::unique_ptr<PeerServiceBase> peers_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AcceptLoop> accept_loop_;
  int port_ = 0;
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
