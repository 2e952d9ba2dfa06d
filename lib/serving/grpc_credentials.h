// TLS for a gRPC server whose certificate is renewed while it serves.
#ifndef DUET_SERVING_GRPC_CREDENTIALS_H_
#define DUET_SERVING_GRPC_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "serving/tls_files.h"

namespace serving {

// TLS 1.2 at least. Each new connection gets what `files` hold then; open ones stay. With
// authorities among them, clients must show a certificate that one of those has signed. Must
// outlive the server.
//
// Not gRPC's FileWatcherCertificateProvider: in 1.51 a key that doesn't match its certificate,
// which is what a watcher sees in the middle of a renewal, leaves that server without any.
std::shared_ptr<grpc::ServerCredentials> ReloadingServerCredentials(
    std::shared_ptr<TlsFiles> files);

}  // namespace serving

#endif  // DUET_SERVING_GRPC_CREDENTIALS_H_
