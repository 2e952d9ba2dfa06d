#include "backends/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

namespace backends {

const std::string& NameInCertificate(const std::string& host, const GrpcOptions& options) {
  return options.tls_server_name.empty() ? host : options.tls_server_name;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const std::string& host,
                                           const GrpcOptions& options,
                                           const serving::TlsIdentity* identity) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  // A service that restarts is back in seconds; gRPC's default would look again after up to two
  // minutes. Half a second is less than a call that somebody waits for is repeated (upstream.cc):
  // when the next replica restarts right after, this one is known to be back.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // A machine that lost its network leaves connections open and says nothing. Pings find out, also
  // while nothing is asked, so that a click need not; the services allow one every 10 s. The
  // patience is for replicas whose model keeps every core busy.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 15'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Repeating calls is our own business (upstream.h), and nobody asks for gRPC's own records. Both
  // cost as much as the rest of a short call.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  // Connections of one gateway to one replica are its own, also in tests that restart a server on
  // the same port.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // No proxy between cluster members, whatever http_proxy says.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (identity == nullptr) {
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }
  arguments.SetSslTargetNameOverride(NameInCertificate(host, options));
  return grpc::CreateCustomChannel(address,
                                   grpc::SslCredentials({.pem_root_certs = identity->authorities,
                                                         .pem_private_key = identity->key,
                                                         .pem_cert_chain = identity->certificate}),
                                   arguments);
}

}  // namespace backends
