// SettingsStore is what several gateways remember together: the `extra_params` that /setup gave a
// project, so that the one which gets /predict uses what another one was told.
//
// They are in Redis, if there is one. Then each request reads them, since /setup may have reached
// another gateway a moment ago. While Redis is away each gateway uses what it has in memory. Only
// keys that settings.h names are stored; never what /setup says of Label Studio, whose token is a
// secret.
#ifndef DUET_GATEWAY_JOBS_SETTINGS_STORE_H_
#define DUET_GATEWAY_JOBS_SETTINGS_STORE_H_

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "prelabel/settings.h"
#include "serving/metrics.h"
#include "serving/redis/redis_client.h"

namespace gateway::jobs {

// Coroutines resume on their own executor, and wait for at most twice the client's timeout.
// `project`: ProjectMemory's key. Thread-safe.
class SettingsStore {
 public:
  // `redis` may be null: nothing is shared. Both outlive the store.
  SettingsStore(serving::RedisClient* redis, serving::Metrics& metrics)
      : redis_(redis), metrics_(metrics) {}

  // `base` refined by the stored settings; nothing if there are none, Redis is away, or they can't
  // be used (which is counted and logged).
  boost::asio::awaitable<std::optional<prelabel::Settings>> Find(std::string project,
                                                                 prelabel::Settings base);

  // Stores them. Returns whether other gateways will find them.
  boost::asio::awaitable<bool> Keep(std::string project, boost::json::object extra_params);
  boost::asio::awaitable<void> Copy(std::string from, std::string to);
  boost::asio::awaitable<void> Forget(std::string project);

 private:
  serving::RedisClient* const redis_;
  serving::Metrics& metrics_;
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_SETTINGS_STORE_H_
