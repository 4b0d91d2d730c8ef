// Raft messages in the frames of a stream between members: reading them, and collecting answers.
#pragma once

#include <string>
#include <vector>

#include "dqueue/v1/peer.pb.h"
#include "node/node.h"
#include "transport/logging/log_sample.h"

namespace dqueue::transport {

// Metadata of a stream between members, in both directions: the sender's name.
inline constexpr char kNodeKey[] = "dqueue-node";
// Stream metadata: the sender accepts answers on this stream (proto/dqueue/v1/peer.proto).
inline constexpr char kTakesAnswersKey[] = "dqueue-takes-answers";

// Reads the messages in a frame. Drops and logs messages that are damaged or from another member
// than expected. Any thread.
class FrameReader {
 public:
  // `peer`: the address of the sender, for the log. `from`: the expected sender of all messages;
  // empty: any.
  std::vector<raft::Message> Read(peer::v1::Frame frame, const std::string& peer,
                                  const std::string& from);

 private:
  void OnBadMessage(const std::string& peer, const std::string& problem);

  LogSample bad_messages_;
};

// Collects the responses that this thread sends to one peer while it handles a frame (RAII). They
// are sent as the answer to that frame.
class AnswerCollector {
 public:
  explicit AnswerCollector(raft::NodeId peer);
  ~AnswerCollector();
  AnswerCollector(const AnswerCollector&) = delete;
  AnswerCollector& operator=(const AnswerCollector&) = delete;

  // Moves the responses in `messages` to this thread's collector, if it has one for that peer.
  // Other messages (entries, snapshots) stay: they all take the same way, so that they stay in
  // order.
  static void Collect(raft::NodeId to, std::vector<raft::Message>* messages);
  std::vector<raft::Message> Take();

 private:
  static thread_local AnswerCollector* current_;

  const raft::NodeId peer_;
  AnswerCollector* const outer_;
  std::vector<raft::Message> kept_;
};

}  // namespace dqueue::transport
