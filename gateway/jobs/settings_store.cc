#include "gateway/jobs/settings_store.h"

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "async/await_callback.h"
#include "serving/log.h"

namespace gateway::jobs {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using serving::RedisClient;

// Every batch is preceded by a /setup, which begins it anew.
constexpr absl::Duration kTimeToLive = absl::Hours(24 * 30);
// A label map of ten thousand classes has a third of it.
constexpr std::size_t kMaxBytes = 1 << 20;

std::string RedisKey(const std::string& project) { return "duet:settings:" + project; }

awaitable<absl::StatusOr<std::string>> Get(RedisClient& redis, std::string key) {
  return async::AwaitCallback<absl::StatusOr<std::string>>(
      [&redis, key = std::move(key)](RedisClient::OnValue done) {
        redis.Get(key, std::move(done));
      });
}

awaitable<absl::Status> Set(RedisClient& redis, std::string key, std::string value) {
  return async::AwaitCallback<absl::Status>(
      [&redis, key = std::move(key), value = std::move(value)](RedisClient::OnDone done) {
        redis.Set(key, value, kTimeToLive, std::move(done));
      });
}

awaitable<absl::Status> Delete(RedisClient& redis, std::string key) {
  return async::AwaitCallback<absl::Status>(
      [&redis, key = std::move(key)](RedisClient::OnDone done) {
        redis.Delete(key, std::move(done));
      });
}

absl::StatusOr<prelabel::Settings> Read(const std::string& text, const prelabel::Settings& base) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError("it is larger than anything that a gateway keeps");
  }
  json::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return absl::InvalidArgumentError("it is no JSON object");
  return prelabel::Refine(base, value.get_object(), /*strict=*/false);
}

}  // namespace

awaitable<std::optional<prelabel::Settings>> SettingsStore::Find(std::string project,
                                                                 prelabel::Settings base) {
  if (redis_ == nullptr) co_return std::nullopt;
  auto getting = Get(*redis_, RedisKey(project));
  const absl::StatusOr<std::string> text = co_await std::move(getting);
  if (!text.ok()) co_return std::nullopt;
  const absl::StatusOr<prelabel::Settings> settings = Read(*text, base);
  if (!settings.ok()) {
    metrics_.Get(serving::kRedisRefusedValues).Increment();
    serving::LogLine("redis.refused", serving::LogLevel::kWarning)
        .Str("key", RedisKey(project))
        .Status(settings.status());
    co_return std::nullopt;
  }
  co_return *settings;
}

awaitable<bool> SettingsStore::Keep(std::string project, json::object extra_params) {
  if (redis_ == nullptr) co_return false;
  std::string text = json::serialize(prelabel::KnownKeys(extra_params));
  if (text.size() > kMaxBytes) {
    serving::LogLine("settings.not_shared", serving::LogLevel::kWarning)
        .Str("project", project)
        .Int("bytes", static_cast<std::int64_t>(text.size()));
    auto forgetting = Forget(std::move(project));
    co_await std::move(forgetting);
    co_return false;
  }
  auto setting = Set(*redis_, RedisKey(project), std::move(text));
  const absl::Status status = co_await std::move(setting);
  co_return status.ok();
}

awaitable<void> SettingsStore::Copy(std::string from, std::string to) {
  if (redis_ == nullptr) co_return;
  auto getting = Get(*redis_, RedisKey(from));
  absl::StatusOr<std::string> text = co_await std::move(getting);
  if (!text.ok()) co_return;
  auto setting = Set(*redis_, RedisKey(to), *std::move(text));
  const absl::Status status = co_await std::move(setting);
  if (!status.ok()) {
    serving::LogLine("settings.not_shared", serving::LogLevel::kWarning)
        .Str("project", to)
        .Status(status);
  }
}

awaitable<void> SettingsStore::Forget(std::string project) {
  if (redis_ == nullptr) co_return;
  auto deleting = Delete(*redis_, RedisKey(project));
  const absl::Status status = co_await std::move(deleting);
  if (!status.ok()) {
    serving::LogLine("settings.not_forgotten", serving::LogLevel::kWarning)
        .Str("project", project)
        .Status(status);
  }
}

}  // namespace gateway::jobs
