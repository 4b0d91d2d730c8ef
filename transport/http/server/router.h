// The table of routes: which handler a method and a path mean, and what is said where there is
// none.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/api/key.h"
#include "transport/http/server/http_server.h"

namespace dqueue::transport {

// A request at its route.
struct HttpCall {
  HttpRequest request;
  std::map<std::string, std::string> path;  // by the names in the pattern: {id}
};

struct Route {
  std::string method;
  // "/jobs/{id}/ack": a segment is a word, or a name in braces that stands for any but an empty
  // one, perhaps with an end: "{queue}:pause".
  std::string pattern;
  std::function<void(HttpCall call, const HttpReply& reply)> handle;
  std::string name;                          // for metrics and logs
  queue::Scope scope = queue::Scope::kNone;  // that a caller needs; kNone: none, ever
  size_t body_bytes_max = 0;                 // 0: takes no body
  // It ends in a gRPC call, which looks at the caller's key once more: at the leader, if need be.
  bool is_call = true;
};

class Router : public HttpHandler {
 public:
  explicit Router(std::shared_ptr<Authenticator> authenticator)
      : authenticator_(std::move(authenticator)) {}

  // DQ_CHECK: no two routes have the same method and pattern.
  void Add(Route route);
  // From now on every route but those of GET is answered 403 READ_ONLY.
  void SetReadOnly() { read_only_ = true; }
  const std::vector<Route>& routes() const { return routes_; }

  size_t BodyBytesMax(const HttpRequest& head) override;
  // No path: 404 NOT_FOUND. No method: 405 with Allow. OPTIONS: 204 with Allow. HEAD is GET.
  // Without the right that the route wants: 401 or 403, and its body is not kept. A word in a
  // pattern goes before a name with an end, and that before a name. Paths are compared as they are:
  // "/a/" is not "/a".
  void Handle(HttpRequest request, HttpReply reply) override;

 private:
  const Route* Find(const HttpRequest& request, std::map<std::string, std::string>* path) const;
  // "" if no route has this path.
  std::string Allowed(const HttpTarget& target) const;

  // Why the caller may not have this.
  std::optional<HttpResponse> Refusal(const Route& route, const HttpRequest& request) const;

  const std::shared_ptr<Authenticator> authenticator_;
  std::vector<Route> routes_;
  bool read_only_ = false;
};

}  // namespace dqueue::transport
