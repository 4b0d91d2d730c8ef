// Sends raft messages to the other members, over one stream to each. peer_links.cc explains how.
#pragma once

#include <memory>
#include <string>

#include "node/node.h"
#include "transport/listeners/tls.h"

namespace dqueue::transport {

// Connects to the peers and sends them raft messages. Created before the node, which gets it as its
// PeerTransport; Attach() sets the node that receives responses.
class PeerLinks : public node::PeerTransport {
 public:
  // With `tls` each peer must present the certificate of the expected member.
  static std::unique_ptr<PeerLinks> Create(const std::string& self_name,
                                           std::shared_ptr<TlsStore> tls = nullptr);
  // From now on `node` gets responses and reports of disconnections. It must outlive Stop().
  virtual void Attach(node::Node* node) = 0;
  virtual void Stop() = 0;
};

}  // namespace dqueue::transport
