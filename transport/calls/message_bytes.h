// Conversion between Protobuf messages and gRPC's byte buffers.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>

#include "google/protobuf/message.h"

namespace dqueue::transport {

inline grpc::ByteBuffer EncodeMessage(const google::protobuf::Message& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  grpc::SerializationTraits<google::protobuf::Message>::Serialize(message, &bytes, &own);
  return bytes;
}

// False: the bytes are not such a message. Copies references, not bytes.
inline bool DecodeMessage(grpc::ByteBuffer bytes, google::protobuf::Message* message) {
  grpc::ProtoBufferReader reader(&bytes);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

}  // namespace dqueue::transport
