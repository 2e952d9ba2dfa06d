// A gRPC channel to one replica: in plaintext or by TLS. Internal to backends but for
// GrpcOptions.
#ifndef DUET_BACKENDS_CHANNEL_H_
#define DUET_BACKENDS_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "serving/tls_files.h"

namespace backends {

struct GrpcOptions {
  int max_message_bytes = 64 << 20;
  // Null: plaintext. Else its authorities are trusted, and its certificate, if any, is shown.
  std::shared_ptr<serving::TlsFiles> tls;
  // The name that replicas' certificates must hold; "": the host they were given by.
  std::string tls_server_name;
};

// Replicas are connected to by address, certificates hold names.
const std::string& NameInCertificate(const std::string& host, const GrpcOptions& options);

// `address`: "10.0.0.7:50052", one of `host`'s. `identity`: what options.tls holds, or null.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const std::string& host,
                                           const GrpcOptions& options,
                                           const serving::TlsIdentity* identity);

}  // namespace backends

#endif  // DUET_BACKENDS_CHANNEL_H_
