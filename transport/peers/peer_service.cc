#include "transport/peers/peer_service.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "dqueue/v1/peer.grpc.pb.h"
#include "node/peer_codec.h"
#include "transport/calls/rpc_error.h"
#include "transport/listeners/poller_reserve.h"
#include "transport/logging/escape.h"
#include "transport/logging/log_sample.h"
#include "transport/peers/peer_messages.h"

namespace dqueue::transport {
namespace {

using peer::v1::Frame;

class PeerServiceImpl;

// Bound of the answers that wait for a write. Reached only if the other side does not read.
constexpr size_t kAnswersMax = 1000;

// One stream of another member.
class PeerStream final : public grpc::ServerBidiReactor<Frame, Frame> {
 public:
  // `from`: the name that the other side claims.
  PeerStream(PeerServiceImpl* service, grpc::CallbackServerContext* context, std::string from);

  // Sends the initial metadata, which the other side takes as "connected".
  void Begin() {
    StartSendInitialMetadata();
    StartRead(&frame_);
  }
  void Cancel() { context_->TryCancel(); }
  void End(const grpc::Status& status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override {}
  void OnDone() override;

 private:
  // Answers one more frame with `messages`.
  void Answer(std::vector<raft::Message> messages);
  // Requires mutex_, an unanswered frame and no write under way.
  void WriteLocked();

  PeerServiceImpl* const service_;
  grpc::CallbackServerContext* const context_;
  const std::string from_;
  const bool takes_answers_;
  Frame frame_;

  std::mutex mutex_;
  std::optional<grpc::Status> end_;  // set: nothing more is written
  bool writing_ = false;
  Frame answer_;  // being written
  uint32_t unanswered_ = 0;
  std::vector<raft::Message> answers_;
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
    // No certificate has the name "?", so a stream without a name is refused.
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
      stream->End(ToGrpcStatus(*refused));
    } else if (stopped) {
      stream->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "this node is shutting down"));
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

  // The peer was admitted, but has left the cluster since.
  bool HasLeft(const std::string& name) const {
    return entry_.certificates() && !entry_.router()->IsMember(name);
  }

  // May wait for the disk.
  void Take(Frame frame, const std::string& peer, const std::string& name) {
    std::vector<raft::Message> messages =
        reader_.Read(std::move(frame), peer, entry_.certificates() ? name : "");
    entry_.router()->node().With([&](node::Node& node) { node.Receive(std::move(messages)); });
  }

 private:
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
  FrameReader reader_;
  LogSample refused_;
};

PeerStream::PeerStream(PeerServiceImpl* service, grpc::CallbackServerContext* context,
                       std::string from)
    : service_(service),
      context_(context),
      from_(std::move(from)),
      takes_answers_(context->client_metadata().count(kTakesAnswersKey) > 0) {}

void PeerStream::OnReadDone(bool ok) {
  if (!ok) {
    End(grpc::Status::OK);
    return;
  }
  if (service_->HasLeft(from_)) {
    End(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not a member any more"));
    return;
  }
  // The next read starts after this frame is handled. A read makes gRPC send a window update at
  // once, which costs as much as an answer, unless it travels with one. If the disk stalls, the
  // next read starts meanwhile, because a leader must be heard; the next frame may then overtake
  // this one, as in a network. The frame is moved out of frame_ first, because this thread can be
  // delayed anywhere while the next read fills frame_.
  Frame frame = std::exchange(frame_, Frame());
  PollerMayWait may_wait([this] { StartRead(&frame_); });
  std::optional<AnswerCollector> answers;
  if (takes_answers_) answers.emplace(raft::NodeIdOf(from_));
  service_->Take(std::move(frame), context_->peer(), from_);
  if (answers) Answer(answers->Take());
  if (!may_wait.Done()) StartRead(&frame_);
}

void PeerStream::Answer(std::vector<raft::Message> messages) {
  const std::lock_guard lock(mutex_);
  if (end_) return;
  ++unanswered_;
  // Beyond the bound messages are lost, as in a network.
  if (answers_.size() < kAnswersMax) {
    answers_.insert(answers_.end(), std::make_move_iterator(messages.begin()),
                    std::make_move_iterator(messages.end()));
  }
  if (!writing_) WriteLocked();
}

void PeerStream::WriteLocked() {
  answer_.Clear();
  for (const raft::Message& message : answers_) {
    node::EncodeMessage(message, answer_.add_messages());
  }
  answers_.clear();
  answer_.set_answered(std::exchange(unanswered_, 0));
  writing_ = true;
  StartWrite(&answer_);
}

void PeerStream::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!end_) {
      // Not ok: the stream has broken, and the read reports that.
      if (ok && unanswered_ > 0) WriteLocked();
      return;
    }
  }
  Finish(*end_);
}

void PeerStream::End(const grpc::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (end_) return;
    end_ = status;
    // Finished after the write under way, or at the end of the connection.
    if (writing_) return;
  }
  Finish(status);
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
