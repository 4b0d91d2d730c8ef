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
  // A channel's connection is its own, so that one can be given up without the others.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // In spite of its name: how long one attempt to connect may take.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  // Finds a machine that vanished without a word; raft's own timeouts are shorter.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Statistics that nobody asks for.
  args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  // A window that is large from the start, instead of a ping with every other message to find out
  // how large it should be.
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
