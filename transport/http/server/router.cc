#include "transport/http/server/router.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_error.h"
#include "transport/http/message/error_response.h"

namespace dqueue::transport {
namespace {

// The weight of a word in a pattern, for precedence. A name with a suffix has 1, a name 0.
constexpr int kWordCounts = 2;

// The precedence of the pattern for this path; nullopt: it does not match. `names` may be null.
std::optional<int> Match(std::string_view pattern, const std::vector<std::string>& path,
                         std::map<std::string, std::string>* names) {
  if (path.empty()) return std::nullopt;  // "*"
  int words = 0;
  pattern.remove_prefix(1);
  for (size_t i = 0; i < path.size(); ++i) {
    const size_t slash = pattern.find('/');
    const bool last = slash == std::string_view::npos;
    if (last != (i + 1 == path.size())) return std::nullopt;
    const std::string_view segment = pattern.substr(0, slash);
    if (!last) pattern.remove_prefix(slash + 1);
    if (segment.starts_with('{')) {
      const size_t brace = segment.find('}');
      const std::string_view end = segment.substr(brace + 1);
      if (path[i].size() <= end.size() || !path[i].ends_with(end)) return std::nullopt;
      words += !end.empty();
      if (names != nullptr) {
        (*names)[std::string(segment.substr(1, brace - 1))] =
            path[i].substr(0, path[i].size() - end.size());
      }
    } else if (segment == path[i]) {
      words += kWordCounts;
    } else {
      return std::nullopt;
    }
  }
  return words;
}

std::string ShownPath(const HttpTarget& target) {
  std::string path;
  for (const std::string& segment : target.path) path += "/" + segment;
  return queue::ShownValue(path);
}

HttpResponse UnknownParameter(const std::pair<const std::string, std::string>& parameter) {
  return ErrorResponse(ToGrpcStatus(queue::InvalidField(queue::ShownValue(parameter.first),
                                                        queue::ShownValue(parameter.second),
                                                        "absent: this route has no parameters")));
}

HttpResponse Full() {
  HttpResponse response = HttpProblem(
      503, "OVERLOADED", "too many requests or answers wait at this node; nothing was done");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace

void Router::Add(Route route) {
  DQ_CHECK(route.pattern.starts_with('/'));
  for (const Route& other : routes_) {
    DQ_CHECK(other.method != route.method || other.pattern != route.pattern);
  }
  routes_.push_back(std::move(route));
}

const Route* Router::Find(const HttpRequest& request,
                          std::map<std::string, std::string>* path) const {
  const std::string& method = request.method == "HEAD" ? "GET" : request.method;
  const Route* best = nullptr;
  int most_words = -1;
  for (const Route& route : routes_) {
    if (route.method != method) continue;
    const std::optional<int> words = Match(route.pattern, request.target.path, nullptr);
    if (!words || *words <= most_words) continue;
    best = &route;
    most_words = *words;
  }
  if (best != nullptr && path != nullptr) Match(best->pattern, request.target.path, path);
  return best;
}

std::string Router::Allowed(const HttpTarget& target) const {
  std::set<std::string> methods;
  for (const Route& route : routes_) {
    if (!target.asterisk && !Match(route.pattern, target.path, nullptr)) continue;
    methods.insert(route.method);
    if (route.method == "GET") methods.insert("HEAD");
  }
  if (methods.empty()) return "";
  methods.insert("OPTIONS");
  std::string allowed;
  for (const std::string& method : methods) allowed += (allowed.empty() ? "" : ", ") + method;
  return allowed;
}

size_t Router::BodyBytesMax(const HttpRequest& head) {
  const Route* route = Find(head, nullptr);
  if (route == nullptr) return 0;
  // Handle() gives the reason.
  const bool refused = route->scope != queue::Scope::kNone &&
                       authenticator_->Look(head.credentials, route->scope).standing ==
                           Authenticator::Standing::kRefused;
  return refused ? 0 : route->body_bytes_max;
}

std::optional<HttpResponse> Router::Refusal(const Route& route, const HttpRequest& request) const {
  if (route.scope == queue::Scope::kNone) return std::nullopt;
  const Authenticator::Ruling ruling = authenticator_->Check(request.credentials, route.scope);
  if (ruling.standing == Authenticator::Standing::kAllowed) return std::nullopt;
  if (ruling.standing == Authenticator::Standing::kUnknown && route.is_call) return std::nullopt;
  return ErrorResponse(ToGrpcStatus(ruling.error));
}

void Router::Start(const Route& route, HttpCall call, HttpReply reply) {
  if (pool_ == nullptr || route.runs == Runs::kHere) return route.handle(std::move(call), reply);
  if (route.runs == Runs::kInPool && reply.server_full()) return reply.Send(Full());
  const size_t bytes = call.request.body.size();
  const WorkPool::Lane lane =
      route.runs == Runs::kWatch ? WorkPool::Lane::kWatch : WorkPool::LaneOf(bytes);
  // Routes are not added or removed any more.
  const bool taken = pool_->TryPost(
      lane, bytes, [handle = &route.handle, call = std::move(call), reply]() mutable {
        if (!reply.gone()) (*handle)(std::move(call), reply);
      });
  if (!taken) reply.Send(Full());
}

void Router::Handle(HttpRequest request, HttpReply reply) {
  std::map<std::string, std::string> path;
  if (const Route* route = Find(request, &path)) {
    if (auto refusal = Refusal(*route, request)) return reply.Send(*std::move(refusal));
    if (read_only_ && route->method != "GET") {
      return reply.Send(HttpProblem(403, "READ_ONLY",
                                    "this node's HTTP changes nothing (--http-read-only); use "
                                    "another node, or gRPC"));
    }
    if (route->plain && !request.target.query.empty()) {
      return reply.Send(UnknownParameter(*request.target.query.begin()));
    }
    return Start(*route, {std::move(request), std::move(path)}, std::move(reply));
  }
  const std::string allowed = Allowed(request.target);
  HttpResponse response;
  if (allowed.empty()) {
    response = HttpProblem(404, "NOT_FOUND", "nothing is at " + ShownPath(request.target));
  } else if (request.method == "OPTIONS") {
    response.status = 204;
  } else {
    response =
        HttpProblem(405, "METHOD_NOT_ALLOWED",
                    request.target.asterisk ? "only OPTIONS has the target *"
                                            : ShownPath(request.target) + " takes " + allowed);
  }
  if (!allowed.empty()) response.headers.emplace_back("Allow", allowed);
  reply.Send(std::move(response));
}

}  // namespace dqueue::transport
