// Runs a program of ours, watches its output, sends it signals.
//
//   Subprocess detector({DUET_BIN_DIR "/duet-detector", "--checkpoint=" + path, "--port=0",
//                        "--metrics_port=0"});
//   ASSERT_OK_AND_ASSIGN(std::string line, detector.WaitForLine("\"event\":\"serving\""));
//   const int port = IntField(line, "port");
//   detector.Signal(SIGTERM);
//   EXPECT_EQ(detector.Wait(), 0);
#ifndef DUET_TESTS_TESTING_SUBPROCESS_H_
#define DUET_TESTS_TESTING_SUBPROCESS_H_

#include <absl/status/statusor.h>
#include <sys/types.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace duet_testing {

// Thread-safe.
class Subprocess {
 public:
  // Inherits the environment, with `environment` on top. Throws if it cannot be started.
  explicit Subprocess(const std::vector<std::string>& command,
                      const std::map<std::string, std::string>& environment = {});
  // Kills it if it still runs; its children are its own business.
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  // The first stderr line that contains `text`, waiting for it. DeadlineExceeded after `seconds`,
  // or NotFound as soon as the process has closed its stderr; the message holds all of stderr.
  absl::StatusOr<std::string> WaitForLine(const std::string& text, double seconds = 60);

  void Signal(int signal);
  // Waits for its end. Its exit code, or -N for signal N. After `seconds` it is killed: -9.
  int Wait(double seconds = 60);

  pid_t pid() const { return pid_; }
  std::string out() const;  // stdout so far
  std::string err() const;  // stderr so far

 private:
  void ReadOutputs(int out_fd, int err_fd);

  pid_t pid_ = -1;
  std::thread reader_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_;
  std::string err_;
  bool closed_ = false;
  bool reaped_ = false;
  int exit_code_ = 0;
};

// The whole number under `key` in a JSON line of ours, or -1.
int IntField(const std::string& line, const std::string& key);

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_SUBPROCESS_H_
