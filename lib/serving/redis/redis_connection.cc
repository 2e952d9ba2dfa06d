#include "serving/redis/redis_connection.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace serving {
namespace {

// hiredis' own objects for replies would reserve memory for as many elements as an array claims to
// have. Nothing here asks for one.
void* MakeText(const redisReadTask* task, char* text, std::size_t size) {
  const bool error = task->type == REDIS_REPLY_ERROR;
  return new RedisReply{error ? RedisReply::Kind::kError : RedisReply::Kind::kText, {text, size}};
}
void* MakeArray(const redisReadTask*, int) { return nullptr; }
void* MakeInteger(const redisReadTask*, long long value) {
  return new RedisReply{RedisReply::Kind::kText, std::to_string(value)};
}
void* MakeNothing(const redisReadTask*) { return new RedisReply; }
void Delete(void* reply) { delete static_cast<RedisReply*>(reply); }

redisReplyObjectFunctions kMakers = {MakeText, MakeArray, MakeInteger, MakeNothing, Delete};

absl::Status Broken(std::string_view what) { return absl::UnavailableError(std::string(what)); }
absl::Status Broken(int error) { return absl::UnavailableError(std::strerror(error)); }

void Append(const RedisCommand& command, std::string* wire) {
  std::vector<const char*> words;
  std::vector<std::size_t> sizes;
  for (const std::string_view word : command) {
    words.push_back(word.data());
    sizes.push_back(word.size());
  }
  char* text = nullptr;
  const int size =
      redisFormatCommandArgv(&text, static_cast<int>(words.size()), words.data(), sizes.data());
  if (size < 0) throw std::bad_alloc();
  wire->append(text, static_cast<std::size_t>(size));
  redisFreeCommand(text);
}

}  // namespace

RedisConnection::RedisConnection(redisContext* context, std::size_t max_reply_bytes)
    : context_(context),
      reader_(redisReaderCreateWithFunctions(&kMakers)),
      max_reply_bytes_(max_reply_bytes) {}

RedisConnection::~RedisConnection() {
  redisReaderFree(reader_);
  redisFree(context_);
}

int RedisConnection::fd() const { return context_->fd; }

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisConnection::Open(
    const RedisUrl& url, absl::Duration timeout, std::size_t max_reply_bytes) {
  redisContext* const context =
      redisConnectWithTimeout(url.host.c_str(), url.port, absl::ToTimeval(timeout));
  if (context == nullptr) return Broken("no memory for a connection");
  std::unique_ptr<RedisConnection> connection(new RedisConnection(context, max_reply_bytes));
  if (context->err != 0) return Broken(context->errstr);
  redisEnableKeepAlive(context);
  fcntl(context->fd, F_SETFL, fcntl(context->fd, F_GETFL) | O_NONBLOCK);

  const std::string database = std::to_string(url.database);
  std::vector<RedisCommand> greeting;
  if (!url.user.empty()) {
    greeting.push_back({"AUTH", url.user, url.password});
  } else if (!url.password.empty()) {
    greeting.push_back({"AUTH", url.password});
  }
  if (url.database != 0) greeting.push_back({"SELECT", database});
  greeting.push_back({"PING"});
  absl::Status refused;
  absl::Status status = connection->Exchange(greeting, timeout, [&](const RedisReply& reply) {
    if (reply.kind == RedisReply::Kind::kError && refused.ok()) refused = Broken(reply.text);
  });
  if (status.ok()) status = refused;
  if (!status.ok()) return status;
  return connection;
}

absl::Status RedisConnection::Exchange(const std::vector<RedisCommand>& commands,
                                       absl::Duration timeout,
                                       const std::function<void(RedisReply reply)>& on_reply) {
  const absl::Time deadline = absl::Now() + timeout;
  std::string wire;
  for (const RedisCommand& command : commands) Append(command, &wire);
  std::size_t sent = 0, answered = 0;
  while (answered < commands.size()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("no answer within ", absl::FormatDuration(timeout)));
    }
    pollfd socket = {fd(), static_cast<short>(sent < wire.size() ? POLLIN | POLLOUT : POLLIN), 0};
    // Rounded up, so that the last fraction of a millisecond is not spent spinning.
    if (poll(&socket, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) < 0) {
      if (errno == EINTR) continue;
      return Broken(errno);
    }
    if (socket.revents & POLLOUT) {
      const ssize_t count =
          send(fd(), wire.data() + sent, wire.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN && errno != EINTR) return Broken(errno);
      sent += static_cast<std::size_t>(std::max<ssize_t>(0, count));
    }
    if (socket.revents & ~POLLOUT) {
      if (absl::Status status = Receive(); !status.ok()) return status;
    }
    void* reply = nullptr;
    while (answered < commands.size()) {
      if (redisReaderGetReply(reader_, &reply) != REDIS_OK) return Broken("an answer out of form");
      if (reply == nullptr) break;
      ++answered;
      const std::unique_ptr<RedisReply> owner(static_cast<RedisReply*>(reply));
      on_reply(std::move(*owner));
    }
    if (reader_->len - reader_->pos > max_reply_bytes_) {
      return Broken(absl::StrCat("an answer is larger than ", max_reply_bytes_, " bytes"));
    }
  }
  if (reader_->len != reader_->pos) return Broken("an answer that nobody asked for");
  return absl::OkStatus();
}

absl::Status RedisConnection::Receive() {
  char buffer[64 << 10];
  const ssize_t count = recv(fd(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (count == 0) return Broken("the server hung up");
  if (count < 0) {
    return errno == EAGAIN || errno == EINTR ? absl::OkStatus() : Broken(errno);
  }
  if (redisReaderFeed(reader_, buffer, static_cast<std::size_t>(count)) != REDIS_OK) {
    return Broken("no memory for an answer");
  }
  return absl::OkStatus();
}

}  // namespace serving
