// Where a Redis server is, as one flag says it.
#ifndef DUET_SERVING_REDIS_REDIS_URL_H_
#define DUET_SERVING_REDIS_REDIS_URL_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace serving {

struct RedisUrl {
  std::string host;
  int port = 6379;
  std::string user;      // empty: Redis' own default user
  std::string password;  // empty: don't authenticate
  int database = 0;

  // For logs: without the password.
  std::string Address() const;
};

// redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], percent-encoded. InvalidArgument says what is
// needed, never what the password was.
absl::StatusOr<RedisUrl> ParseRedisUrl(std::string_view url);

}  // namespace serving

#endif  // DUET_SERVING_REDIS_REDIS_URL_H_
