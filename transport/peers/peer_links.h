// Raft messages to the other members.
#pragma once

#include <memory>
#include <string>

#include "node/node.h"
#include "transport/listeners/tls.h"

namespace dqueue::transport {

// Connects to peers and carries raft messages; made before the node, which it needs for nothing but
// Attach().
class PeerLinks : public node::PeerTransport {
 public:
  // With `tls` peers must show the certificate of the member that they are expected to be.
  static std::unique_ptr<PeerLinks> Create(const std::string& self_name,
                                           std::shared_ptr<TlsStore> tls = nullptr);
  // Disconnections are reported to the node.
  virtual void Attach(node::Node* node) = 0;
  virtual void Stop() = 0;
};

}  // namespace dqueue::transport
