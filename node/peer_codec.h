// Conversion between raft::Message and the messages of proto/dqueue/v1/peer.proto. Any thread.
//
// Decoding validates all input: a decoded message has a known kind, contiguous entries and a size
// within the limit. The raft core checks the values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dqueue/v1/peer.pb.h"
#include "raft/message.h"

namespace dqueue::node {

inline constexpr size_t kPeerMessageBytesMax = 64 << 20;

void EncodeMessage(const raft::Message& message, peer::v1::Message* out);
// INVALID_ARGUMENT: the message has the field, the value and the limit. Moves payloads out of `in`.
absl::StatusOr<raft::Message> DecodeMessage(peer::v1::Message&& in);

// A frame is a list of messages in order.
std::string EncodeFrame(const std::vector<raft::Message>& messages);
// INVALID_ARGUMENT: more than kPeerMessageBytesMax, not a frame, or a message that is not valid.
absl::StatusOr<std::vector<raft::Message>> DecodeFrame(std::string_view bytes);

}  // namespace dqueue::node
