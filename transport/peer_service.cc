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
#include "transport/log_sample.h"
#include "transport/poller_reserve.h"
#include "transport/rpc_error.h"
#include "transport/services.h"

namespace dqueue::transport {
namespace {

using peer::v1::Frame;

class PeerServiceImpl;

// One stream of another member. It only listens; the answer side carries its end.
class PeerStream final : public grpc::ServerBidiReactor<Frame, Frame> {
 public:
  // `from`: the member that it comes from, as it says itself.
  PeerStream(PeerServiceImpl* service, grpc::CallbackServerContext* context, std::string from);

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
  const std::string from_;
  Frame frame_;
};

class PeerServiceImpl final : public PeerServiceBase,
                              public peer::v1::PeerService::CallbackService {
 public:
  PeerServiceImpl(CallEntry entry, std::string self_name)
      : entry_(std::move(entry)), self_name_(std::move(self_name)) {}

  grpc::Service* service() override { return this; }

  grpc::ServerBidiReactor<Frame, Frame>* Connect(grpc::CallbackServerContext* context) override {
    const auto& metadata = context->client_metadata();
    const auto name = metadata.find(kNodeKey);
    const std::string from =
        name == metadata.end() ? "" : std::string(name->second.data(), name->second.size());
    auto* stream = new PeerStream(this, context, from);  // deletes itself in OnDone
    // A stream without a name is nobody's: no certificate has this one.
    const std::optional<queue::Error> refused =
        entry_.RefuseCaller(*context, from.empty() ? "?" : from);
    if (!refused) context->AddInitialMetadata(kNodeKey, self_name_);
    bool stopped = false;
    {
      const std::lock_guard lock(mutex_);
      stopped = stopped_;
      streams_.insert(stream);
    }
    if (refused) {
      OnRefused(context->peer(), refused->message);
      stream->Finish(ToGrpcStatus(*refused));
    } else if (stopped) {
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

  // It was let in, but may have left the cluster since.
  bool HasLeft(const std::string& name) const {
    return entry_.certificates() && !entry_.router()->IsMember(name);
  }

  // May wait for the disk.
  void Take(Frame frame, const std::string& peer, const std::string& name) {
    std::vector<raft::Message> messages;
    messages.reserve(frame.messages_size());
    for (auto& encoded : *frame.mutable_messages()) {
      absl::StatusOr<raft::Message> message = node::DecodeMessage(std::move(encoded));
      if (message.ok() && entry_.certificates() && message->from != raft::NodeIdOf(name)) {
        OnBadMessage(peer, "it is not from " + name + ", whose certificate it came with");
      } else if (message.ok()) {
        messages.push_back(*std::move(message));
      } else {
        OnBadMessage(peer, std::string(message.status().message()));
      }
    }
    entry_.router()->node().With([&](node::Node& node) { node.Receive(std::move(messages)); });
  }

 private:
  void OnBadMessage(const std::string& from, const std::string& problem) {
    const uint64_t count = bad_messages_.Count();
    if (count == 0) return;
    spdlog::warn("dropped a message of peer {}: {} ({} dropped since the start)", EscapeText(from),
                 EscapeText(problem), count);
  }
  void OnRefused(const std::string& from, const std::string& problem) {
    const uint64_t count = refused_.Count();
    if (count == 0) return;
    spdlog::warn("refused {} as a peer: {} ({} refused since the start)", EscapeText(from),
                 EscapeText(problem), count);
  }

  const CallEntry entry_;
  const std::string self_name_;
  std::mutex mutex_;
  bool stopped_ = false;
  std::set<PeerStream*> streams_;
  LogSample bad_messages_;
  LogSample refused_;
};

PeerStream::PeerStream(PeerServiceImpl* service, grpc::CallbackServerContext* context,
                       std::string from)
    : service_(service), context_(context), from_(std::move(from)) {}

void PeerStream::OnReadDone(bool ok) {
  if (!ok) {
    Finish(grpc::Status::OK);
    return;
  }
  if (service_->HasLeft(from_)) {
    Finish(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not a member any more"));
    return;
  }
  // The next frame is read afterwards, because gRPC tells the other side at once that there is room
  // for more, and that costs as much as an answer. A stalled disk is not waited for: a leader must
  // be heard. (A frame that is read then may overtake this one, as in a network.) Taken out of
  // frame_ before anybody may read into it: this thread can be kept waiting at any point.
  Frame frame = std::exchange(frame_, Frame());
  PollerMayWait may_wait([this] { StartRead(&frame_); });
  service_->Take(std::move(frame), context_->peer(), from_);
  if (!may_wait.Done()) StartRead(&frame_);
}

void PeerStream::OnDone() {
  service_->Forget(this);
  delete this;
}

}  // namespace

std::unique_ptr<PeerServiceBase> MakePeerService(CallEntry entry, std::string self_name) {
  return std::make_unique<PeerServiceImpl>(std::move(entry), std::move(self_name));
}

}  // namespace dqueue::transport
