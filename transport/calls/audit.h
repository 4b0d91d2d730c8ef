// Who did what to queues, keys and the cluster: one line in the log for each such call, allowed or
// not, written by the node that the caller asked, and by the leader that it was forwarded to:
// without TLS anybody can say that a call was forwarded.
#pragma once

#include <string>

#include "transport/calls/rpc_methods.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

// Whether calls of this method are written down.
bool IsAudited(const RpcMethod& method);

// `subject`: what it was done to, without secrets. `outcome`: "OK", or why not.
void WriteAudit(const RpcMethod& method, const Caller& caller, const std::string& source,
                const std::string& subject, const std::string& outcome);

}  // namespace dqueue::transport
