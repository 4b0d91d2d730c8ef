// The audit log: one line for each call that changes queues, keys or the cluster, allowed or
// refused. Written by the node that received the call, and by the leader that it was forwarded to:
// without TLS any caller can claim that a call was forwarded.
#pragma once

#include <string>

#include "transport/calls/rpc_methods.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

// Calls of this method have an audit line.
bool IsAudited(const RpcMethod& method);

// `subject`: the request, without secrets. `outcome`: "OK", or the reason of the refusal.
void WriteAudit(const RpcMethod& method, const Caller& caller, const std::string& source,
                const std::string& subject, const std::string& outcome);

}  // namespace dqueue::transport
