// The HTTP interface of a node: server, routes, and the bridge to the node's gRPC services.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "transport/http/server/http_server.h"
#include "transport/http/server/router.h"
#include "transport/server/server.h"

namespace dqueue::transport {

struct HttpFacadeOptions {
  HttpLimits limits;
  bool read_only = false;  // every route but GET answers 403 READ_ONLY
};

class HttpFacade {
 public:
  // Errors as HttpServer::Start(). `server` must outlive it.
  static absl::StatusOr<std::unique_ptr<HttpFacade>> Start(const std::string& listen,
                                                           Server* server,
                                                           const HttpFacadeOptions& options = {},
                                                           std::shared_ptr<TlsStore> tls = nullptr);
  // Closes connections and cancels calls under way.
  virtual ~HttpFacade() = default;
  virtual int port() const = 0;
  // All routes.
  virtual const Router& router() const = 0;
};

}  // namespace dqueue::transport
