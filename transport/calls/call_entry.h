// The port that a call arrives on, and the calls that it takes: calls of clients, calls that
// members forward, or both.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <utility>

#include "queue/api/error.h"
#include "transport/calls/call_router.h"

namespace dqueue::transport {

inline constexpr char kReasonPeersOnly[] = "PEERS_ONLY";
inline constexpr char kReasonNotAPeer[] = "NOT_A_PEER";

enum class Audience { kAll, kPeers, kClients };

class CallEntry {
 public:
  // Takes all calls. The mark of a forwarded call is trusted.
  CallEntry(std::shared_ptr<CallRouter> router) : router_(std::move(router)) {}  // NOLINT
  // With `certificates` a caller is a peer only if it presents a member's certificate.
  CallEntry(std::shared_ptr<CallRouter> router, Audience audience, bool certificates)
      : router_(std::move(router)), audience_(audience), certificates_(certificates) {}

  const std::shared_ptr<CallRouter>& router() const { return router_; }
  // Answers may contain the leader's address, which belongs to the peers' port.
  bool names_leader() const { return audience_ != Audience::kClients; }
  // nullopt: the port takes this call. UNAUTHENTICATED, PERMISSION_DENIED: marked as forwarded, but
  // not by a peer. UNIMPLEMENTED: this port is not for clients.
  std::optional<queue::Error> Refuse(const grpc::CallbackServerContext& context,
                                     bool forwarded) const;
  // nullopt: the caller is the member `name` (empty: any member). Else as Refuse().
  std::optional<queue::Error> RefuseCaller(const grpc::CallbackServerContext& context,
                                           const std::string& name = "") const;
  bool certificates() const { return certificates_; }

 private:
  std::shared_ptr<CallRouter> router_;
  Audience audience_ = Audience::kAll;
  bool certificates_ = false;
};

}  // namespace dqueue::transport
