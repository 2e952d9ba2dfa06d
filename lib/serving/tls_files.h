// The certificate, key and authorities of one side of TLS, kept in PEM files that others replace.
//
// Nothing watches the files: whoever makes or takes a connection asks Current(), which reads them
// again. So a renewed certificate is used from the next connection on, however the files were
// swapped (Kubernetes moves a symbolic link), and no thread is needed. Files that don't fit each
// other, are half-written or gone change nothing: the last good ones stay, and one line of the log
// says why.
#ifndef DUET_SERVING_TLS_FILES_H_
#define DUET_SERVING_TLS_FILES_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <mutex>
#include <string>

namespace serving {

// A flag's name ("--tls_key"), for messages, and the path that it holds; "" for none.
struct TlsFile {
  std::string flag;
  std::string path;
};

struct TlsPaths {
  TlsFile certificate;  // this side's chain, its own certificate first
  TlsFile key;          // of that certificate, not encrypted
  TlsFile authorities;  // who may have signed the other side's certificate
};

// What the files hold, PEM; "" where there is no file.
struct TlsIdentity {
  std::string certificate;
  std::string key;
  std::string authorities;

  bool operator==(const TlsIdentity&) const = default;
};

// Thread-safe.
class TlsFiles {
 public:
  // InvalidArgument, naming the flag and the file, if a certificate is without its key or the other
  // way round, a file can't be read or holds no certificate or key, or the key isn't the
  // certificate's.
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Open(TlsPaths paths);

  // Never null. The same object for as long as the files hold the same. Reads the files: for
  // connections, not for requests.
  std::shared_ptr<const TlsIdentity> Current();

 private:
  TlsFiles(TlsPaths paths, std::shared_ptr<const TlsIdentity> identity);

  const TlsPaths paths_;
  std::mutex mutex_;
  std::shared_ptr<const TlsIdentity> current_;  // guarded by mutex_
  std::string complaint_;                       // guarded by mutex_; the last, to log it once
};

}  // namespace serving

#endif  // DUET_SERVING_TLS_FILES_H_
