// A model service that a run starts for itself and that ends with it.
#ifndef DUET_BULK_PRIVATE_SERVICE_H_
#define DUET_BULK_PRIVATE_SERVICE_H_

#include <absl/status/statusor.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace bulk {

class PrivateService {
 public:
  // Starts `binary` with the flags, on free ports of this machine alone; `log` gets what it writes.
  // Its environment lacks the variables that are flags (DUET_…), since those of this process are
  // none of its own. Unavailable if it can't be started. REQUIRES: the calling thread lives as long
  // as the service, which is ended when that thread ends, however it does.
  static absl::StatusOr<std::unique_ptr<PrivateService>> Start(
      const std::string& binary, const std::vector<std::string>& flags, const std::string& log);
  PrivateService(const PrivateService&) = delete;
  PrivateService& operator=(const PrivateService&) = delete;
  // Ends it and waits for that.
  ~PrivateService();

  // Waits until it serves. Its "host:port"; Unavailable with its own last words if it ended
  // instead.
  absl::StatusOr<std::string> Address() const;

 private:
  PrivateService(pid_t pid, std::string log) : pid_(pid), log_(std::move(log)) {}

  const pid_t pid_;
  const std::string log_;
};

}  // namespace bulk

#endif  // DUET_BULK_PRIVATE_SERVICE_H_
