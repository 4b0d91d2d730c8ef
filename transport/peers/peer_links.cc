#include "transport/peers/peer_links.h"

#include <grpcpp/support/client_callback.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "dqueue/v1/peer.grpc.pb.h"
#include "node/peer_codec.h"
#include "transport/calls/channels.h"
#include "transport/calls/node_gate.h"
#include "transport/listeners/poller_reserve.h"
#include "transport/logging/escape.h"
#include "transport/peers/peer_messages.h"

namespace dqueue::transport {
namespace {

using Clock = std::chrono::steady_clock;
using peer::v1::Frame;

constexpr size_t kQueueBytesMax = 64 << 20;
// The bound while a connection is being made: old raft messages are useless.
constexpr size_t kConnectingBytesMax = 1 << 20;
// Size limit of a frame with several messages; a larger message travels alone.
constexpr size_t kFrameBytes = 4 << 20;
constexpr std::chrono::milliseconds kBackOffMin{20};
constexpr std::chrono::milliseconds kBackOffMax{1000};
constexpr uint64_t kLogDropsEvery = 10000;
// Of a peer's reason in a log line. gRPC puts the cause at the end of its message.
constexpr size_t kReasonBytesMax = 500;
// A broken stream is noticed after this at the latest.
constexpr std::chrono::milliseconds kListenEvery{100};

size_t CostOf(const raft::Message& message) {
  size_t bytes = 128;
  if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
    for (const raft::Entry& entry : append->entries) bytes += entry.SizeBytes();
  } else if (const auto* snapshot = std::get_if<raft::SnapshotRequest>(&message.body)) {
    bytes += snapshot->data.size() + snapshot->manifest.size() + snapshot->meta.config.size();
  }
  return bytes;
}

class Links;
class Link;

// One attempt at a stream; ends with OnDone.
class Stream final : public grpc::ClientBidiReactor<Frame, Frame> {
 public:
  Stream(std::shared_ptr<Link> link, const raft::Member& member, const std::string& self_name,
         const TlsStore* tls)
      : link_(std::move(link)),
        stub_(peer::v1::PeerService::NewStub(MakeNodeChannel(member.address, tls, member.name))) {
    context_.AddMetadata(kNodeKey, self_name);
    context_.AddMetadata(kTakesAnswersKey, "1");
  }

  void Begin() {
    stub_->async()->Connect(&context_, this);
    // A hold for writes from the node's loop; removed when the stream has broken.
    AddHold();
    Read();
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }
  // The name in the initial metadata of the other side; empty: no dqueue node.
  std::string Answered() const {
    const auto& metadata = context_.GetServerInitialMetadata();
    const auto it = metadata.find(kNodeKey);
    return it == metadata.end() ? "" : std::string(it->second.data(), it->second.size());
  }
  // One at a time; requires a stream that has not broken.
  Frame& frame() { return frame_; }
  void Write() { StartWrite(&frame_); }
  // One at a time.
  void Read() { StartRead(&answer_); }

  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  const std::shared_ptr<Link> link_;
  const std::unique_ptr<peer::v1::PeerService::Stub> stub_;
  grpc::ClientContext context_;
  Frame frame_;
  Frame answer_;
};

// The connection to one member: one stream after the other.
class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(std::shared_ptr<Links> links, raft::Member member, std::string self_name,
       std::shared_ptr<TlsStore> tls, uint32_t seed)
      : links_(std::move(links)),
        member_(std::move(member)),
        self_name_(std::move(self_name)),
        tls_(std::move(tls)),
        random_(seed) {}

  const raft::Member& member() const { return member_; }

  // On the links' thread: connects, or listens to the live stream. Returns the time of the next
  // call.
  Clock::time_point OnTime(Clock::time_point now);
  void Send(std::vector<raft::Message> messages);
  // Ends the live stream; opens no other.
  void Close();
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return stream_ == nullptr;
  }

  void OnConnected(Stream* stream);
  // May wait for the disk.
  void OnAnswer(Stream* stream, Frame answer);
  // The answer has been handled, and no read is under way.
  void OnHandled(Stream* stream, bool was_empty);
  void OnBroken(Stream* stream);
  void OnWritten(Stream* stream, bool ok);
  void OnStreamDone(Stream* stream, const grpc::Status& status);

 private:
  // Requires mutex_, a connected stream and no write under way.
  void WriteLocked();
  // Requires mutex_ and a stream.
  void ListenLocked();
  void DropLocked(size_t count);

  const std::shared_ptr<Links> links_;
  const raft::Member member_;
  const std::string self_name_;
  const std::shared_ptr<TlsStore> tls_;

  mutable std::mutex mutex_;
  Stream* stream_ = nullptr;  // deletes itself after OnStreamDone
  bool connected_ = false;
  bool broken_ = false;  // the stream is alive, but takes no more writes
  bool writing_ = false;
  bool reading_ = false;     // or handling an answer, or broken
  uint64_t unanswered_ = 0;  // frames
  bool closed_ = false;
  std::deque<raft::Message> queue_;
  size_t queue_bytes_ = 0;
  uint64_t dropped_ = 0;
  bool complained_ = false;  // the log has a line about this outage
  std::chrono::milliseconds back_off_ = kBackOffMin;
  Clock::time_point connect_at_;
  std::minstd_rand random_;
};

// All links. Outlives PeerLinks until the last stream has ended.
class Links : public std::enable_shared_from_this<Links> {
 public:
  Links(std::string self_name, std::shared_ptr<TlsStore> tls)
      : self_name_(std::move(self_name)), tls_(std::move(tls)) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  void Attach(node::Node* node) { node_.Open(node); }
  void SetPeers(const std::vector<raft::Member>& peers);
  void Send(raft::NodeId to, std::vector<raft::Message> messages);
  void Stop();

  void Disconnected(raft::NodeId peer) {
    node_.With([&](node::Node& node) { node.PeerDisconnected(peer); });
  }
  void Refused(raft::NodeId peer, const std::string& why) {
    node_.With([&](node::Node& node) { node.PeerRefused(peer, why); });
  }
  // May wait for the disk.
  void Take(Frame answer, const raft::Member& member) {
    std::vector<raft::Message> messages =
        reader_.Read(std::move(answer), member.address, member.name);
    node_.With([&](node::Node& node) { node.Receive(std::move(messages)); });
  }
  void Wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    wake_.notify_all();
  }

 private:
  void Run();

  const std::string self_name_;
  const std::shared_ptr<TlsStore> tls_;  // null: plain text
  NodeGate node_{nullptr};
  FrameReader reader_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  bool stop_ = false;
  std::map<raft::NodeId, std::shared_ptr<Link>> links_;
  std::vector<std::shared_ptr<Link>> leaving_;
  std::random_device seeds_;
  std::thread thread_;
};

void Stream::OnReadInitialMetadataDone(bool ok) {
  if (ok) link_->OnConnected(this);
}

void Stream::OnReadDone(bool ok) {
  if (!ok) {
    link_->OnBroken(this);
    RemoveHold();
    return;
  }
  // Taken out of the buffer before the next read, as in PeerStream::OnReadDone().
  Frame answer = std::exchange(answer_, Frame());
  const bool is_empty = answer.messages_size() == 0;
  PollerMayWait may_wait([this] { Read(); });
  link_->OnAnswer(this, std::move(answer));
  if (!may_wait.Done()) link_->OnHandled(this, is_empty);
}

void Stream::OnWriteDone(bool ok) { link_->OnWritten(this, ok); }

void Stream::OnDone(const grpc::Status& status) {
  link_->OnStreamDone(this, status);
  delete this;
}

Clock::time_point Link::OnTime(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (stream_ != nullptr) {
    ListenLocked();
    return now + kListenEvery;
  }
  if (closed_) return Clock::time_point::max();
  if (now < connect_at_) return connect_at_;
  connected_ = false;
  broken_ = false;
  writing_ = false;
  reading_ = true;
  unanswered_ = 0;
  stream_ = new Stream(shared_from_this(), member_, self_name_, tls_.get());
  // Under the lock, so that a stream is not cancelled before it has begun.
  stream_->Begin();
  return now + kListenEvery;
}

void Link::ListenLocked() {
  if (!std::exchange(reading_, true)) stream_->Read();
}

void Link::Send(std::vector<raft::Message> messages) {
  const std::lock_guard lock(mutex_);
  if (stream_ == nullptr || broken_ || closed_) {
    DropLocked(messages.size());
    return;
  }
  const size_t limit = connected_ ? kQueueBytesMax : kConnectingBytesMax;
  for (raft::Message& message : messages) {
    const size_t cost = CostOf(message);
    // A message larger than the bound is taken if no other waits.
    if (queue_bytes_ + cost > limit && !queue_.empty()) {
      DropLocked(1);
      continue;
    }
    queue_bytes_ += cost;
    queue_.push_back(std::move(message));
  }
  if (connected_ && !writing_ && !queue_.empty()) WriteLocked();
}

void Link::WriteLocked() {
  Frame& frame = stream_->frame();
  frame.Clear();
  size_t bytes = 0;
  while (!queue_.empty()) {
    const size_t cost = CostOf(queue_.front());
    if (bytes > 0 && bytes + cost > kFrameBytes) break;
    node::EncodeMessage(queue_.front(), frame.add_messages());
    queue_.pop_front();
    queue_bytes_ -= cost;
    bytes += cost;
  }
  writing_ = true;
  ++unanswered_;
  stream_->Write();
  ListenLocked();
}

void Link::DropLocked(size_t count) {
  const uint64_t before = dropped_;
  dropped_ += count;
  if (connected_ && before / kLogDropsEvery != dropped_ / kLogDropsEvery) {
    spdlog::warn("peer {} is too slow: {} messages dropped since the start", member_.name,
                 dropped_);
  }
}

void Link::OnConnected(Stream* stream) {
  const std::lock_guard lock(mutex_);
  if (stream != stream_ || broken_) return;
  const std::string who = stream->Answered();
  if (who != member_.name) {
    if (!std::exchange(complained_, true)) {
      spdlog::error("peer {} at {} answers as \"{}\": the address belongs to another node",
                    member_.name, member_.address, EscapeText(who));
    }
    stream->Cancel();
    return;
  }
  connected_ = true;
  complained_ = false;
  back_off_ = kBackOffMin;
  spdlog::info("connected to peer {} at {}", member_.name, member_.address);
  if (!queue_.empty()) WriteLocked();
}

void Link::OnAnswer(Stream* stream, Frame answer) {
  {
    const std::lock_guard lock(mutex_);
    if (stream != stream_ || broken_) return;
    unanswered_ -= std::min<uint64_t>(answer.answered(), unanswered_);
  }
  links_->Take(std::move(answer), member_);
}

void Link::OnHandled(Stream* stream, bool was_empty) {
  const std::lock_guard lock(mutex_);
  if (stream != stream_) return;
  reading_ = false;
  if (was_empty || unanswered_ > 0 || closed_) ListenLocked();
}

void Link::OnBroken(Stream* stream) {
  bool was_connected = false;
  {
    const std::lock_guard lock(mutex_);
    if (stream != stream_) return;
    broken_ = true;
    was_connected = std::exchange(connected_, false);
    dropped_ += queue_.size();
    queue_.clear();
    queue_bytes_ = 0;
  }
  // Reported now, not when gRPC has cleaned up: an election may depend on it.
  if (was_connected) links_->Disconnected(member_.id);
}

void Link::OnWritten(Stream* stream, bool ok) {
  const std::lock_guard lock(mutex_);
  if (stream != stream_) return;
  writing_ = false;
  // Not ok: the stream has broken, and the read reports that.
  if (ok && connected_ && !broken_ && !queue_.empty()) WriteLocked();
}

void Link::OnStreamDone(Stream* stream, const grpc::Status& status) {
  OnBroken(stream);
  // The peer answered, and does not take this node for a member.
  const bool refused = status.error_code() == grpc::StatusCode::PERMISSION_DENIED ||
                       status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
  const std::string why = status.error_message().empty()
                              ? "closed by the peer"
                              : EscapeText(status.error_message(), kReasonBytesMax);
  {
    const std::lock_guard lock(mutex_);
    stream_ = nullptr;
    // Half of it is random, so that members do not reconnect in step.
    const auto half = back_off_.count() / 2;
    connect_at_ =
        Clock::now() +
        std::chrono::milliseconds(half + std::uniform_int_distribution<int64_t>(0, half)(random_));
    back_off_ = std::min(back_off_ * 2, kBackOffMax);
    if (!closed_ && !std::exchange(complained_, true)) {
      spdlog::warn("{} peer {} at {}: {}", refused ? "refused by" : "no connection to",
                   member_.name, member_.address, why);
    }
  }
  if (refused) links_->Refused(member_.id, why);
  links_->Wake();
}

void Link::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (stream_ == nullptr) return;
  stream_->Cancel();
  // The read reports the end.
  ListenLocked();
}

void Links::SetPeers(const std::vector<raft::Member>& peers) {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return;
    std::map<raft::NodeId, std::shared_ptr<Link>> links;
    for (const raft::Member& peer : peers) {
      const auto it = links_.find(peer.id);
      if (it != links_.end() && it->second->member().address == peer.address) {
        links.emplace(peer.id, it->second);
        links_.erase(it);
      } else {
        links.emplace(peer.id,
                      std::make_shared<Link>(shared_from_this(), peer, self_name_, tls_, seeds_()));
      }
    }
    for (const auto& [id, link] : links_) {
      link->Close();
      leaving_.push_back(link);
    }
    links_.swap(links);
  }
  Wake();
}

void Links::Send(raft::NodeId to, std::vector<raft::Message> messages) {
  AnswerCollector::Collect(to, &messages);
  if (messages.empty()) return;
  std::shared_ptr<Link> link;
  {
    const std::lock_guard lock(mutex_);
    const auto it = links_.find(to);
    if (it == links_.end()) return;
    link = it->second;
  }
  link->Send(std::move(messages));
}

void Links::Run() {
  std::unique_lock lock(mutex_);
  const auto ended = [](const auto& link) { return link->ended(); };
  while (true) {
    std::erase_if(leaving_, ended);
    if (stop_ && leaving_.empty()) return;
    woken_ = false;
    const auto links = links_;
    lock.unlock();
    Clock::time_point next = Clock::time_point::max();
    for (const auto& [id, link] : links) next = std::min(next, link->OnTime(Clock::now()));
    lock.lock();
    if (next == Clock::time_point::max()) {
      wake_.wait(lock, [this] { return woken_; });
    } else {
      wake_.wait_until(lock, next, [this] { return woken_; });
    }
  }
}

void Links::Stop() {
  node_.Close();
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (const auto& [id, link] : links_) {
      link->Close();
      leaving_.push_back(link);
    }
    links_.clear();
    woken_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

class PeerLinksImpl final : public PeerLinks {
 public:
  PeerLinksImpl(const std::string& self_name, std::shared_ptr<TlsStore> tls)
      : links_(std::make_shared<Links>(self_name, std::move(tls))) {
    links_->Start();
  }
  ~PeerLinksImpl() override { links_->Stop(); }

  void Attach(node::Node* node) override { links_->Attach(node); }
  void SetPeers(const std::vector<raft::Member>& peers) override { links_->SetPeers(peers); }
  void Send(raft::NodeId to, std::vector<raft::Message> messages) override {
    links_->Send(to, std::move(messages));
  }
  void Stop() override { links_->Stop(); }

 private:
  const std::shared_ptr<Links> links_;
};

}  // namespace

std::unique_ptr<PeerLinks> PeerLinks::Create(const std::string& self_name,
                                             std::shared_ptr<TlsStore> tls) {
  return std::make_unique<PeerLinksImpl>(self_name, std::move(tls));
}

}  // namespace dqueue::transport
