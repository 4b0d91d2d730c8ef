#include "transport/http/routes/dashboard_files.h"

#include <string>
#include <string_view>
#include <utility>

#include "queue/api/validate.h"
#include "transport/http/message/error_response.h"

namespace dqueue::transport {
namespace {

constexpr std::string_view kPage = "index.html";

std::string TypeOf(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  return "image/svg+xml";
}

void Send(const HttpRequest& request, std::string_view name, const HttpReply& reply) {
  const EmbeddedFile* found = nullptr;
  for (const EmbeddedFile& file : kEmbeddedFiles) {
    if (name == file.name) found = &file;
  }
  if (found == nullptr) {
    return reply.Send(
        HttpProblem(404, "NOT_FOUND", "the dashboard has no file " + queue::ShownValue(name)));
  }
  HttpResponse response;
  response.headers.emplace_back("ETag", found->etag);
  // Cached, but revalidated: after an update of the node all files are of one version.
  response.headers.emplace_back("Cache-Control", "no-cache");
  if (request.Header("If-None-Match").find(found->etag) != std::string::npos) {
    response.status = 304;
  } else {
    response.content_type = TypeOf(name);
    response.body.assign(reinterpret_cast<const char*>(found->bytes), found->size);
  }
  reply.Send(std::move(response));
}

}  // namespace

void AddDashboardRoutes(Router* router) {
  router->Add(
      {"GET", "/",
       [](const HttpCall& call, const HttpReply& reply) { Send(call.request, kPage, reply); },
       "dashboard.page", queue::Scope::kNone, 0, /*is_call=*/false, Runs::kHere});
  router->Add({"GET", "/dashboard/{file}",
               [](const HttpCall& call, const HttpReply& reply) {
                 Send(call.request, call.path.at("file"), reply);
               },
               "dashboard.file", queue::Scope::kNone, 0, /*is_call=*/false, Runs::kHere});
}

}  // namespace dqueue::transport
