// A secret of the operator's, such as a token or a password, given as a flag's value or as a file.
//
// A file is read again while it is in use, so that a rotated secret (a Kubernetes secret that is
// mounted, for example) needs no restart. A file that can't be read any more leaves the secret as
// it was, and is reported once in the log. The secret itself is never logged.
#ifndef DUET_SERVING_SECRET_H_
#define DUET_SERVING_SECRET_H_

#include <absl/status/statusor.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace serving {

// Thread-safe.
class Secret {
 public:
  // How old a file's content may be.
  static constexpr absl::Duration kAge = absl::Seconds(1);

  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // What the file holds, without blank characters at its end. A pipe is read once. InvalidArgument,
  // which names the file, if it can't be read, holds nothing or more than 64 KiB.
  static absl::StatusOr<std::shared_ptr<const Secret>> FromFile(
      const std::string& path, std::function<absl::Time()> clock = absl::Now);

  // Reads a small file at most once every kAge.
  std::string value() const;

 private:
  const std::string path_;  // "": the value never changes
  const std::function<absl::Time()> clock_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  mutable std::string value_;
  mutable absl::Time read_again_ = absl::InfiniteFuture();
  mutable bool unreadable_ = false;

  Secret(std::string path, std::function<absl::Time()> clock, std::string value)
      : path_(std::move(path)), clock_(std::move(clock)), value_(std::move(value)) {}
};

}  // namespace serving

#endif  // DUET_SERVING_SECRET_H_
