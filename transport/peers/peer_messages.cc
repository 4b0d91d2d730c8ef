#include "transport/peers/peer_messages.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "node/peer_codec.h"
#include "transport/logging/escape.h"

namespace dqueue::transport {
namespace {

bool IsResponse(const raft::Message& message) {
  return std::holds_alternative<raft::PreVoteResponse>(message.body) ||
         std::holds_alternative<raft::VoteResponse>(message.body) ||
         std::holds_alternative<raft::AppendResponse>(message.body) ||
         std::holds_alternative<raft::HeartbeatResponse>(message.body) ||
         std::holds_alternative<raft::SnapshotResponse>(message.body) ||
         std::holds_alternative<raft::Refusal>(message.body);
}

}  // namespace

std::vector<raft::Message> FrameReader::Read(peer::v1::Frame frame, const std::string& peer,
                                             const std::string& from) {
  std::vector<raft::Message> messages;
  messages.reserve(frame.messages_size());
  for (auto& encoded : *frame.mutable_messages()) {
    absl::StatusOr<raft::Message> message = node::DecodeMessage(std::move(encoded));
    if (!message.ok()) {
      OnBadMessage(peer, std::string(message.status().message()));
    } else if (!from.empty() && message->from != raft::NodeIdOf(from)) {
      OnBadMessage(peer, "it is not from " + from + ", on whose stream it came");
    } else {
      messages.push_back(*std::move(message));
    }
  }
  return messages;
}

void FrameReader::OnBadMessage(const std::string& peer, const std::string& problem) {
  const uint64_t count = bad_messages_.Count();
  if (count == 0) return;
  spdlog::warn("dropped a message of peer {}: {} ({} dropped since the start)", EscapeText(peer),
               EscapeText(problem), count);
}

thread_local AnswerCollector* AnswerCollector::current_ = nullptr;

AnswerCollector::AnswerCollector(raft::NodeId peer)
    : peer_(peer), outer_(std::exchange(current_, this)) {}
AnswerCollector::~AnswerCollector() { current_ = outer_; }

void AnswerCollector::Collect(raft::NodeId to, std::vector<raft::Message>* messages) {
  if (current_ == nullptr || current_->peer_ != to) return;
  const auto responses =
      std::stable_partition(messages->begin(), messages->end(),
                            [](const raft::Message& message) { return !IsResponse(message); });
  std::move(responses, messages->end(), std::back_inserter(current_->kept_));
  messages->erase(responses, messages->end());
}

std::vector<raft::Message> AnswerCollector::Take() { return std::exchange(kept_, {}); }

}  // namespace dqueue::transport
