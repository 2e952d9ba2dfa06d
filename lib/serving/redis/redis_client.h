// RedisClient is what replicas share, through a Redis server that may be slow or gone: nothing
// waits for it for long, and whoever uses it goes on without.
//
// A thread of its own holds the one connection; callers put commands into its queue and are called
// back on that thread. While the server is away (cannot be reached, doesn't answer in time, breaks
// the protocol) commands fail at once instead of being queued, and the thread tries again, less and
// less often. Each change of state is one log line, "redis.up" or "redis.down"
// (docs/adr/0804-redis.md).
//
// What comes back is untrusted: anybody who reaches the server can have written it.
#ifndef DUET_SERVING_REDIS_REDIS_CLIENT_H_
#define DUET_SERVING_REDIS_REDIS_CLIENT_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "serving/metrics.h"
#include "serving/redis/redis_url.h"

namespace serving {

class RedisConnection;
struct RedisReply;

inline constexpr CounterSpec kRedisCommands{
    "duet_redis_commands_total",
    "Commands to Redis; outcome: hit, miss, stored, error (Redis refused it), lost (no answer in "
    "time, or the connection broke), refused (not sent: Redis is away, or too much waits).",
    "command,outcome"};
inline constexpr HistogramSpec kRedisSeconds{
    "duet_redis_seconds", "From a command's being asked for to its answer.", "command"};
inline constexpr GaugeSpec kRedisUp{"duet_redis_up", "1 while Redis answers, else 0."};
inline constexpr CounterSpec kRedisRefusedValues{
    "duet_redis_refused_values_total",
    "Values from Redis that were damaged or of another form, and taken as absent."};

// Thread-safe.
class RedisClient {
 public:
  struct Options {
    absl::Duration timeout = absl::Milliseconds(500);  // to connect; of commands sent together
    absl::Duration first_retry = absl::Milliseconds(100);
    absl::Duration last_retry = absl::Seconds(5);  // doubles up to it until a command succeeds
    std::size_t max_value_bytes = std::size_t{64} << 20;
    std::size_t max_queued_bytes = std::size_t{64} << 20;
  };
  // The value, NotFound, or why there is no answer. May not block: it is the thread's time.
  using OnValue = std::function<void(absl::StatusOr<std::string> value)>;
  using OnDone = std::function<void(absl::Status status)>;

  // Waits for the first attempt to connect, but not for longer than the timeout. `metrics` must
  // outlive the client.
  RedisClient(const RedisUrl& url, const Options& options, Metrics& metrics);
  // Calls back whatever still waits.
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;

  // Reads go before writes that wait. The callback runs exactly once, perhaps before this returns.
  void Get(std::string key, OnValue on_value);
  void Set(std::string key, std::string value, absl::Duration time_to_live, OnDone on_done);
  void Delete(std::string key, OnDone on_done);

  // Get for threads that may block: for twice the timeout at most.
  absl::StatusOr<std::string> GetAndWait(std::string key);

  bool up() const;

 private:
  struct Command;
  using Queue = std::deque<Command>;

  void Submit(Queue RedisClient::*queue, Command command);
  void Run();
  // Until the connection fails or the client ends. `succeeded`: whether a command did.
  absl::Status ServeOn(RedisConnection& connection, bool* succeeded);
  absl::Status Execute(RedisConnection& connection, Queue batch, bool* succeeded);
  void Finish(Command& command, absl::StatusOr<std::string> value, std::string_view outcome);
  void SetUp(const absl::Status& status);
  void Wake();
  // Sleeps until woken, the time is over or (if given) the connection's socket is readable.
  void Sleep(absl::Duration at_most, std::optional<int> socket);

  const RedisUrl url_;
  const Options options_;
  Metrics& metrics_;
  const int wake_;  // an eventfd

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable tried_;
  std::optional<bool> up_;  // nothing before the first attempt
  bool stopping_ = false;
  Queue reads_, writes_;
  std::size_t queued_bytes_ = 0;

  std::thread thread_;  // last
};

}  // namespace serving

#endif  // DUET_SERVING_REDIS_REDIS_CLIENT_H_
