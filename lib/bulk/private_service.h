// A model service that a run starts for itself and that ends with it.
#ifndef DUET_BULK_PRIVATE_SERVICE_H_
#define DUET_BULK_PRIVATE_SERVICE_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
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

  // Begins to end it, so that several end at once.
  void AskToEnd();

  // Waits until it serves. Its "host:port"; Unavailable with its own last words if it ended
  // instead.
  absl::StatusOr<std::string> Address();

  // Starts it again at the same address if it has ended since it served: how it ended, "was ended
  // by signal 9", or "" if it runs. One that ends at once each time isn't started each time. To be
  // called now and then.
  std::string StartAgainIfEnded();

 private:
  PrivateService(std::vector<std::string> command, std::string log)
      : command_(std::move(command)), log_(std::move(log)) {}

  // `flags`: of open(2), for the log.
  absl::Status Spawn(int flags);

  const std::vector<std::string> command_;
  const std::string log_;
  pid_t pid_ = -1;  // -1: none runs
  int port_ = 0;    // known once it has served
  absl::Time begun_;
  absl::Duration pause_ = absl::ZeroDuration();  // before it is started again
};

}  // namespace bulk

#endif  // DUET_BULK_PRIVATE_SERVICE_H_
