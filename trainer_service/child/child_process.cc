#include "trainer_service/child/child_process.h"

#include <absl/status/status.h>
#include <absl/strings/numbers.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "text/str_cat.h"

namespace trainer_service {
namespace {

using Clock = std::chrono::steady_clock;
using text::StrCat;

constexpr int kLookMs = 100;
constexpr std::size_t kMaxLine = 1 << 20;
constexpr std::size_t kMaxWords = 2000;
// What a shell says of a program that can't be started.
constexpr int kCannotStart = 127;

struct Pipe {
  int read = -1;
  int write = -1;

  bool Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    read = ends[0];
    write = ends[1];
    return true;
  }
  void CloseWrite() {
    if (write >= 0) close(write);
    write = -1;
  }
  ~Pipe() {
    if (read >= 0) close(read);
    CloseWrite();
  }
};

void WriteTo(const char* path, std::string_view text) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  [[maybe_unused]] const ssize_t written = write(file, text.data(), text.size());
  close(file);
}

// Between fork and exec, in a process that had threads: system calls alone. What can't be set, as
// in a container that forbids it, stays as it is.
void Confine(std::uint64_t max_memory) {
  setpgid(0, 0);
  setpriority(PRIO_PROCESS, 0, 19);
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);
  if (max_memory > 0) {
    const rlimit limit{max_memory, max_memory};
    setrlimit(RLIMIT_DATA, &limit);
  }
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  WriteTo("/proc/self/oom_score_adj", "1000");
  sigset_t nothing;
  sigemptyset(&nothing);
  sigprocmask(SIG_SETMASK, &nothing, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

// What a program is started with, made before the fork.
struct Image {
  std::vector<char*> command;
  std::vector<char*> environment;

  explicit Image(const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      command.push_back(const_cast<char*>(part.c_str()));  // exec takes it so, and changes nothing
    }
    command.push_back(nullptr);
    for (char** variable = environ; *variable != nullptr; ++variable) {
      if (!std::string_view(*variable).starts_with("DUET_")) environment.push_back(*variable);
    }
    environment.push_back(nullptr);
  }
};

[[noreturn]] void Become(const Image& image, std::uint64_t max_memory, pid_t parent, int out,
                         int err, int failed) {
  Confine(max_memory);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kCannotStart);  // it died before that
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  execve(image.command[0], image.command.data(), image.environment.data());
  const int why = errno;
  [[maybe_unused]] const ssize_t told = write(failed, &why, sizeof why);
  _exit(kCannotStart);
}

// Gives the lines of a pipe as they come.
class LineReader {
 public:
  explicit LineReader(int file) : file_(file) {}

  // Reads what is there. False at the end.
  bool Read(absl::FunctionRef<void(std::string_view)> on_line) {
    heard_ = Clock::now();
    std::array<char, 65536> buffer;
    const ssize_t got = read(file_, buffer.data(), buffer.size());
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) {
      if (!rest_.empty()) on_line(rest_);
      return false;
    }
    rest_.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      on_line(std::string_view(rest_).substr(begin, end - begin));
    }
    rest_.erase(0, begin);
    if (rest_.size() > kMaxLine) rest_.resize(kMaxLine);
    return true;
  }

  Clock::time_point heard() const { return heard_; }

 private:
  const int file_;
  std::string rest_;
  Clock::time_point heard_ = Clock::now();
};

// "duet-train: no room" without the program's name.
std::string Words(std::string_view line, std::string_view program) {
  const std::string name = StrCat(program.substr(program.rfind('/') + 1), ": ");
  if (line.starts_with(name)) line.remove_prefix(name.size());
  return std::string(line.substr(0, kMaxWords));
}

// A program that was started.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  // Nothing of it is left, whatever happened.
  ~Child() {
    if (!reaped_) {
      kill(-pid_, SIGKILL);
      kill(pid_, SIGKILL);
      waitpid(pid_, &status_, 0);
    }
  }

  void Signal(int signal) const {
    // Its group, and itself, should it not have made one yet.
    kill(-pid_, signal);
    kill(pid_, signal);
  }
  bool HasEnded() {
    if (!reaped_) reaped_ = waitpid(pid_, &status_, WNOHANG) == pid_;
    return reaped_;
  }
  int status() const { return status_; }

 private:
  const pid_t pid_;
  int status_ = 0;
  bool reaped_ = false;
};

// Asks it to end, then makes it.
class Ending {
 public:
  explicit Ending(absl::Duration patience) : patience_(absl::ToChronoMilliseconds(patience)) {}

  void Look(const Child& child, bool should_end) {
    if (!should_end || killed_) return;
    if (!asked_) {
      asked_ = true;
      until_ = Clock::now() + patience_;
      child.Signal(SIGTERM);
    } else if (Clock::now() >= until_) {
      killed_ = true;
      child.Signal(SIGKILL);
    }
  }
  bool asked() const { return asked_; }

 private:
  const std::chrono::milliseconds patience_;
  Clock::time_point until_;
  bool asked_ = false;
  bool killed_ = false;
};

}  // namespace

absl::StatusOr<ChildEnd> RunChild(const ChildOptions& options,
                                  absl::FunctionRef<void(std::string_view line)> on_line,
                                  absl::FunctionRef<bool()> should_end) {
  const std::string& program = options.command.front();
  const auto cannot = [&](int error) {
    return absl::UnavailableError(StrCat(program, ": cannot be started: ", std::strerror(error)));
  };
  Pipe out, err, failed;
  if (!out.Open() || !err.Open() || !failed.Open()) return cannot(errno);
  const Image image(options.command);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return cannot(errno);
  if (pid == 0) {
    Become(image, options.max_memory, parent, out.write, err.write, failed.write);
  }
  Child child(pid);
  for (Pipe* pipe : {&out, &err, &failed}) pipe->CloseWrite();
  int why = 0;
  if (read(failed.read, &why, sizeof why) == sizeof why) return cannot(why);

  ChildEnd end;
  const auto on_error_line = [&](std::string_view line) {
    if (line.find_first_not_of(" \r") != std::string_view::npos)
      end.last_words = Words(line, program);
  };
  LineReader lines(out.read), words(err.read);
  std::array<pollfd, 2> open{{{out.read, POLLIN, 0}, {err.read, POLLIN, 0}}};
  Ending ending(options.patience);
  // Its end is the end of both pipes, too, as it has no children that keep them.
  while (open[0].fd >= 0 || open[1].fd >= 0 || !child.HasEnded()) {
    open[0].revents = open[1].revents = 0;
    if (poll(open.data(), open.size(), kLookMs) > 0) {
      if (open[0].revents != 0 && !lines.Read(on_line)) open[0].fd = -1;
      if (open[1].revents != 0 && !words.Read(on_error_line)) open[1].fd = -1;
    }
    ending.Look(child, should_end());
    const auto quiet = Clock::now() - std::max(lines.heard(), words.heard());
    if (!end.silent && absl::FromChrono(quiet) > options.silence) {
      end.silent = true;
      child.Signal(SIGKILL);
    }
  }
  end.asked = ending.asked();
  if (WIFSIGNALED(child.status())) end.signal = WTERMSIG(child.status());
  if (WIFEXITED(child.status())) end.exit_code = WEXITSTATUS(child.status());
  return end;
}

std::string Describe(const ChildEnd& end) {
  if (end.silent) return "was ended since it had said nothing for too long";
  if (end.signal == SIGKILL) {
    return "was killed by signal 9: by somebody, or by the kernel since memory ran out";
  }
  const std::string how = end.signal != 0 ? StrCat("was ended by signal ", end.signal)
                                          : StrCat("ended with exit code ", end.exit_code);
  return end.last_words.empty() ? how : StrCat(how, ": ", end.last_words);
}

std::uint64_t MemoryBudget(const std::string& root) {
  std::uint64_t budget = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                         static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  // "0::/system.slice/duet.service"
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    if (!line.starts_with("0::")) continue;
    for (std::string group = line.substr(3);; group.resize(group.rfind('/'))) {
      std::ifstream limit(StrCat(root, "/sys/fs/cgroup", group, "/memory.max"));
      std::string text;
      std::uint64_t bytes = 0;
      if (limit >> text && absl::SimpleAtoi(text, &bytes)) budget = std::min(budget, bytes);
      if (group.rfind('/') == std::string::npos) break;
    }
  }
  return budget;
}

}  // namespace trainer_service
