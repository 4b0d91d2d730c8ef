// The port that a call comes in through, and what it lets pass: clients' calls, those that members
// forward, or both.
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

enum class Audience { kEverybody, kPeers, kClients };

class CallEntry {
 public:
  // Open to everybody; who marks a call as forwarded is believed.
  CallEntry(std::shared_ptr<CallRouter> router) : router_(std::move(router)) {}  // NOLINT
  // With `certificates` only a member's certificate makes a caller a peer.
  CallEntry(std::shared_ptr<CallRouter> router, Audience audience, bool certificates)
      : router_(std::move(router)), audience_(audience), certificates_(certificates) {}

  const std::shared_ptr<CallRouter>& router() const { return router_; }
  // Whether answers say where the leader is. Its address is for peers: their port and no other.
  bool names_leader() const { return audience_ != Audience::kClients; }
  // Why this call does not pass; nullopt: it does. UNAUTHENTICATED, PERMISSION_DENIED: no peer
  // forwarded it. UNIMPLEMENTED: this port is not for clients.
  std::optional<queue::Error> Refuse(const grpc::CallbackServerContext& context,
                                     bool forwarded) const;
  // Whether the caller is a member: `name`, or any if that is empty.
  std::optional<queue::Error> RefuseCaller(const grpc::CallbackServerContext& context,
                                           const std::string& name = "") const;
  bool certificates() const { return certificates_; }

 private:
  std::shared_ptr<CallRouter> router_;
  Audience audience_ = Audience::kEverybody;
  bool certificates_ = false;
};

}  // namespace dqueue::transport
