// One connection to a Redis server: the protocol by hiredis, its socket watched here, so that an
// exchange has a deadline as a whole and an answer a largest size (hiredis bounds each read, not
// their sum). Of what serving/redis is made; users want redis_client.h.
#ifndef DUET_SERVING_REDIS_REDIS_CONNECTION_H_
#define DUET_SERVING_REDIS_REDIS_CONNECTION_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serving/redis/redis_url.h"

struct redisContext;
struct redisReader;

namespace serving {

struct RedisReply {
  enum class Kind { kText, kNothing, kError };
  Kind kind = Kind::kNothing;
  std::string text;  // a value, a status or the error; of a number, its digits
};

// A name and its arguments, as views into what the caller holds.
using RedisCommand = std::vector<std::string_view>;

// For one thread.
class RedisConnection {
 public:
  // Resolves and connects (which blocks: name servers have timeouts of their own), authenticates,
  // selects the database and sees whether the server answers. Unavailable says what failed.
  static absl::StatusOr<std::unique_ptr<RedisConnection>> Open(const RedisUrl& url,
                                                               absl::Duration timeout,
                                                               std::size_t max_reply_bytes);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // Sends all commands in one go and passes the answers on, in order. After an error (Unavailable,
  // DeadlineExceeded) the connection is of no use any more.
  absl::Status Exchange(const std::vector<RedisCommand>& commands, absl::Duration timeout,
                        const std::function<void(RedisReply reply)>& on_reply);

  // The socket: readable between exchanges only when the server has hung up.
  int fd() const;

 private:
  explicit RedisConnection(redisContext* context, std::size_t max_reply_bytes);

  // Takes in what has arrived.
  absl::Status Receive();

  redisContext* const context_;  // owned
  redisReader* const reader_;    // owned
  const std::size_t max_reply_bytes_;
};

}  // namespace serving

#endif  // DUET_SERVING_REDIS_REDIS_CONNECTION_H_
