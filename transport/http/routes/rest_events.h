// GET /events: changes of counters and of the cluster, as server-sent events (event_hub.h).
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "transport/http/routes/event_hub.h"
#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/server/router.h"

namespace dqueue::transport {

class Events {
 public:
  // Requests the free disk space of the node: `done` gets it on any thread, or is never called.
  using AskDisk = std::function<void(EventSource::Disk done)>;

  // `bridge`, and everything that `ask_disk` uses, must outlive this object.
  Events(RpcBridge* bridge, std::shared_ptr<Authenticator> authenticator, AskDisk ask_disk,
         EventOptions options);
  // Ends every stream. The HTTP server must be destroyed before.
  ~Events();
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  void AddRoute(Router* router);

 private:
  void Begin(const HttpCall& call, const HttpReply& reply);
  void Run();
  // The hubs that have viewers, or may get one now.
  std::vector<std::shared_ptr<EventHub>> Hubs() const;

  const std::unique_ptr<EventSource> source_;
  const EventOptions options_;
  const std::shared_ptr<Authenticator> authenticator_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<EventHub>> hubs_;  // by their viewers' rights
  std::condition_variable wake_;
  bool stopped_ = false;
  std::thread ticker_;
};

}  // namespace dqueue::transport
