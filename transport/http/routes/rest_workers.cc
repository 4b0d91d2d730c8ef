#include "transport/http/routes/rest_workers.h"

#include <google/protobuf/util/time_util.h>

#include <map>

#include "transport/calls/rpc_methods.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {
namespace {

using google::protobuf::util::TimeUtil;

std::string WorkerJson(const v1::Worker& worker) {
  const char* state = worker.leased() > 0 ? "busy" : worker.waiting() ? "idle" : "silent";
  return JsonObject()
      .Text("worker_id", worker.id())
      .Text("status", state)
      .Integer("active_jobs", worker.leased())
      .Text("started_at", TimeUtil::ToString(worker.first_time()))
      .Text("last_seen_at", TimeUtil::ToString(worker.last_time()))
      .Unsigned("delivered", worker.delivered())
      .Unsigned("completed", worker.completed())
      .Unsigned("failed", worker.failed())
      .Unsigned("expired", worker.expired())
      .Raw("queues", JsonTexts(worker.queues()))
      .Raw("types", JsonTexts(worker.types()))
      .Finish();
}

}  // namespace

std::string WorkersJson(const v1::ListWorkersResponse& workers) {
  struct MachineWorkers {
    int count = 0;
    std::string json;
  };
  std::map<std::string, MachineWorkers> machines;
  int busy = 0;
  int64_t leased = 0;
  for (const v1::Worker& worker : workers.workers()) {
    MachineWorkers& machine = machines[worker.host()];
    ++machine.count;
    machine.json += (machine.json.empty() ? "" : ",") + WorkerJson(worker);
    busy += worker.leased() > 0;
    leased += worker.leased();
  }
  std::string array;
  for (const auto& [host, machine] : machines) {
    array += (array.empty() ? "" : ",") + JsonObject()
                                              .Text("host", host)
                                              .Integer("total_workers", machine.count)
                                              .Raw("workers", "[" + machine.json + "]")
                                              .Finish();
  }
  return JsonObject()
      .Integer("total_workers", workers.workers_size())
      .Integer("total_machines", static_cast<int64_t>(machines.size()))
      .Integer("busy_workers", busy)
      .Integer("leased_jobs", leased)
      .Raw("machines", "[" + array + "]")
      .Finish();
}

void AddWorkersRoute(RpcBridge* bridge, Router* router) {
  router->Add({"GET", "/workers",
               [bridge](HttpCall, const HttpReply& reply) {
                 bridge->CallPages<v1::ListWorkersResponse>(
                     kListWorkers, v1::ListWorkersRequest(), reply,
                     [reply](const v1::ListWorkersResponse& workers) {
                       HttpResponse response;
                       response.content_type = "application/json";
                       response.body = WorkersJson(workers) + "\n";
                       reply.Send(std::move(response));
                     });
               },
               "workers", queue::Scope::kJobsRead, 0, /*is_call=*/true, Runs::kInPool,
               /*plain=*/true});
}

}  // namespace dqueue::transport
