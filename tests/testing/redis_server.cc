#include "tests/testing/redis_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "serving/redis/redis_connection.h"
#include "serving/redis/redis_url.h"

namespace duet_testing {
namespace {

std::string Program() {
  for (const char* path :
       {DUET_SOURCE_DIR "/.duet/tools/bin/redis-server", "/usr/bin/redis-server"}) {
    if (std::filesystem::exists(path)) return path;
  }
  throw std::runtime_error("there is no redis-server: ./duet test unpacks one into .duet/tools");
}

// One that nobody listens on now.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

RedisServer::RedisServer(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {
  for (int attempt = 0; attempt < 5; ++attempt) {  // another process may take the port first
    port_ = FreePort();
    if (TryStart()) return;
  }
  throw std::runtime_error("redis-server doesn't start: " + process_->err());
}

bool RedisServer::TryStart() {
  std::vector<std::string> command = {
      Program(), "--port", std::to_string(port_), "--bind",    "127.0.0.1",  "--save",
      "",        "--dir",  folder_.path(),        "--logfile", "/dev/stderr"};
  command.insert(command.end(), arguments_.begin(), arguments_.end());
  process_ = std::make_unique<Subprocess>(command);
  return process_->WaitForLine("Ready to accept connections").ok();
}

std::string RedisServer::Ask(const std::vector<std::string_view>& command) const {
  const auto to = serving::ParseRedisUrl(url());
  const auto connection = serving::RedisConnection::Open(*to, absl::Seconds(30), 1 << 10);
  std::string answer;
  const absl::Status asked = (*connection)->Exchange({command}, absl::Seconds(30), [&](auto reply) {
    answer = std::move(reply.text);
  });
  if (!asked.ok()) throw std::runtime_error(asked.ToString());
  return answer;
}

absl::Duration RedisServer::TimeToLive(const std::string& key) const {
  return absl::Milliseconds(std::stoll(Ask({"PTTL", key})));
}

std::string RedisServer::AwaitKey() const {
  for (;;) {
    if (std::string key = Ask({"RANDOMKEY"}); !key.empty()) return key;
  }
}

void RedisServer::Kill() { process_.reset(); }

void RedisServer::Start() {
  if (!TryStart()) throw std::runtime_error("redis-server doesn't start: " + process_->err());
}

void RedisServer::Freeze() { process_->Signal(SIGSTOP); }
void RedisServer::Thaw() { process_->Signal(SIGCONT); }

}  // namespace duet_testing
