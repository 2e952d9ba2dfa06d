#include "gateway/endpoints/own_projects.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "label_studio/task.h"
#include "model_store/names.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// Label Studio waits three seconds for the answer to a /setup.
constexpr auto kPatience = std::chrono::seconds(1);
// A project that isn't there may be made, and a Label Studio that is away comes back.
constexpr absl::Duration kAskAgain = absl::Seconds(10);
// Numbers are never used twice, but for a database that was made anew.
constexpr absl::Duration kDoubtAfter = absl::Minutes(1);

}  // namespace

std::string ModelNameOf(const std::string& project_id) {
  const auto number = label_studio_api::ProjectNumber(project_id);
  return number ? model_store::ProjectName(*number) : "";
}

OwnProjects::OwnProjects(asio::any_io_executor executor, const label_studio_api::OperatorSite& site,
                         label_studio_api::LabelStudioApi& api)
    : executor_(std::move(executor)), site_(site), api_(api) {}

bool OwnProjects::IsItsUrl(const std::string& url) const {
  return url == site_.url ||
         std::find(site_.aliases.begin(), site_.aliases.end(), url) != site_.aliases.end();
}

bool OwnProjects::IsByName(const label_studio_api::SetupSite& setup) const {
  return setup.url.empty() || IsItsUrl(setup.url);
}

awaitable<Whose> OwnProjects::Of(NamedProject project) {
  const bool is_number = label_studio_api::IsProjectId(project.id);
  if (!site_.url.empty() && is_number && project.created != 0 && HasToken()) {
    const auto executor = co_await asio::this_coro::executor;
    const auto timer = std::make_shared<asio::steady_timer>(executor);
    if (AskIfDue(project, timer)) co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_return KnownOf(project);
}

Whose OwnProjects::KnownOf(const NamedProject& project) {
  if (site_.url.empty() || !label_studio_api::IsProjectId(project.id)) return Whose::kUnknown;
  if (project.created == 0 || !HasToken()) {
    return IsByName(project.setup) ? Whose::kOperators : Whose::kUnknown;
  }
  const Whose whose = Decide(project);
  if (whose == Whose::kForeign) {
    Report("project.not_own", project,
           text::StrCat("this project ", project.id,
                        " isn't the one of --label_studio_url: it was created at another time. The "
                        "default models answer it, and nothing of it goes to --label_studio_url"));
  }
  return whose;
}

Whose OwnProjects::Decide(const NamedProject& project) {
  const std::lock_guard lock(mutex_);
  const Known* const known = known_.Find(project.id);
  if (known == nullptr || !known->created) return Whose::kUnknown;
  return *known->created == project.created ? Whose::kOperators : Whose::kForeign;
}

bool OwnProjects::IsForeign(const std::string& id, std::int64_t created) {
  return created != 0 && Decide({.id = id, .created = created}) == Whose::kForeign;
}

bool OwnProjects::IsModelOf(const backends::ModelOwner& owner, const NamedProject& project,
                            Whose whose) {
  if (whose == Whose::kForeign) return false;
  const std::int64_t created = label_studio::SecondsOf(owner.project_created);
  const bool told = created != 0 && project.created != 0;
  const bool ours = told                              ? created == project.created
                    : !owner.label_studio_url.empty() ? IsItsUrl(owner.label_studio_url)
                                                      : true;
  if (!ours) {
    Report("model.not_own", project,
           text::StrCat("the model ", ModelNameOf(project.id), " was made of project ", project.id,
                        " of ", owner.label_studio_url, ", created ", owner.project_created,
                        ", which is another one, so the default models answer this one; if it is "
                        "the same Label Studio, name that address by --label_studio_alias"));
    return false;
  }
  if (told || whose == Whose::kOperators) return true;
  if (project.created != 0 && HasToken()) {
    Report("project.not_known", project,
           text::StrCat(site_.url, " could not tell when its project ", project.id,
                        " was created, so it isn't known whether this is it, and the default "
                        "models answer until it can"));
  } else {
    Report("project.not_own", project,
           text::StrCat("this project ", project.id,
                        " isn't the one of --label_studio_url by what its Label Studio calls "
                        "itself, so the default models answer it; if it is the same Label Studio, "
                        "name that by --label_studio_alias, or give a token"));
  }
  return false;
}

bool OwnProjects::AskIfDue(const NamedProject& project, const Timer& timer) {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  Known* known = known_.Find(project.id);
  if (known == nullptr) {
    known_.Insert(project.id, {}, sizeof(Known));
    known = known_.Find(project.id);
    if (known == nullptr) return false;
  }
  const bool doubtful = known->created && *known->created != project.created;
  const bool due = absl::Now() >= (!known->created || *known->created == 0 ? known->ask_again
                                   : doubtful ? known->told + kDoubtAfter
                                              : absl::InfiniteFuture());
  if (due && !known->asking) {
    known->asking = true;
    if (!known->give_up) known->give_up = now + kPatience;
    // On a strand of its own, and behind the caller, which holds the mutex: the caller may go away,
    // others wait for the same answer.
    asio::post(executor_, [this, id = project.id] {
      asio::co_spawn(asio::make_strand(executor_), Ask(id), [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);  // a bug: nothing in Ask throws
      });
    });
  }
  if (!known->asking || known->created || now >= *known->give_up) return false;
  timer->expires_at(*known->give_up);
  known->waiting.push_back(timer);
  return true;
}

awaitable<void> OwnProjects::Ask(std::string id) {
  auto asking = api_.Project(label_studio_api::ChooseSite(site_, {}), id);
  const auto info = co_await std::move(asking);
  std::vector<Timer> waiting;
  {
    const std::lock_guard lock(mutex_);
    Known* const known = known_.Find(id);
    if (known == nullptr) co_return;  // who waits for it has a time limit
    known->asking = false;
    known->told = absl::Now();
    known->ask_again = known->told + kAskAgain;
    known->give_up = std::chrono::steady_clock::time_point::min();
    // What was told once holds while it can't be asked again.
    if (info.ok() && info->created != 0) known->created = info->created;
    if (absl::IsNotFound(info.status())) known->created = 0;
    waiting = std::move(known->waiting);
    known->waiting.clear();
  }
  for (const Timer& timer : waiting) {
    // A timer is its strand's, where its wait has begun before this runs.
    asio::post(timer->get_executor(), [timer] { timer->cancel(); });
  }
}

void OwnProjects::Report(const std::string& event, const NamedProject& project,
                         const std::string& meaning) {
  {
    const std::lock_guard lock(mutex_);
    Known* known = known_.Find(project.id);
    if (known == nullptr) {
      known_.Insert(project.id, {}, sizeof(Known));
      known = known_.Find(project.id);
    }
    if (known == nullptr || !known->reported.insert(event).second) return;
  }
  serving::LogLine(event, serving::LogLevel::kWarning)
      .Str("project", project.id)
      .Str("says", project.setup.url)
      .Str("label_studio_url", site_.url)
      .Str("meaning", meaning);
}

}  // namespace gateway::endpoints
