#include "transport/calls/call_entry.h"

#include <algorithm>
#include <string>
#include <vector>

#include "transport/listeners/tls_credentials.h"
#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

queue::Error No(absl::StatusCode code, const char* reason, std::string message) {
  queue::Error error;
  error.code = code;
  error.reason = reason;
  error.message = std::move(message);
  return error;
}

}  // namespace

std::optional<queue::Error> CallEntry::Refuse(const grpc::CallbackServerContext& context,
                                              bool forwarded) const {
  if (!forwarded) {
    if (audience_ != Audience::kPeers) return std::nullopt;
    return No(absl::StatusCode::kUnimplemented, kReasonPeersOnly,
              "this port is for the members of the cluster; clients have another (--client-addr)");
  }
  if (audience_ == Audience::kClients) {
    return No(absl::StatusCode::kPermissionDenied, kReasonNotAPeer,
              "a forwarded call cannot come in through the port of clients");
  }
  return RefuseCaller(context);
}

std::optional<queue::Error> CallEntry::RefuseCaller(const grpc::CallbackServerContext& context,
                                                    const std::string& name) const {
  if (!certificates_) return std::nullopt;
  const std::vector<std::string> names = CallerNames(*context.auth_context());
  if (names.empty()) {
    return No(absl::StatusCode::kUnauthenticated, kReasonNotAPeer,
              "a member shows a certificate that names it; there is none here");
  }
  const bool found = std::any_of(names.begin(), names.end(), [&](const std::string& each) {
    return (name.empty() || each == name) && router_->IsMember(each);
  });
  if (found) return std::nullopt;
  std::string have;
  for (const std::string& each : names) have += (have.empty() ? "" : ", ") + EscapeText(each);
  const bool claimed = std::find(names.begin(), names.end(), name) != names.end();
  return No(absl::StatusCode::kPermissionDenied, kReasonNotAPeer,
            "the caller's certificate names " + have +
                (name.empty() || claimed ? "; none of these is a member of this cluster (--peers)"
                                         : ", but the caller says that it is " + EscapeText(name) +
                                               " (--id and --tls-cert must have the same name)"));
}

}  // namespace dqueue::transport
