#include "transport/calls/channels.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "node/peer_codec.h"
#include "transport/listeners/callback_threads.h"
#include "transport/listeners/tls_credentials.h"

namespace dqueue::transport {

std::shared_ptr<grpc::Channel> MakeNodeChannel(const std::string& address, const TlsStore* tls,
                                               const std::string& member) {
  KeepCallbackThreads();
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Each channel has its own connection, so that one can be closed alone.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Despite its name: the time limit of one attempt to connect.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  // Detects a machine that vanished; raft's own timeouts are shorter.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Unused statistics.
  args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  // A large window from the start. Probing for the right size would cost a ping for every other
  // message.
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  args.SetMaxReceiveMessageSize(static_cast<int>(node::kPeerMessageBytesMax));
  args.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(
      address,
      tls == nullptr ? grpc::InsecureChannelCredentials() : TlsMemberCredentials(*tls, member),
      args);
}

}  // namespace dqueue::transport
