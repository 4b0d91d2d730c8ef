// raft::Message to and from the words of proto/dqueue/v1/peer.proto. Decoding trusts nothing: what
// it returns is well formed (known kinds, contiguous entries, sizes within limits); whether it is
// right is for the core to decide.
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
// INVALID_ARGUMENT: field, value, limit. Takes payloads out of `in`.
absl::StatusOr<raft::Message> DecodeMessage(peer::v1::Message&& in);

std::string EncodeFrame(const std::vector<raft::Message>& messages);
absl::StatusOr<std::vector<raft::Message>> DecodeFrame(std::string_view bytes);

}  // namespace dqueue::node
