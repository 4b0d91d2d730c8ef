// The table of routes: finds the handler for a method and a path, checks the caller's scope, and
// answers where no route fits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/api/key.h"
#include "transport/calls/work_pool.h"
#include "transport/http/server/http_server.h"

namespace dqueue::transport {

// A request with the parameters from its path.
struct HttpCall {
  HttpRequest request;
  std::map<std::string, std::string> path;  // by the names in the pattern: {id}
};

// Where a route's handler runs.
enum class Runs {
  kInPool,  // in the lane for the size of its body
  kWatch,   // in the lane for metrics and events
  kHere,    // on the server's thread: it neither parses nor encodes anything
};

struct Route {
  std::string method;
  // "/jobs/{id}/ack": a segment is a word, or a name in braces for any non-empty segment,
  // optionally with a suffix: "{queue}:pause".
  std::string pattern;
  std::function<void(HttpCall call, const HttpReply& reply)> handle;
  std::string name;                          // for metrics and logs
  queue::Scope scope = queue::Scope::kNone;  // required of the caller; kNone: none
  size_t body_bytes_max = 0;                 // 0: takes no body
  // The route makes a gRPC call, which checks the caller's key again, at the leader if necessary.
  bool is_call = true;
  Runs runs = Runs::kInPool;
  // The route has no parameters in its query; a request with one is refused.
  bool plain = false;
};

class Router : public HttpHandler {
 public:
  // `pool` must live until the server is gone; null: all handlers run on the server's thread.
  explicit Router(std::shared_ptr<Authenticator> authenticator, WorkPool* pool = nullptr)
      : authenticator_(std::move(authenticator)), pool_(pool) {}

  // DQ_CHECK: no two routes have the same method and pattern.
  void Add(Route route);
  // From now on every route but GET answers 403 READ_ONLY.
  void SetReadOnly() { read_only_ = true; }
  const std::vector<Route>& routes() const { return routes_; }

  size_t BodyBytesMax(const HttpRequest& head) override;
  // Unknown path: 404 NOT_FOUND. Unknown method: 405 with Allow. OPTIONS: 204 with Allow. HEAD is
  // handled as GET. Without the route's scope: 401 or 403, and the body is not kept. In patterns a
  // word has precedence over a name with a suffix, and that over a name. "/a/" is not "/a". If the
  // pool or the server is full: 503 OVERLOADED with Retry-After. A request whose client has gone is
  // dropped.
  void Handle(HttpRequest request, HttpReply reply) override;

 private:
  const Route* Find(const HttpRequest& request, std::map<std::string, std::string>* path) const;
  // The value of Allow; "": no route has this path.
  std::string Allowed(const HttpTarget& target) const;

  // nullopt: the caller has the scope of the route.
  std::optional<HttpResponse> Refusal(const Route& route, const HttpRequest& request) const;

  // Runs the handler in its place.
  void Start(const Route& route, HttpCall call, HttpReply reply);

  const std::shared_ptr<Authenticator> authenticator_;
  WorkPool* const pool_;
  std::vector<Route> routes_;
  bool read_only_ = false;
};

}  // namespace dqueue::transport
