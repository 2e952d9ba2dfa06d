#include "gateway/endpoints/own_projects.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// Label Studio waits three seconds for the answer to a /setup.
constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kLook = std::chrono::milliseconds(10);
// A project that isn't there may be made, and a Label Studio that is away comes back.
constexpr absl::Duration kAskAgain = absl::Seconds(10);

}  // namespace

std::string ModelNameOf(const std::string& project_id) {
  return text::StrCat("project-", project_id);
}

OwnProjects::OwnProjects(asio::any_io_executor executor, const label_studio_api::OperatorSite& site,
                         label_studio_api::LabelStudioApi& api)
    : executor_(std::move(executor)), site_(site), api_(api) {}

awaitable<bool> OwnProjects::Has(NamedProject project) {
  if (site_.url.empty() || !label_studio_api::IsProjectId(project.id)) co_return false;
  std::optional<std::int64_t> created;
  if (project.created != 0 && site_.token != nullptr) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    asio::steady_timer timer(co_await asio::this_coro::executor);
    bool asking = true;
    while (true) {
      created = Find(project.id, &asking);
      if (created || !asking || std::chrono::steady_clock::now() >= give_up) break;
      timer.expires_after(kLook);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }
  const bool own = created ? *created == project.created : HasItsName(project.setup);
  if (!own) Report(project);
  co_return own;
}

bool OwnProjects::HasItsName(const label_studio_api::SetupSite& setup) const {
  return setup.url.empty() || setup.url == site_.url ||
         std::find(site_.aliases.begin(), site_.aliases.end(), setup.url) != site_.aliases.end();
}

std::optional<std::int64_t> OwnProjects::Find(const std::string& id, bool* asking) {
  const std::lock_guard lock(mutex_);
  const Known* const found = known_.Find(id);
  if (found != nullptr && (found->asking || absl::Now() < found->until)) {
    *asking = found->asking;
    return found->created;
  }
  Known next = found == nullptr ? Known() : *found;
  next.asking = true;
  known_.Insert(id, next, 0);
  // On a strand of its own: the caller may go away, others wait for the same answer.
  asio::co_spawn(asio::make_strand(executor_), Ask(id), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);  // a bug: nothing in Ask throws
  });
  *asking = true;
  return std::nullopt;
}

awaitable<void> OwnProjects::Ask(std::string id) {
  // It begins behind the caller, which holds the mutex.
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  auto asking = api_.Project(label_studio_api::ChooseSite(site_, {}), id);
  const auto info = co_await std::move(asking);
  const std::lock_guard lock(mutex_);
  Known* const known = known_.Find(id);
  if (known == nullptr) co_return;
  known->asking = false;
  known->until = absl::Now() + kAskAgain;
  if (info.ok() && info->created != 0) {
    known->created = info->created;
    known->until = absl::InfiniteFuture();  // numbers are never used twice
  } else if (absl::IsNotFound(info.status())) {
    known->created = 0;
  } else {
    known->created = std::nullopt;
  }
}

void OwnProjects::Report(const NamedProject& project) {
  {
    const std::lock_guard lock(mutex_);
    Known* known = known_.Find(project.id);
    if (known != nullptr && known->reported) return;
    if (known == nullptr) {
      known_.Insert(project.id, {.until = absl::InfinitePast()}, 0);
      known = known_.Find(project.id);
    }
    if (known != nullptr) known->reported = true;
  }
  serving::LogLine("project.not_own", serving::LogLevel::kWarning)
      .Str("project", project.id)
      .Str("says", project.setup.url)
      .Str("label_studio_url", site_.url)
      .Str("meaning",
           text::StrCat("this project ", project.id,
                        " isn't the one of --label_studio_url, which "
                        "has a model of its own, so the default models answer it; if it is the "
                        "same Label Studio, name what it calls itself by --label_studio_alias"));
}

}  // namespace gateway::endpoints
