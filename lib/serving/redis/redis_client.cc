#include "serving/redis/redis_client.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "serving/log.h"
#include "serving/redis/redis_connection.h"

namespace serving {

struct RedisClient::Command {
  std::vector<std::string> words;  // its name, a key, …
  OnValue done;
  absl::Time asked = absl::Now();

  const std::string& name() const { return words.front(); }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const std::string& word : words) sum += word.size();
    return sum;
  }
};

RedisClient::RedisClient(const RedisUrl& url, const Options& options, Metrics& metrics)
    : url_(url), options_(options), metrics_(metrics), wake_(eventfd(0, EFD_CLOEXEC)) {
  if (wake_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  metrics_.Get(kRedisUp).Set(0);
  thread_ = std::thread([this] { Run(); });
  std::unique_lock lock(mutex_);
  tried_.wait_for(lock, absl::ToChronoMilliseconds(options_.timeout),
                  [this] { return up_.has_value(); });
}

RedisClient::~RedisClient() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
  close(wake_);
}

void RedisClient::Get(std::string key, OnValue on_value) {
  Submit(&RedisClient::reads_, {{"GET", std::move(key)}, std::move(on_value)});
}

void RedisClient::Set(std::string key, std::string value, absl::Duration time_to_live,
                      OnDone on_done) {
  Submit(&RedisClient::writes_,
         {{"SET", std::move(key), std::move(value), "PX",
           std::to_string(std::max<std::int64_t>(1, absl::ToInt64Milliseconds(time_to_live)))},
          [on_done = std::move(on_done)](absl::StatusOr<std::string> value) {
            if (on_done) on_done(value.status());
          }});
}

void RedisClient::Delete(std::string key, OnDone on_done) {
  Submit(&RedisClient::writes_, {{"DEL", std::move(key)},
                                 [on_done = std::move(on_done)](absl::StatusOr<std::string> value) {
                                   if (on_done) on_done(value.status());
                                 }});
}

absl::StatusOr<std::string> RedisClient::GetAndWait(std::string key) {
  std::promise<absl::StatusOr<std::string>> promise;
  Get(std::move(key),
      [&promise](absl::StatusOr<std::string> value) { promise.set_value(std::move(value)); });
  return promise.get_future().get();
}

bool RedisClient::up() const {
  std::lock_guard lock(mutex_);
  return up_.value_or(false);
}

void RedisClient::Submit(Queue RedisClient::*queue, Command command) {
  absl::Status refused;
  {
    std::lock_guard lock(mutex_);
    const std::size_t bytes = command.bytes();
    if (stopping_ || !up_.value_or(false)) {
      refused = absl::UnavailableError("Redis is away");
    } else if (queued_bytes_ + bytes > options_.max_queued_bytes) {
      refused = absl::ResourceExhaustedError("too much waits for Redis already");
    } else {
      queued_bytes_ += bytes;
      (this->*queue).push_back(std::move(command));
    }
  }
  if (!refused.ok()) return Finish(command, refused, "refused");
  Wake();
}

void RedisClient::Run() {
  absl::Duration retry = options_.first_retry;
  const auto stopping = [this] {
    std::lock_guard lock(mutex_);
    return stopping_;
  };
  while (!stopping()) {
    absl::StatusOr<std::unique_ptr<RedisConnection>> connection =
        RedisConnection::Open(url_, options_.timeout, options_.max_value_bytes);
    absl::Status status = connection.status();
    if (status.ok()) {
      SetUp(absl::OkStatus());
      bool succeeded = false;
      status = ServeOn(**connection, &succeeded);
      if (succeeded) retry = options_.first_retry;
    }
    SetUp(status);
    if (stopping()) return;
    Sleep(retry, std::nullopt);
    retry = std::min(2 * retry, options_.last_retry);
  }
}

absl::Status RedisClient::ServeOn(RedisConnection& connection, bool* succeeded) {
  bool writes_turn = false;  // so that neither waits for all of the other
  while (true) {
    Queue batch;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return absl::CancelledError("the process ends");
      if (!writes_.empty() && (writes_turn || reads_.empty())) {
        batch.push_back(std::move(writes_.front()));
        writes_.pop_front();
      } else {
        batch.swap(reads_);
      }
      writes_turn = !writes_turn;
      for (const Command& command : batch) queued_bytes_ -= command.bytes();
    }
    if (!batch.empty()) {
      if (absl::Status status = Execute(connection, std::move(batch), succeeded); !status.ok()) {
        return status;
      }
      continue;
    }
    pollfd socket = {connection.fd(), POLLIN, 0};
    if (poll(&socket, 1, 0) > 0) return absl::UnavailableError("the server hung up");
    Sleep(absl::InfiniteDuration(), connection.fd());
  }
}

absl::Status RedisClient::Execute(RedisConnection& connection, Queue batch, bool* succeeded) {
  std::vector<RedisCommand> commands;
  for (const Command& command : batch) {
    commands.emplace_back(command.words.begin(), command.words.end());
  }
  const absl::Status status =
      connection.Exchange(commands, options_.timeout, [&](RedisReply reply) {
        Command& command = batch.front();
        const bool get = command.name() == "GET";
        switch (reply.kind) {
          case RedisReply::Kind::kError:
            Finish(command, absl::UnavailableError(absl::StrCat("Redis says: ", reply.text)),
                   "error");
            break;
          case RedisReply::Kind::kNothing:
            Finish(command, absl::NotFoundError("Redis doesn't have it"), "miss");
            break;
          case RedisReply::Kind::kText:
            Finish(command, std::move(reply.text), get ? "hit" : "stored");
        }
        *succeeded = true;
        batch.pop_front();
      });
  for (Command& command : batch) Finish(command, status, "lost");
  return status;
}

void RedisClient::Finish(Command& command, absl::StatusOr<std::string> value,
                         std::string_view outcome) {
  metrics_.Get(kRedisCommands, {command.name(), outcome}).Increment();
  if (outcome != "refused") {
    metrics_.Get(kRedisSeconds, {command.name()})
        .Observe(absl::ToDoubleSeconds(absl::Now() - command.asked));
  }
  command.done(std::move(value));
}

void RedisClient::SetUp(const absl::Status& status) {
  Queue waiting;
  {
    std::lock_guard lock(mutex_);
    if (up_ != status.ok() && !stopping_) {
      LogLine(status.ok() ? "redis.up" : "redis.down",
              status.ok() ? LogLevel::kInfo : LogLevel::kWarning)
          .Str("address", url_.Address())
          .Status(status);
    }
    up_ = status.ok();
    metrics_.Get(kRedisUp).Set(status.ok() ? 1 : 0);  // never another answer than up()'s
    if (!status.ok()) {
      waiting.swap(reads_);
      std::move(writes_.begin(), writes_.end(), std::back_inserter(waiting));
      writes_.clear();
      queued_bytes_ = 0;
    }
  }
  tried_.notify_all();
  for (Command& command : waiting) Finish(command, absl::UnavailableError("Redis is away"), "lost");
}

void RedisClient::Wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

void RedisClient::Sleep(absl::Duration at_most, std::optional<int> socket) {
  pollfd fds[] = {{wake_, POLLIN, 0}, {socket.value_or(-1), POLLIN, 0}};
  const int milliseconds = at_most == absl::InfiniteDuration()
                               ? -1
                               : static_cast<int>(absl::ToInt64Milliseconds(at_most));
  if (poll(fds, 2, milliseconds) > 0 && fds[0].revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(wake_, &count, sizeof count);
  }
}

}  // namespace serving
