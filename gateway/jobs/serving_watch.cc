#include "gateway/jobs/serving_watch.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "async/concurrency.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::jobs {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using model_store::Kind;

void LogServing(Kind kind, const std::string& name, const model_store::Serving& serving,
                std::uint64_t previous, bool at_start) {
  serving::LogLine("audit.serving")
      .Str("model", text::StrCat(model_store::NameOf(kind), "/", name))
      .Int("version", static_cast<std::int64_t>(serving.version))
      .Int("previous", static_cast<std::int64_t>(previous))
      .Str("by", serving.by)
      .Str("reason", serving.reason)
      .Str("changed", serving.changed)
      .Bool("at_start", at_start);
}

}  // namespace

ServingWatch::ServingWatch(asio::any_io_executor executor, std::string model_root,
                           std::chrono::milliseconds pause, Hooks hooks)
    : strand_(asio::make_strand(std::move(executor))),
      store_(std::move(model_root)),
      pause_(pause),
      hooks_(std::move(hooks)),
      timer_(strand_) {}

void ServingWatch::Begin() {
  // Renewals of what changed while no gateway ran; what follows is found by Follow.
  asio::post(files_, [this] {
    for (const Swap& swap : Look().renewals) hooks_.renew(swap);
  });
  asio::co_spawn(strand_, Follow(), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);  // a bug: nothing in Follow throws
  });
}

void ServingWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (enabled()) LookSoon();
}

void ServingWatch::LookSoon() {
  {
    const std::lock_guard lock(mutex_);
    wake_ = true;
  }
  asio::post(strand_, [this] { timer_.cancel(); });
}

awaitable<void> ServingWatch::Follow() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) co_return;
      wake_ = false;
    }
    auto looking = async::OnPool(files_, [this] { return Look(); });
    const Seen seen = co_await std::move(looking);
    if (seen.changed) hooks_.changed();
    for (const Swap& swap : seen.renewals) hooks_.renew(swap);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) co_return;
      timer_.expires_after(wake_ ? std::chrono::milliseconds(0) : pause_);
    }
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

ServingWatch::Seen ServingWatch::Look() {
  Seen seen;
  for (const Kind kind : {Kind::kDetector, Kind::kSegmenter}) LookAtKind(kind, &seen);
  looked_ = true;
  return seen;
}

void ServingWatch::LookAtKind(Kind kind, Seen* seen) {
  std::map<std::string, Serving>& known = serving_[kind];
  const std::string folder = text::StrCat(store_.root(), "/", model_store::NameOf(kind));
  auto names = store_.ListNames(kind);
  std::error_code ignored;
  if (names.ok() && names->empty() && !known.empty() && !std::filesystem::exists(folder, ignored)) {
    names = absl::UnavailableError(text::StrCat(folder, ": is gone; is the volume mounted?"));
  }
  NoteError(folder, names.status());
  if (!names.ok()) return;
  for (const std::string& name : *names) LookAtName(kind, name, seen);
  const std::set<std::string> there(names->begin(), names->end());
  for (auto one = known.begin(); one != known.end();) {
    if (there.contains(one->first)) {
      ++one;
      continue;
    }
    if (one->second.version != 0) {
      Serving none;
      none.reason = "the name was deleted";
      LogServing(kind, one->first, none, one->second.version, /*at_start=*/false);
      seen->changed = true;
    }
    one = known.erase(one);
  }
}

void ServingWatch::LookAtName(Kind kind, const std::string& name, Seen* seen) {
  auto serving = store_.ReadServing(kind, name);
  if (absl::IsNotFound(serving.status())) {
    Serving none;  // nothing has served it yet
    none.renewed = true;
    serving = std::move(none);
  }
  NoteError(store_.PathOf(kind, name), serving.status());
  if (!serving.ok()) return;
  const auto [known, is_new] = serving_[kind].try_emplace(name);
  const std::uint64_t before = known->second.version;
  known->second = *serving;
  if (serving->version != before) {
    const bool at_start = is_new && !looked_;
    LogServing(kind, name, *serving, at_start ? serving->previous : before, at_start);
    seen->changed = seen->changed || !at_start;
  }
  if (serving->renewed || hooks_.renew == nullptr) return;
  const auto project = model_store::ProjectOf(name);
  if (!project || !Claim(kind, name, *serving)) return;
  seen->renewals.push_back(
      {.kind = kind, .project_id = text::StrCat(*project), .version = serving->version});
}

bool ServingWatch::Claim(Kind kind, const std::string& name, const Serving& serving) {
  // Of two Label Studios whose projects have models below one root, each gateway renews its own's.
  const std::uint64_t version = serving.version != 0 ? serving.version : serving.previous;
  const auto manifest = store_.ReadManifest(kind, name, version);
  if (manifest.ok() && !hooks_.is_ours(manifest->label_studio_url)) return false;
  const auto claimed =
      store_.UpdateServing(kind, name, [&](const Serving& now) -> absl::StatusOr<Serving> {
        if (now.version != serving.version || now.renewed) {
          return absl::AlreadyExistsError("another gateway renews it");
        }
        Serving next = now;
        next.renewed = true;
        return next;
      });
  if (absl::IsAlreadyExists(claimed.status())) return false;
  NoteError(text::StrCat("the renewal of ", name), claimed.status());
  return claimed.ok();
}

void ServingWatch::NoteError(const std::string& what, const absl::Status& status) {
  if (status.ok()) {
    errors_.erase(what);
    return;
  }
  const std::string message(status.message());
  if (std::exchange(errors_[what], message) == message) return;
  serving::LogLine("model_root.unreadable", serving::LogLevel::kWarning)
      .Str("what", what)
      .Status(status);
}

}  // namespace gateway::jobs
