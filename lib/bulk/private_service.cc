#include "bulk/private_service.h"

#include <absl/time/clock.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <fstream>
#include <string_view>

#include "text/str_cat.h"

extern char** environ;

namespace bulk {
namespace {

using text::StrCat;

constexpr absl::Duration kLookEvery = absl::Milliseconds(5);
constexpr absl::Duration kEndPatience = absl::Seconds(10);
// Before it is started again; longer from time to time, unless it has run for the longest.
constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(30);

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWithoutFlags() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("DUET_")) variables.emplace_back(*variable);
  }
  return variables;
}

// The port in a log line of ours that says that the process serves; 0 if it is another line.
int ServingPort(const std::string& line) {
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(line, error);
  const boost::json::object* const object = error ? nullptr : value.if_object();
  if (object == nullptr) return 0;
  const boost::json::value* const event = object->if_contains("event");
  const boost::json::value* const port = object->if_contains("port");
  const bool serves = event != nullptr && *event == "serving" && port != nullptr;
  return serves && port->is_int64() ? static_cast<int>(port->get_int64()) : 0;
}

// Why something failed, by a line of our log; another line is said as it is.
std::string ReasonIn(const std::string& line) {
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(line, error);
  const boost::json::object* const object = error ? nullptr : value.if_object();
  const boost::json::value* const reason =
      object == nullptr ? nullptr : object->if_contains("error");
  return reason != nullptr && reason->is_string() ? std::string(reason->get_string()) : line;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateService>> PrivateService::Start(
    const std::string& binary, const std::vector<std::string>& flags, const std::string& log) {
  std::vector<std::string> command = {binary, "--bind=127.0.0.1", "--metrics_port=0",
                                      "--log_level=info"};
  command.insert(command.end(), flags.begin(), flags.end());
  std::unique_ptr<PrivateService> service(new PrivateService(std::move(command), log));
  if (absl::Status status = service->Spawn(O_TRUNC); !status.ok()) return status;
  return service;
}

absl::Status PrivateService::Spawn(int flags) {
  // All memory is taken before the fork: between fork and exec there are system calls alone.
  std::vector<std::string> command = command_;
  command.push_back(StrCat("--port=", port_));
  std::vector<std::string> variables = EnvironmentWithoutFlags();
  const std::vector<char*> arguments = Pointers(command);
  const std::vector<char*> environment = Pointers(variables);
  const std::string& binary = command.front();
  const int output = open(log_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
  if (output < 0) return absl::ErrnoToStatus(errno, StrCat(log_, ": cannot write"));
  if (access(binary.c_str(), X_OK) != 0) {
    close(output);
    return absl::UnavailableError(StrCat(binary, ": there is no such program; it is built beside ",
                                         "this one, or name a running service"));
  }
  begun_ = absl::Now();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);  // it ended meanwhile
    setpgid(0, 0);                        // Ctrl+C is for the command, which ends the service
    const int input = open("/dev/null", O_RDONLY);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execve(arguments[0], arguments.data(), environment.data());
    _exit(127);
  }
  const int error = errno;
  close(output);
  if (pid_ < 0) return absl::ErrnoToStatus(error, StrCat(binary, ": cannot be started"));
  return absl::OkStatus();
}

void PrivateService::AskToEnd() {
  if (pid_ > 0) kill(pid_, SIGTERM);
}

PrivateService::~PrivateService() {
  if (pid_ < 0) return;
  AskToEnd();
  const absl::Time deadline = absl::Now() + kEndPatience;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (absl::Now() > deadline) kill(pid_, SIGKILL);
    absl::SleepFor(kLookEvery);
  }
}

std::string PrivateService::StartAgainIfEnded() {
  std::string how;
  const absl::Time now = absl::Now();
  int status = 0;
  if (pid_ > 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
    how = WIFSIGNALED(status) ? StrCat("was ended by signal ", WTERMSIG(status))
                              : StrCat("ended with exit code ", WEXITSTATUS(status));
    pid_ = -1;
    pause_ = now - begun_ > kLongestPause ? absl::ZeroDuration()
                                          : std::clamp(2 * pause_, kFirstPause, kLongestPause);
  }
  // What keeps it from being started may pass, as its end may have been.
  if (pid_ < 0 && now - begun_ >= pause_) (void)Spawn(O_APPEND);
  return how;
}

absl::StatusOr<std::string> PrivateService::Address() {
  for (;;) {
    siginfo_t info = {};
    // It stays to be waited for by the destructor.
    const bool ended =
        waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid_;
    std::ifstream lines(log_);
    std::string line;
    std::string last;
    while (std::getline(lines, line)) {
      // The line's end is there, so that all of it is.
      if (!lines.eof()) port_ = ServingPort(line);
      if (port_ != 0) return StrCat("127.0.0.1:", port_);
      if (!line.empty()) last = line;
    }
    if (ended)
      return absl::UnavailableError(last.empty() ? StrCat(log_, " says nothing") : ReasonIn(last));
    absl::SleepFor(kLookEvery);
  }
}

}  // namespace bulk
