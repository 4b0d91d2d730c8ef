#include "transport/http/server/host_check.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "queue/api/validate.h"
#include "transport/http/message/error_response.h"

namespace dqueue::transport {
namespace {

// The host without port and brackets: "::1" of "[::1]:80".
std::string HostOf(const std::string& authority) {
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    return end == std::string::npos ? "" : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.find(':'));
}

bool IsAddress(const std::string& host) {
  in6_addr ignored;
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

bool OnlyReads(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

HttpResponse Foreign(const char* reason, const std::string& message) {
  return HttpProblem(403, reason, message);
}

}  // namespace

HostCheck::HostCheck(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name == "*") any_ = true;
    names_.push_back(absl::AsciiStrToLower(name));
  }
}

bool HostCheck::Known(const std::string& host) const {
  return std::find(names_.begin(), names_.end(), host) != names_.end();
}

std::optional<HttpResponse> HostCheck::Problem(const HttpRequest& request) const {
  const std::string authority = absl::AsciiStrToLower(request.Header("Host"));
  const std::string host = HostOf(authority);
  if (!authority.empty() && !any_ && host != "localhost" && !IsAddress(host) && !Known(host)) {
    return Foreign("FOREIGN_HOST", "this node is not known as " + queue::ShownValue(host) +
                                       "; --http-allowed-hosts names what else it is called");
  }
  const std::string origin = absl::AsciiStrToLower(request.Header("Origin"));
  if (origin.empty()) {
    // Requests from forms and scripts of another site carry an Origin, too; this is a second check.
    if (OnlyReads(request.method) || request.Header("Sec-Fetch-Site") != "cross-site") {
      return std::nullopt;
    }
    return Foreign("FOREIGN_ORIGIN", "a page of another site must not change anything here");
  }
  const size_t slashes = origin.find("://");
  const std::string from = slashes == std::string::npos ? "" : origin.substr(slashes + 3);
  // This server's own pages, or pages of an allowed name behind a proxy that changes Host.
  if (!from.empty() && (from == authority || Known(HostOf(from)))) return std::nullopt;
  return Foreign("FOREIGN_ORIGIN", "pages of " + queue::ShownValue(origin) +
                                       " must not use this node; only its own may");
}

}  // namespace dqueue::transport
