#include "serving/process.h"

#include <absl/synchronization/mutex.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "serving/descriptors.h"
#include "serving/exceptions.h"
#include "serving/version.h"

namespace serving {
namespace {

// Calls `on_signal` for every SIGTERM and SIGINT while it lives, in a thread of its own. They stay
// blocked in the thread that made it and in all threads that this one starts later.
class StopSignals {
 public:
  explicit StopSignals(std::function<void(int signal)> on_signal) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
    quit_fd_ = eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this, on_signal = std::move(on_signal)] {
      pollfd fds[] = {{signal_fd_, POLLIN, 0}, {quit_fd_, POLLIN, 0}};
      while (true) {
        if (poll(fds, 2, -1) < 0) continue;  // EINTR
        if (fds[1].revents != 0) return;
        signalfd_siginfo info{};
        if (read(signal_fd_, &info, sizeof info) == sizeof info) {
          on_signal(static_cast<int>(info.ssi_signo));
        }
      }
    });
  }

  ~StopSignals() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(quit_fd_, &one, sizeof one);
    thread_.join();
    close(signal_fd_);
    close(quit_fd_);
  }

 private:
  int signal_fd_ = -1;
  int quit_fd_ = -1;
  std::thread thread_;
};

}  // namespace

const char* NameOf(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting:
      return "starting";
    case ProcessState::kServing:
      return "serving";
    case ProcessState::kDraining:
      return "draining";
    case ProcessState::kStopped:
      return "stopped";
  }
  return "stopped";
}

void AddFlags(ProcessOptions* options, FlagTable* flags) {
  flags->Add("log_level", &options->log_level,
             "Least severe log lines to write: debug, info, warning or error.",
             OneOf({"debug", "info", "warning", "error"}));
  flags->Add(
      "drain_grace_ms", &options->drain_grace_ms,
      "After a stop signal: how long to go on accepting, not ready, while load balancers notice.",
      InRange(0, 600'000));
  flags->Add(
      "drain_timeout_s", &options->drain_timeout_s,
      "After that: how long requests in flight may take to finish before they are cancelled.",
      InRange(0, 3600));
}

Process::Process(const ProcessOptions& options, Clock& clock) : options_(options), clock_(clock) {
  metrics_.Get(kReady).Set(0);
}

ProcessState Process::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

void Process::Enter(ProcessState state) {
  state_ = state;
  metrics_.Get(kReady).Set(state == ProcessState::kServing ? 1 : 0);
}

void Process::Stop() {
  std::lock_guard lock(mutex_);
  ++stops_;
  changed_.notify_all();
}

absl::Status Process::Serve(Listener& listener) {
  {
    std::unique_lock lock(mutex_);
    if (stops_ > 0) {
      Enter(ProcessState::kStopped);
      return absl::CancelledError("stopped before it was ready");
    }
    listener.SetReady(true);
    Enter(ProcessState::kServing);
    LogLine("serving").Append(listener.Describe()).Int("pid", getpid());
    clock_.WaitUntil(lock, changed_, absl::InfiniteFuture(), [&] { return stops_ > 0; });
    Enter(ProcessState::kDraining);
    LogLine("draining")
        .Int("grace_ms", options_.drain_grace_ms)
        .Int("timeout_s", options_.drain_timeout_s);
    listener.SetReady(false);
    clock_.WaitUntil(lock, changed_, clock_.Now() + absl::Milliseconds(options_.drain_grace_ms),
                     [&] { return stops_ > 1; });
  }
  // Drains here; a second stop, noticed by the other thread, drains again with no time left.
  const absl::Time deadline = clock_.Now() + absl::Seconds(options_.drain_timeout_s);
  bool drained = false;
  std::thread second_stop([&] {
    std::unique_lock lock(mutex_);
    clock_.WaitUntil(lock, changed_, absl::InfiniteFuture(), [&] { return drained || stops_ > 1; });
    if (drained) return;
    lock.unlock();
    listener.Drain(clock_.Now());
  });
  listener.Drain(deadline);
  {
    std::lock_guard lock(mutex_);
    drained = true;
    changed_.notify_all();
  }
  second_stop.join();
  std::lock_guard lock(mutex_);
  Enter(ProcessState::kStopped);
  LogLine("stopped");
  return absl::OkStatus();
}

int RunProcess(FlagTable& flags, int argc, char** argv, const ProcessOptions& options,
               const std::function<absl::Status(Process&)>& body) {
  if (PrintedVersion(flags.program(), argc, argv)) return 0;
  if (absl::Status parsed =
          flags.Parse(argc, argv, [](const char* name) { return std::getenv(name); });
      !parsed.ok()) {
    std::fprintf(stderr, "%s: %s\n", flags.program().c_str(),
                 std::string(parsed.message()).c_str());
    return 2;
  }
  if (flags.help_requested()) {
    std::fputs(flags.RequestedHelp().c_str(), stdout);
    return 0;
  }
  // Debian's Abseil is built with its search for deadlocks, which takes a global lock for each of
  // gRPC's.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  SetLogLevel(options.log_level);
  RouteCerrToLog();
  for (const std::string& warning : flags.warnings()) {
    LogLine("flag.renamed", LogLevel::kWarning).Str("warning", warning);
  }
  signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  Process process(options, Clock::Real());
  StopSignals signals([&process](int signal) {
    LogLine("signal").Str("name", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    if (process.state() == ProcessState::kStarting) {
      LogLine("stopped").Str("while", "starting");
      std::_Exit(0);
    }
    process.Stop();
  });
  const absl::Status status = CatchAll("start", [&] { return body(process); });
  if (absl::IsCancelled(status)) return 0;
  if (!status.ok()) {
    LogLine("startup.failed", LogLevel::kError).Status(status);
    return 1;
  }
  return 0;
}

}  // namespace serving
