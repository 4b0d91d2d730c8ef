// The gRPC server of a node, for peers and clients, on one port or two. A node serves the calls of
// clients or forwards them to the leader (calls/client_call.h).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "node/node.h"
#include "transport/calls/rejections.h"
#include "transport/keys/authenticator.h"
#include "transport/listeners/tls.h"
#include "transport/server/key_keeper.h"

namespace grpc {
class Channel;
}

namespace dqueue::transport {

struct ServerOptions {
  std::string listen;  // host:port, ":9090" means all interfaces; port 0: any
  // A separate port for clients; `listen` then takes only peers and the calls that they forward.
  // Empty: `listen` takes all.
  std::string client_listen;
  std::string node_name;
  // For both ports; null: plain text. With TLS a peer is a caller with a member's certificate from
  // the store's CA; without a CA there are no peers. In plain text every caller may act as a peer.
  std::shared_ptr<TlsStore> tls;
  bool reflection = false;
  bool auth = false;  // callers need API keys (keys/authenticator.h)
  FirstKeys first_keys;
  // Keep one of gRPC's threads in reserve (listeners/poller_reserve.h). For a process with one
  // node.
  bool keep_poller_in_reserve = false;
  int max_connections_hint = 1000;  // Start() raises the descriptor limit to fit, or fails
};

class Server {
 public:
  // INVALID_ARGUMENT: an address; UNAVAILABLE: it cannot be bound. Both name the flag.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       node::Node* node);
  // Stops within a second. Waiting calls are answered UNAVAILABLE / SHUTTING_DOWN.
  virtual ~Server() = default;
  virtual int port() const = 0;
  // The port for clients: port(), unless there is a separate one.
  virtual int client_port() const = 0;
  // The reason that the health service and /ready give; "": ready.
  virtual std::string NotReadyReason() const = 0;
  // Passes the node's metrics to `done`, on a thread of the node. False: the node is gone, and
  // `done` is not called.
  virtual bool RequestMetrics(std::function<void(const node::NodeMetrics&)> done) = 0;
  // Checks all callers of this node, over HTTP, too.
  virtual std::shared_ptr<Authenticator> authenticator() = 0;
  // Calls that this node turned away because it was too busy.
  virtual Rejections::Counts rejections() = 0;
  // A channel to the services for clients, without a connection. Its calls must end before the
  // server's destructor.
  virtual std::shared_ptr<grpc::Channel> InProcessChannel() = 0;
};

}  // namespace dqueue::transport
