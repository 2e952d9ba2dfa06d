#include "backends/tls_options.h"

#include <utility>

#include "serving/tls_files.h"

namespace backends {

void AddFlags(TlsOptions* options, serving::FlagTable* flags) {
  flags->Add(
      "backend_ca", &options->ca,
      "Call the detector and the segmenter over TLS; one of these authorities (PEM) must have "
      "signed their certificates. Read again when it changes. Empty: plaintext.");
  flags->Add("backend_certificate", &options->certificate,
             "The certificate chain (PEM) to show services that ask for one (--tls_client_ca).");
  flags->Add("backend_key", &options->key, "That certificate's private key (PEM).");
  flags->Add(
      "backend_server_name", &options->server_name,
      "The name that the services' certificates must hold. Empty: the host in --detector and "
      "--segmenter.");
}

absl::Status LoadTls(const TlsOptions& options, GrpcOptions* grpc) {
  if (options.ca.empty()) {
    if (options.certificate.empty() && options.key.empty() && options.server_name.empty()) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        "--backend_certificate, --backend_key and --backend_server_name need --backend_ca, which "
        "switches TLS on");
  }
  auto files =
      serving::TlsFiles::Open({.certificate = {"--backend_certificate", options.certificate},
                               .key = {"--backend_key", options.key},
                               .authorities = {"--backend_ca", options.ca}});
  if (!files.ok()) return files.status();
  grpc->tls = *std::move(files);
  grpc->tls_server_name = options.server_name;
  return absl::OkStatus();
}

}  // namespace backends
