// Collects the log lines written while it lives. One at a time.
#ifndef DUET_TESTS_TESTING_LOG_CAPTURE_H_
#define DUET_TESTS_TESTING_LOG_CAPTURE_H_

#include <mutex>
#include <string>
#include <vector>

namespace duet_testing {

// Thread-safe.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();

  std::vector<std::string> lines() const;
  // Only those of one event.
  std::vector<std::string> lines(const std::string& event) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_LOG_CAPTURE_H_
