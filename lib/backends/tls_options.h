// The flags by which a process calls the model services over TLS.
#ifndef DUET_BACKENDS_TLS_OPTIONS_H_
#define DUET_BACKENDS_TLS_OPTIONS_H_

#include <absl/status/status.h>

#include <string>

#include "backends/channel.h"
#include "serving/flags.h"

namespace backends {

struct TlsOptions {
  std::string ca;  // "": plaintext
  std::string certificate;
  std::string key;
  std::string server_name;
};

// --backend_ca, --backend_certificate, --backend_key and --backend_server_name.
void AddFlags(TlsOptions* options, serving::FlagTable* flags);

// Reads the files into `grpc`. InvalidArgument names the flag whose file can't be used, or that
// lacks another one.
absl::Status LoadTls(const TlsOptions& options, GrpcOptions* grpc);

}  // namespace backends

#endif  // DUET_BACKENDS_TLS_OPTIONS_H_
