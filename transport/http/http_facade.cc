#include "transport/http/http_facade.h"

#include <utility>

#include "transport/calls/rpc_error.h"
#include "transport/calls/work_pool.h"
#include "transport/http/message/error_response.h"
#include "transport/http/routes/dashboard_files.h"
#include "transport/http/routes/metrics_page.h"
#include "transport/http/routes/rest_events.h"
#include "transport/http/routes/rest_jobs.h"
#include "transport/http/routes/rest_keys.h"
#include "transport/http/routes/rest_v1.h"
#include "transport/http/routes/rest_workers.h"
#include "transport/http/routes/rpc_bridge.h"

namespace dqueue::transport {
namespace {

HttpResponse PlainOk() {
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = "OK\n";
  return response;
}

void SendMetrics(Server* server, const std::shared_ptr<WorkPool>& pool, const HttpReply& reply) {
  // Reads files, so not on the node's loop.
  ProcessMetrics process = ReadProcessMetrics();
  process.callers = server->authenticator()->counts();
  process.rejections = server->rejections();
  process.http = pool->counts();
  const bool asked = server->RequestMetrics([pool, reply, process](const node::NodeMetrics& node) {
    // On the node's loop, which must not print.
    pool->Post(WorkPool::Lane::kWatch, 0, [reply, process, node] {
      HttpResponse response;
      response.content_type = kMetricsContentType;
      response.body = MetricsPage(node, process);
      reply.Send(std::move(response));
    });
  });
  if (!asked) reply.Send(ErrorResponse(ToGrpcStatus(ShuttingDownError())));
}

class HttpFacadeImpl final : public HttpFacade {
 public:
  HttpFacadeImpl(Server* server, const HttpFacadeOptions& options)
      : bridge_(server->InProcessChannel(), pool_.get()),
        router_(server->authenticator(), pool_.get()),
        events_(
            &bridge_, server->authenticator(),
            [server, pool = pool_](EventSource::Disk done) {
              server->RequestMetrics([pool, done = std::move(done)](const node::NodeMetrics& node) {
                // Not on the node's loop, because `done` waits for a lock.
                pool->Post(WorkPool::Lane::kWatch, 0,
                           [done, bytes = node.free_bytes] { done(bytes); });
              });
            },
            {.keys_needed = server->authenticator()->on(),
             .read_only = options.read_only,
             .cluster = true,
             .now_ms = nullptr}) {
    if (options.read_only) router_.SetReadOnly();
    router_.Add({"GET", "/health", [](HttpCall, const HttpReply& reply) { reply.Send(PlainOk()); },
                 "health", queue::Scope::kNone, 0, /*is_call=*/false, Runs::kHere});
    router_.Add({"GET", "/ready",
                 [server](HttpCall, const HttpReply& reply) {
                   const std::string reason = server->NotReadyReason();
                   reply.Send(reason.empty() ? PlainOk() : HttpProblem(503, "NOT_READY", reason));
                 },
                 "ready", queue::Scope::kNone, 0, /*is_call=*/false, Runs::kHere});
    router_.Add(
        {"GET", "/metrics",
         [this, server](HttpCall, const HttpReply& reply) { SendMetrics(server, pool_, reply); },
         "metrics", queue::Scope::kMetricsRead, 0, /*is_call=*/false, Runs::kWatch});
    AddV1Routes(&bridge_, &router_);
    AddJobRoutes(&bridge_, &router_);
    AddWorkersRoute(&bridge_, &router_);
    events_.AddRoute(&router_);
    AddDashboardRoutes(&router_);
    AddKeyRoutes(&bridge_, &router_);
  }

  absl::Status Listen(const std::string& listen, const HttpLimits& limits,
                      std::shared_ptr<TlsStore> tls) {
    auto http = HttpServer::Start(listen, &router_, limits, std::move(tls));
    if (!http.ok()) return http.status();
    http_ = *std::move(http);
    return absl::OkStatus();
  }

  ~HttpFacadeImpl() override {
    http_.reset();
    pool_->Stop();
  }

  int port() const override { return http_->port(); }
  const Router& router() const override { return router_; }

 private:
  // The server's thread ends first, then the pool. The rest is destroyed in reverse: the streams,
  // then the calls. Callbacks on the node's loop share the pool.
  const std::shared_ptr<WorkPool> pool_ = std::make_shared<WorkPool>();
  RpcBridge bridge_;
  Router router_;
  Events events_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpFacade>> HttpFacade::Start(const std::string& listen,
                                                              Server* server,
                                                              const HttpFacadeOptions& options,
                                                              std::shared_ptr<TlsStore> tls) {
  auto facade = std::make_unique<HttpFacadeImpl>(server, options);
  const absl::Status status = facade->Listen(listen, options.limits, std::move(tls));
  if (!status.ok()) return status;
  return facade;
}

}  // namespace dqueue::transport
