#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "dqueue/v1/peer.grpc.pb.h"
#include "node/peer_codec.h"
#include "transport/escape.h"
#include "transport/poller_reserve.h"
#include "transport/services.h"

namespace dqueue::transport {
namespace {

using peer::v1::Frame;

constexpr std::chrono::seconds kLogEvery{10};

class PeerServiceImpl;

// One stream of another member. It only listens; the answer side carries its end.
class PeerStream final : public grpc::ServerBidiReactor<Frame, Frame> {
 public:
  PeerStream(PeerServiceImpl* service, grpc::CallbackServerContext* context);

  // The other side takes this as "connected".
  void Begin() {
    StartSendInitialMetadata();
    StartRead(&frame_);
  }
  void Cancel() { context_->TryCancel(); }

  void OnReadDone(bool ok) override;
  void OnCancel() override {}
  void OnDone() override;

 private:
  PeerServiceImpl* const service_;
  grpc::CallbackServerContext* const context_;
  Frame frame_;
};

class PeerServiceImpl final : public PeerServiceBase,
                              public peer::v1::PeerService::CallbackService {
 public:
  PeerServiceImpl(std::shared_ptr<CallRouter> router, std::string self_name)
      : router_(std::move(router)), self_name_(std::move(self_name)) {}

  grpc::Service* service() override { return this; }

  grpc::ServerBidiReactor<Frame, Frame>* Connect(grpc::CallbackServerContext* context) override {
    context->AddInitialMetadata(kNodeKey, self_name_);
    auto* stream = new PeerStream(this, context);  // deletes itself in OnDone
    bool stopped = false;
    {
      const std::lock_guard lock(mutex_);
      stopped = stopped_;
      streams_.insert(stream);
    }
    if (stopped) {
      stream->Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "this node is shutting down"));
    } else {
      stream->Begin();
    }
    return stream;
  }

  void StopStreams() override {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (PeerStream* stream : streams_) stream->Cancel();
  }

  void Forget(PeerStream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.erase(stream);
  }

  // May wait for the disk.
  void Take(Frame frame, const std::string& from) {
    std::vector<raft::Message> messages;
    messages.reserve(frame.messages_size());
    for (auto& encoded : *frame.mutable_messages()) {
      absl::StatusOr<raft::Message> message = node::DecodeMessage(std::move(encoded));
      if (message.ok()) {
        messages.push_back(*std::move(message));
      } else {
        OnBadMessage(from, std::string(message.status().message()));
      }
    }
    router_->node().With([&](node::Node& node) { node.Receive(std::move(messages)); });
  }

 private:
  void OnBadMessage(const std::string& from, const std::string& problem) {
    const std::lock_guard lock(log_mutex_);
    ++bad_messages_;
    const auto now = std::chrono::steady_clock::now();
    if (last_log_ && now - *last_log_ < kLogEvery) return;
    last_log_ = now;
    spdlog::warn("dropped a message of peer {}: {} ({} dropped since the start)", EscapeText(from),
                 EscapeText(problem), bad_messages_);
  }

  const std::shared_ptr<CallRouter> router_;
  const std::string self_name_;
  std::mutex mutex_;
  bool stopped_ = false;
  std::set<PeerStream*> streams_;
  std::mutex log_mutex_;
  uint64_t bad_messages_ = 0;
  std::optional<std::chrono::steady_clock::time_point> last_log_;
};

PeerStream::PeerStream(PeerServiceImpl* service, grpc::CallbackServerContext* context)
    : service_(service), context_(context) {}

void PeerStream::OnReadDone(bool ok) {
  if (!ok) {
    Finish(grpc::Status::OK);
    return;
  }
  // The next frame is read afterwards, because gRPC tells the other side at once that there is room
  // for more, and that costs as much as an answer. A stalled disk is not waited for: a leader must
  // be heard. (A frame that is read then may overtake this one, as in a network.)
  PollerMayWait may_wait([this] { StartRead(&frame_); });
  service_->Take(std::exchange(frame_, Frame()), context_->peer());
  if (!may_wait.Done()) StartRead(&frame_);
}

void PeerStream::OnDone() {
  service_->Forget(this);
  delete this;
}

}  // namespace

std::unique_ptr<PeerServiceBase> MakePeerService(std::shared_ptr<CallRouter> router,
                                                 std::string self_name) {
  return std::make_unique<PeerServiceImpl>(std::move(router), std::move(self_name));
}

}  // namespace dqueue::transport
