// HTTP requests and answers as plain data, without a library's types.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

// The parsed target of a request line.
struct HttpTarget {
  // Decoded, without the leading slash: "/a/b%20c" is {"a", "b c"}, "/" is {""}. "%2F" is a
  // character of its segment, not a separator.
  std::vector<std::string> path;
  // Decoded; '+' is a space.
  std::map<std::string, std::string> query;
  bool asterisk = false;  // "*", of OPTIONS
};

// INVALID_ARGUMENT: not in origin form, a bad escape, a character below 0x21 or above 0x7e, an
// escape for NUL, text that is not UTF-8, or a query parameter that comes twice.
absl::StatusOr<HttpTarget> ParseTarget(const std::string& target);

struct HttpRequest {
  std::string method;  // as received: "GET"
  HttpTarget target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // The Authorization field, if there is exactly one, and the address of the client.
  Credentials credentials;

  // The first field with this name (case-insensitive); "": none.
  const std::string& Header(const std::string& name) const;
  // How often this field is there (case-insensitive).
  size_t Count(const std::string& name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type;  // empty: the answer has no body
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // Called once, on the server's thread, if the server knows that the client did not get this
  // answer.
  std::function<void()> undelivered;
};

}  // namespace dqueue::transport
