#include "tests/testing/subprocess.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace duet_testing {

Subprocess::Subprocess(const std::vector<std::string>& command,
                       const std::map<std::string, std::string>& environment) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);

  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    variables[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  for (const auto& [name, value] : environment) variables[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(absl::StrCat(name, "=", value));
  std::vector<char*> envp;
  for (std::string& line : lines) envp.push_back(line.data());
  envp.push_back(nullptr);

  int out[2];
  int err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  const int code = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);
  if (code != 0) {
    close(out[0]);
    close(err[0]);
    throw std::runtime_error(absl::StrCat("cannot start ", command[0], ": ", std::strerror(code)));
  }
  reader_ = std::thread([this, o = out[0], e = err[0]] { ReadOutputs(o, e); });
}

Subprocess::~Subprocess() {
  Signal(SIGKILL);
  Wait();
  reader_.join();
}

void Subprocess::ReadOutputs(int out_fd, int err_fd) {
  pollfd fds[] = {{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}};
  char buffer[4096];
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds, 2, -1) < 0) continue;
    for (pollfd& fd : fds) {
      if (fd.fd < 0 || fd.revents == 0) continue;
      const ssize_t got = read(fd.fd, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      std::lock_guard lock(mutex_);
      if (got > 0) {
        (fd.fd == out_fd ? out_ : err_).append(buffer, static_cast<std::size_t>(got));
      } else {
        close(fd.fd);
        if (fd.fd == err_fd) closed_ = true;
        fd.fd = -1;
      }
      changed_.notify_all();
    }
  }
}

absl::StatusOr<std::string> Subprocess::WaitForLine(const std::string& text, double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::unique_lock lock(mutex_);
  while (true) {
    for (std::size_t start = 0; start < err_.size();) {
      const std::size_t end = err_.find('\n', start);
      if (end == std::string::npos) break;
      std::string line = err_.substr(start, end - start);
      if (line.find(text) != std::string::npos) return line;
      start = end + 1;
    }
    if (closed_) return absl::NotFoundError(absl::StrCat("no '", text, "' in:\n", err_));
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) {
      return absl::DeadlineExceededError(absl::StrCat("no '", text, "' in:\n", err_));
    }
  }
}

void Subprocess::Signal(int signal) {
  std::lock_guard lock(mutex_);
  if (!reaped_) kill(pid_, signal);
}

int Subprocess::Wait(double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::unique_lock lock(mutex_);
  while (!reaped_) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      reaped_ = true;
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    } else if (std::chrono::steady_clock::now() >= deadline) {
      kill(pid_, SIGKILL);
    }
    changed_.wait_for(lock, std::chrono::milliseconds(2));
  }
  // What it wrote before its end may still be in the pipe; a grandchild may hold the pipe open for
  // longer.
  changed_.wait_for(lock, std::chrono::seconds(1), [&] { return closed_; });
  return exit_code_;
}

std::string Subprocess::out() const {
  std::lock_guard lock(mutex_);
  return out_;
}

std::string Subprocess::err() const {
  std::lock_guard lock(mutex_);
  return err_;
}

int IntField(const std::string& line, const std::string& key) {
  const std::string prefix = "\"" + key + "\":";
  const std::size_t at = line.find(prefix);
  if (at == std::string::npos) return -1;
  return std::atoi(line.c_str() + at + prefix.size());
}

}  // namespace duet_testing
