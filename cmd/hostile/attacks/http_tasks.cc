// The routes for one job: enqueue, lease, answer, read.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class HttpTasks : public Attack {
 public:
  void Round(Caller& caller) override {
    const std::string queue = "\"queue\":\"" + caller.queue() + "\"";
    for (int i = 0; i < 20; ++i) {
      caller.Http({.method = "POST", .target = "/tasks", .body = "{" + queue + "}"});
    }
    const std::string worker = "\"worker_id\":\"" + caller.queue() + "\"";
    for (int i = 0; i < 20; ++i) {
      const HttpAnswer job = caller.Http(
          {.method = "POST", .target = "/tasks/lease", .body = "{" + queue + "," + worker + "}"});
      const size_t at = job.body.find("\"id\":\"");
      if (job.status != 200 || at == std::string::npos) continue;
      const std::string id = job.body.substr(at + 6, job.body.find('"', at + 6) - at - 6);
      caller.Http(
          {.method = "POST", .target = "/tasks/" + id + "/ack", .body = "{" + worker + "}"});
      caller.Http({.target = "/tasks/" + id});
    }
  }
};

}  // namespace

std::unique_ptr<Attack> MakeHttpTasks() { return Make<HttpTasks>(); }

}  // namespace dqueue::cmd
