#include "prelabel/project_cache.h"

#include <utility>

#include "async/concurrency.h"
#include "hash/sha256.h"
#include "text/str_cat.h"

namespace prelabel {
namespace {

// Label configs come from outside, so the key is a hash for which nobody can make collisions.
std::string KeyOf(const std::string& label_config, const Settings& settings) {
  return text::StrCat(hash::AsBytes(hash::Sha256(label_config)), Fingerprint(settings));
}

}  // namespace

boost::asio::awaitable<absl::StatusOr<std::shared_ptr<Project>>> ProjectCache::Get(
    boost::asio::thread_pool& pool, const std::string& label_config, const Settings& settings) {
  const auto work = [&] { return FindOrParse(label_config, settings); };
  if (label_config.size() + BytesOf(settings) < async::kLargeText) co_return work();
  auto working = async::OnPool(pool, work);
  co_return co_await std::move(working);
}

absl::StatusOr<std::shared_ptr<Project>> ProjectCache::FindOrParse(const std::string& label_config,
                                                                   const Settings& settings) {
  // `background` makes no difference to answers.
  Settings answering = settings;
  answering.background = Settings().background;
  const std::string key = KeyOf(label_config, answering);
  {
    const std::lock_guard lock(mutex_);
    ++lookups_.all;
    // The fingerprint of the settings has 32 bits only, so they are compared, too.
    if (const auto* found = projects_.Find(key);
        found != nullptr && (*found)->settings() == answering) {
      ++lookups_.found;
      return *found;
    }
  }
  auto project = Project::Create(label_config, answering);
  if (!project.ok()) return project.status();
  const std::size_t bytes = (*project)->memory_bytes();
  const std::lock_guard lock(mutex_);
  projects_.Insert(key, *project, bytes);
  return project;
}

ProjectCache::Lookups ProjectCache::lookups() const {
  const std::lock_guard lock(mutex_);
  return lookups_;
}

std::size_t ProjectCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return projects_.bytes();
}

}  // namespace prelabel
