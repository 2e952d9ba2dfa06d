#include "serving/tls_files.h"

#include <absl/strings/str_cat.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>
#include <vector>

#include "files/text_file.h"
#include "serving/log.h"

namespace serving {
namespace {

// All of a system's authorities are about 0.2 MB.
constexpr std::size_t kMaxFileBytes = std::size_t{8} << 20;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

absl::Status Unusable(const TlsFile& file, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(file.flag, ": ", file.path, ": ", std::string(why)));
}

// What OpenSSL said last on this thread.
std::string Reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

absl::StatusOr<std::string> Read(const TlsFile& file) {
  if (file.path.empty()) return std::string();
  absl::StatusOr<std::string> text = files::ReadText(file.path, kMaxFileBytes);
  if (text.ok()) return text;
  return absl::InvalidArgumentError(absl::StrCat(file.flag, ": ", text.status().message()));
}

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Without this OpenSSL asks for the password of an encrypted key on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

// All certificates of a file, of which there must be one.
absl::StatusOr<std::vector<Certificate>> Certificates(const TlsFile& file,
                                                      const std::string& text) {
  ERR_clear_error();
  std::vector<Certificate> certificates;
  const Bio reader = Reader(text);
  while (true) {
    Certificate next(PEM_read_bio_X509(reader.get(), nullptr, NoPassword, nullptr));
    if (next == nullptr) break;
    certificates.push_back(std::move(next));
  }
  const unsigned long error = ERR_peek_last_error();
  const bool ended =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!ended) return Unusable(file, "holds a damaged certificate: " + Reason());
  ERR_clear_error();
  if (certificates.empty()) return Unusable(file, "holds no certificate (PEM is needed)");
  return certificates;
}

absl::Status CheckOwn(const TlsPaths& paths, const TlsIdentity& identity) {
  auto chain = Certificates(paths.certificate, identity.certificate);
  if (!chain.ok()) return chain.status();
  const Key key(PEM_read_bio_PrivateKey(Reader(identity.key).get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    const bool encrypted = identity.key.find("ENCRYPTED") != std::string::npos;
    ERR_clear_error();
    return Unusable(paths.key, encrypted ? "is encrypted: a key without a password is needed"
                                         : "holds no private key (PEM is needed)");
  }
  // OpenSSL's own rules: a key of 512 bits is too short, for one.
  const Context context(SSL_CTX_new(TLS_method()));
  bool taken = SSL_CTX_use_certificate(context.get(), chain->front().get()) == 1;
  for (std::size_t i = 1; i < chain->size() && taken; ++i) {
    taken = SSL_CTX_add1_chain_cert(context.get(), (*chain)[i].get()) == 1;
  }
  if (!taken) return Unusable(paths.certificate, Reason());
  if (X509_check_private_key(chain->front().get(), key.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    ERR_clear_error();
    return Unusable(paths.key,
                    absl::StrCat("is not the key of the certificate in ", paths.certificate.path));
  }
  return absl::OkStatus();
}

absl::StatusOr<TlsIdentity> ReadAll(const TlsPaths& paths) {
  auto certificate = Read(paths.certificate);
  if (!certificate.ok()) return certificate.status();
  auto key = Read(paths.key);
  if (!key.ok()) return key.status();
  auto authorities = Read(paths.authorities);
  if (!authorities.ok()) return authorities.status();
  return TlsIdentity{*std::move(certificate), *std::move(key), *std::move(authorities)};
}

absl::Status Check(const TlsPaths& paths, const TlsIdentity& identity) {
  if (!paths.certificate.path.empty()) {
    if (absl::Status status = CheckOwn(paths, identity); !status.ok()) return status;
  }
  if (paths.authorities.path.empty()) return absl::OkStatus();
  return Certificates(paths.authorities, identity.authorities).status();
}

// `known` if the files hold that.
absl::StatusOr<std::shared_ptr<const TlsIdentity>> ReadAndCheck(
    const TlsPaths& paths, const std::shared_ptr<const TlsIdentity>& known) {
  auto identity = ReadAll(paths);
  if (!identity.ok()) return identity.status();
  if (known != nullptr && *identity == *known) return known;
  if (absl::Status status = Check(paths, *identity); !status.ok()) return status;
  return std::make_shared<const TlsIdentity>(*std::move(identity));
}

// "Jan  2 03:04:05 2027 GMT"; "" without a certificate. `expired`: whether that is past.
std::string ValidUntil(const std::string& certificate_pem, bool* expired) {
  const Certificate certificate(
      PEM_read_bio_X509(Reader(certificate_pem).get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) return "";
  const ASN1_TIME* end = X509_get0_notAfter(certificate.get());
  *expired = X509_cmp_current_time(end) < 0;
  const Bio text(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(text.get(), end);
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

void LogInUse(const TlsPaths& paths, const TlsIdentity& identity) {
  bool expired = false;
  const std::string end = ValidUntil(identity.certificate, &expired);
  LogLine line("tls.loaded", expired ? LogLevel::kWarning : LogLevel::kInfo);
  if (!end.empty()) line.Str("certificate", paths.certificate.path).Str("valid_until", end);
  if (!paths.authorities.path.empty()) line.Str("authorities", paths.authorities.path);
  if (expired) line.Str("error", "the certificate has expired: no client will accept it");
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsFiles>> TlsFiles::Open(TlsPaths paths) {
  if (paths.certificate.path.empty() != paths.key.path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.certificate.flag, " and ", paths.key.flag, " go together"));
  }
  auto identity = ReadAndCheck(paths, nullptr);
  if (!identity.ok()) return identity.status();
  LogInUse(paths, **identity);
  return std::shared_ptr<TlsFiles>(new TlsFiles(std::move(paths), *std::move(identity)));
}

TlsFiles::TlsFiles(TlsPaths paths, std::shared_ptr<const TlsIdentity> identity)
    : paths_(std::move(paths)), current_(std::move(identity)) {}

std::shared_ptr<const TlsIdentity> TlsFiles::Current() {
  const std::lock_guard lock(mutex_);
  auto identity = ReadAndCheck(paths_, current_);
  // The files are read one after the other; if they were swapped in between, they are whole now.
  if (!identity.ok()) identity = ReadAndCheck(paths_, current_);
  if (!identity.ok()) {
    if (complaint_ != identity.status().message()) {
      complaint_ = std::string(identity.status().message());
      LogLine("tls.kept", LogLevel::kWarning)
          .Status(identity.status())
          .Str("instead", "what was loaded before stays in use");
    }
    return current_;
  }
  complaint_.clear();
  if (*identity != current_) {
    current_ = *std::move(identity);
    LogInUse(paths_, *current_);
  }
  return current_;
}

}  // namespace serving
