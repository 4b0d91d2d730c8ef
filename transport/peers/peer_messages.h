// What both ends of a stream between members do with raft's messages.
#pragma once

#include <string>
#include <vector>

#include "dqueue/v1/peer.pb.h"
#include "node/node.h"
#include "transport/logging/log_sample.h"

namespace dqueue::transport {

// Metadata of a stream between members, both ways: the sender's name.
inline constexpr char kNodeKey[] = "dqueue-node";
// Metadata of who opens one: it takes answers (proto/dqueue/v1/peer.proto).
inline constexpr char kTakesAnswersKey[] = "dqueue-takes-answers";

// Takes messages out of frames; what is damaged, or not from whom it should be, is dropped and
// logged. From any thread.
class FrameReader {
 public:
  // `peer`: where the frame came from, for the log. `from`: the member that all messages must be
  // from; empty: any.
  std::vector<raft::Message> Read(peer::v1::Frame frame, const std::string& peer,
                                  const std::string& from);

 private:
  void OnBadMessage(const std::string& peer, const std::string& problem);

  LogSample bad_messages_;
};

// While it lives, responses that this thread sends to one peer are kept for its stream, as answers
// to the frame that is being handled.
class AnswerCollector {
 public:
  explicit AnswerCollector(raft::NodeId peer);
  ~AnswerCollector();
  AnswerCollector(const AnswerCollector&) = delete;
  AnswerCollector& operator=(const AnswerCollector&) = delete;

  // Moves out of `messages` what this thread's collector keeps, if it has one for that peer. What
  // is no response (entries, snapshots) stays: all of that takes one way, in its order.
  static void Collect(raft::NodeId to, std::vector<raft::Message>* messages);
  std::vector<raft::Message> Take();

 private:
  static thread_local AnswerCollector* current_;

  const raft::NodeId peer_;
  AnswerCollector* const outer_;
  std::vector<raft::Message> kept_;
};

}  // namespace dqueue::transport
