// The gRPC face of a node, to peers and to clients, on one port or two. Client calls go to the
// node; a follower forwards them to the leader once (metadata "dqueue-forwarded" marks a forwarded
// call, so that there are no loops).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "node/node.h"
#include "transport/keys/authenticator.h"
#include "transport/listeners/tls.h"
#include "transport/server/key_keeper.h"

namespace grpc {
class Channel;
}

namespace dqueue::transport {

struct ServerOptions {
  std::string listen;  // host:port, ":9090" means all interfaces; port 0: any
  // A port of their own for clients; then `listen` takes only peers and the calls that they
  // forward. Empty: `listen` takes all.
  std::string client_listen;
  std::string node_name;
  // For both ports; null: plain text. A peer is who shows a member's certificate of the CA in it;
  // without a CA there are none. In plain text everybody who can connect is believed to be one.
  std::shared_ptr<TlsStore> tls;
  bool reflection = false;
  bool auth = false;  // callers need API keys (keys/authenticator.h)
  FirstKeys first_keys;
  // For a process that holds one node: one of gRPC's threads waits in reserve (poller_reserve.h).
  bool keep_poller_in_reserve = false;
  int max_connections_hint =
      1000;  // the descriptor limit is raised to fit, or Start() says what is missing
};

class Server {
 public:
  // INVALID_ARGUMENT: an address; UNAVAILABLE: it cannot be bound. Both name the flag.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       node::Node* node);
  // Stops within a second: waiting calls are answered UNAVAILABLE / SHUTTING_DOWN.
  virtual ~Server() = default;
  virtual int port() const = 0;
  // That clients use: port(), unless they have one of their own.
  virtual int client_port() const = 0;
  // What the health service and /ready say: "" or the reason why not.
  virtual std::string NotReadyReason() const = 0;
  // What the node counts, on one of its threads. False: it is gone, and `done` is not called.
  virtual bool RequestMetrics(std::function<void(const node::NodeMetrics&)> done) = 0;
  // Of all who call this node, over HTTP too.
  virtual std::shared_ptr<Authenticator> authenticator() = 0;
  // To the services for clients without a connection. Calls on it must have ended before the
  // server's destructor.
  virtual std::shared_ptr<grpc::Channel> InProcessChannel() = 0;
};

}  // namespace dqueue::transport
