#include "backends/tls_diagnosis.h"

#include <absl/strings/str_cat.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>

namespace backends {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kPatience = std::chrono::seconds(2);

// The alert that the other side sent, if that is what `error` is: "unknown ca".
std::string AlertIn(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return "";
  // "tlsv13 alert certificate required (SSL routines)"
  const std::string text = error.message();
  const std::size_t at = text.find(" alert ");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + std::string(" alert ").size();
  return text.substr(begin, text.find(" (", begin) - begin);
}

// gRPC servers end the connection without an alert.
std::string ClientRefused(SSL* connection, const std::string& alert) {
  X509* const shown = SSL_get_certificate(connection);
  if (shown == nullptr) {
    return "it asks for a certificate, and none is shown: set --backend_certificate and "
           "--backend_key";
  }
  const bool expired = X509_cmp_current_time(X509_get0_notAfter(shown)) < 0;
  return absl::StrCat("it does not accept the certificate in --backend_certificate: ",
                      expired          ? "that has expired"
                      : !alert.empty() ? alert
                                       : "is it of an authority in the service's --tls_client_ca?");
}

// Called when the server asks for a certificate.
int NoteAsked(SSL* /*connection*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return 1;
}

std::string ServerRefused(long reason, const std::string& name) {
  const std::string text = X509_verify_cert_error_string(reason);
  if (reason == X509_V_ERR_HOSTNAME_MISMATCH || reason == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return absl::StrCat("its certificate is not for '", name,
                        "': issue one that is, or set --backend_server_name");
  }
  return absl::StrCat("its certificate is not accepted: ", text, " (--backend_ca)");
}

void ExpectName(SSL* connection, const std::string& name) {
  error_code not_an_address;
  asio::ip::make_address(name, not_an_address);
  if (not_an_address) {
    SSL_set1_host(connection, name.c_str());
    SSL_set_tlsext_host_name(connection, name.c_str());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), name.c_str());
  }
}

// Throws if OpenSSL doesn't take the identity.
void Prepare(ssl::context& context, const serving::TlsIdentity* identity) {
  // The handshake goes on after a bad certificate, and the reason is asked for later.
  context.set_verify_mode(ssl::verify_none);
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.native_handle(), kHttp2, sizeof kHttp2);
  if (identity == nullptr) return;
  context.add_certificate_authority(asio::buffer(identity->authorities));
  if (identity->certificate.empty()) return;
  context.use_certificate_chain(asio::buffer(identity->certificate));
  context.use_private_key(asio::buffer(identity->key), ssl::context::pem);
}

}  // namespace

asio::awaitable<std::string> DiagnoseTls(std::string address, std::string host,
                                         const GrpcOptions& options) {
  const auto executor = co_await asio::this_coro::executor;
  const auto identity = options.tls ? options.tls->Current() : nullptr;
  const std::string name = NameInCertificate(host, options);
  ssl::context context(ssl::context::tls_client);
  Prepare(context, identity.get());
  auto stream = std::make_shared<ssl::stream<tcp::socket>>(executor, context);
  SSL* const connection = stream->native_handle();
  if (identity) ExpectName(connection, name);
  bool asked = false;
  SSL_set_cert_cb(connection, NoteAsked, &asked);

  const std::size_t colon = address.rfind(':');
  std::string ip = address.substr(0, colon);
  if (ip.front() == '[') ip = ip.substr(1, ip.size() - 2);
  const tcp::endpoint endpoint(asio::ip::make_address(ip),
                               static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
  asio::steady_timer alarm(executor, kPatience);
  alarm.async_wait([stream](error_code cancelled) {
    error_code ignored;
    if (!cancelled) stream->next_layer().close(ignored);
  });
  if (auto [error] = co_await stream->next_layer().async_connect(endpoint, kAwait); error) {
    co_return "";
  }
  auto [error] = co_await stream->async_handshake(ssl::stream_base::client, kAwait);
  const std::string alert = AlertIn(error);
  if (!identity) {
    if (error && alert.empty()) co_return "";
    co_return "it serves TLS, and is called in plaintext: set --backend_ca";
  }
  if (error == asio::error::operation_aborted) co_return "";
  if (asked && error) co_return ClientRefused(connection, alert);
  if (!alert.empty()) co_return absl::StrCat("it ends the TLS handshake: ", alert);
  if (error) {
    if (error.category() != asio::error::get_ssl_category()) co_return "";
    co_return "it does not answer by TLS, which --backend_ca asks for: is it started with "
              "--tls_certificate, and is this its gRPC port?";
  }
  const long reason = SSL_get_verify_result(connection);
  if (reason != X509_V_OK) co_return ServerRefused(reason, name);
  // A gRPC server speaks first, unless it turns the client's certificate down.
  std::array<char, 1> first;
  auto [read_error, size] = co_await stream->async_read_some(asio::buffer(first), kAwait);
  if (!asked || !read_error || read_error == asio::error::operation_aborted) co_return "";
  co_return ClientRefused(connection, AlertIn(read_error));
}

}  // namespace backends
