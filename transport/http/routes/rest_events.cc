#include "transport/http/routes/rest_events.h"

#include <chrono>
#include <utility>

#include "absl/strings/numbers.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/http/message/error_response.h"
#include "transport/http/routes/body_fields.h"

namespace dqueue::transport {
namespace {

constexpr std::chrono::seconds kTickTime{1};
// More than a change of leader takes.
constexpr std::chrono::seconds kAskTime{5};

// Uses the node's own services.
class NodeSource final : public EventSource {
 public:
  NodeSource(RpcBridge* bridge, Events::AskDisk ask_disk)
      : bridge_(bridge), ask_disk_(std::move(ask_disk)) {}

  void AskStats(const Credentials& viewer, Stats done) override {
    bridge_->Ask<v1::GetStatsResponse>(kGetStats, v1::GetStatsRequest(), viewer, kAskTime,
                                       std::move(done));
  }
  void AskCluster(const Credentials& viewer, Cluster done) override {
    bridge_->Ask<v1::GetClusterResponse>(kGetCluster, v1::GetClusterRequest(), viewer, kAskTime,
                                         std::move(done));
  }
  void AskDisk(Disk done) override { ask_disk_(std::move(done)); }

 private:
  RpcBridge* const bridge_;
  const Events::AskDisk ask_disk_;
};

bool SeesCluster(const Caller& caller) {
  return (caller.scopes & queue::ScopeBit(kGetCluster.scope)) != 0;
}

// A name for callers with the same rights.
std::string AudienceName(const Caller& caller) {
  std::string name = SeesCluster(caller) ? "c" : "-";
  if (caller.access == nullptr) return name;
  for (const std::string& pattern : caller.access->patterns()) name += '\n' + pattern;
  return name + '\n';
}

}  // namespace

Events::Events(RpcBridge* bridge, std::shared_ptr<Authenticator> authenticator, AskDisk ask_disk,
               EventOptions options)
    : source_(std::make_unique<NodeSource>(bridge, std::move(ask_disk))),
      options_(std::move(options)),
      authenticator_(std::move(authenticator)),
      ticker_([this] { Run(); }) {}

Events::~Events() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  ticker_.join();
  for (const auto& hub : Hubs()) hub->Stop();
}

void Events::AddRoute(Router* router) {
  router->Add({"GET", "/events",
               [this](HttpCall call, const HttpReply& reply) { Begin(call, reply); }, "events",
               queue::Scope::kJobsRead, 0, /*is_call=*/false, Runs::kWatch});
}

void Events::Begin(const HttpCall& call, const HttpReply& reply) {
  const std::string& last = call.request.Header("Last-Event-ID");
  uint64_t index = 0;
  if (!last.empty() && (last.find_first_not_of("0123456789") != std::string::npos ||
                        !absl::SimpleAtoi(last, &index))) {
    return reply.Send(
        BadField("Last-Event-ID", queue::ShownValue(last), "the id of an event, an applied index"));
  }
  const Credentials& credentials = reply.credentials();
  const Authenticator::Ruling ruling = authenticator_->Look(credentials, queue::Scope::kJobsRead);
  if (ruling.standing != Authenticator::Standing::kAllowed) {
    return reply.Send(ErrorResponse(ToGrpcStatus(ruling.error)));
  }
  HttpResponse head;
  head.content_type = "text/event-stream";
  // Tells a proxy not to buffer events.
  head.headers.emplace_back("X-Accel-Buffering", "no");
  EventViewer viewer{
      .stream = reply.Stream(std::move(head)),
      .credentials = credentials,
      .still_allowed =
          [auth = authenticator_, credentials, began = ruling.caller] {
            return !auth->LostRights(credentials, queue::Scope::kJobsRead, &began);
          },
  };
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<EventHub>& hub = hubs_[AudienceName(ruling.caller)];
    if (hub == nullptr) {
      EventOptions options = options_;
      options.cluster = SeesCluster(ruling.caller);
      hub = EventHub::Create(source_.get(), std::move(options));
    }
    hub->Add(std::move(viewer));
  }
  wake_.notify_all();
}

std::vector<std::shared_ptr<EventHub>> Events::Hubs() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<EventHub>> hubs;
  for (const auto& [name, hub] : hubs_) hubs.push_back(hub);
  return hubs;
}

void Events::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (hubs_.empty()) {
      wake_.wait(lock);
      continue;
    }
    wake_.wait_for(lock, kTickTime, [this] { return stopped_; });
    if (stopped_) return;
    lock.unlock();
    for (const auto& hub : Hubs()) hub->Tick();
    lock.lock();
    // Viewers are added under the lock.
    std::erase_if(hubs_, [](const auto& entry) {
      if (entry.second->viewers() > 0) return false;
      entry.second->Stop();
      return true;
    });
  }
}

}  // namespace dqueue::transport
