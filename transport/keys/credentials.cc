#include "transport/keys/credentials.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "transport/keys/secret_key.h"

namespace dqueue::transport {
namespace {

std::string Text(const grpc::string_ref& text) { return std::string(text.data(), text.size()); }

// The host in a gRPC peer: "ipv4:10.0.0.1:4711" is "10.0.0.1", "ipv6:%5B::1%5D:4711" is "::1".
std::string HostOfPeer(std::string_view peer) {
  const size_t scheme = peer.find(':');
  const size_t port = peer.rfind(':');
  if (scheme == std::string_view::npos || port <= scheme) return std::string(peer);
  std::string_view host = peer.substr(scheme + 1, port - scheme - 1);
  for (const std::string_view bracket : {"%5B", "["}) {
    if (host.starts_with(bracket)) host.remove_prefix(bracket.size());
  }
  for (const std::string_view bracket : {"%5D", "]"}) {
    if (host.ends_with(bracket)) host.remove_suffix(bracket.size());
  }
  return std::string(host);
}

// The secret of this process, as hard to guess as a key.
const std::string& OwnMark() {
  static const std::string mark = MakeSecretKey(v1::KEY_TYPE_ADMIN).secret + " ";
  return mark;
}

}  // namespace

std::string SourceMetadata(const std::string& source) { return OwnMark() + source; }

Credentials CredentialsOf(const grpc::ServerContextBase& context, bool with_source) {
  Credentials credentials;
  const auto& metadata = context.client_metadata();
  if (metadata.count(kAuthorizationKey) == 1) {
    credentials.authorization = Text(metadata.find(kAuthorizationKey)->second);
  }
  if (!with_source) return credentials;
  const auto source = metadata.find(kSourceKey);
  const std::string marked = source == metadata.end() ? "" : Text(source->second);
  if (marked.starts_with(OwnMark())) {
    credentials.source = marked.substr(OwnMark().size());
  } else {
    credentials.source = HostOfPeer(context.peer());
  }
  return credentials;
}

void AddAuthorization(const Credentials& credentials, grpc::ClientContext* context) {
  const std::string& text = credentials.authorization;
  const auto good = [](char c) { return c >= 0x20 && c <= 0x7e; };
  if (text.empty() || !std::all_of(text.begin(), text.end(), good)) return;
  context->AddMetadata(kAuthorizationKey, text);
}

}  // namespace dqueue::transport
