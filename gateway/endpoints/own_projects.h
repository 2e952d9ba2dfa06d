// Whose a project is. A request names a project by its number alone, and two Label Studios have a
// project 7 each: the one that --label_studio_url names, the operator's, and another one whose
// users point it at this gateway. Models that were fine-tuned for the operator's project 7, its
// settings, and the operator's token must not serve the other one.
//
// Label Studio says with each request when the project was created, and tells everybody who has a
// token the same. So with a token the operator's Label Studio is asked once about a project, and
// nothing else decides: what a Label Studio calls itself in /setup may be anybody's name, mostly
// http://localhost:8080. Only without a token, or for a request that names no time, that name
// decides: it must be --label_studio_url, or one of --label_studio_alias, or missing.
//
// A model says itself whose annotations made it (backends::ModelOwner).
#ifndef DUET_GATEWAY_ENDPOINTS_OWN_PROJECTS_H_
#define DUET_GATEWAY_ENDPOINTS_OWN_PROJECTS_H_

#include <absl/time/time.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backends/client.h"
#include "containers/lru.h"
#include "label_studio_api/label_studio_api.h"
#include "label_studio_api/label_studio_choice.h"

namespace gateway::endpoints {

// The name of a project's models, in every service: "project-7". "" if `project_id` is no number.
std::string ModelNameOf(const std::string& project_id);

// A project as a request names it.
struct NamedProject {
  std::string id;
  std::int64_t created = 0;  // seconds since 1970; 0: the request doesn't say
  label_studio_api::SetupSite setup = {};
};

enum class Whose {
  kOperators,  // of --label_studio_url
  kForeign,    // another Label Studio's: the operator's has another project of this number, or none
  kUnknown,    // it can't be told
};

// The executor's context must not be run any more at destruction; `site` and `api` outlive this.
// Thread-safe.
class OwnProjects {
 public:
  OwnProjects(boost::asio::any_io_executor executor, const label_studio_api::OperatorSite& site,
              label_studio_api::LabelStudioApi& api);

  // Waits for a second at most, since /setup may, and only for the first answer about a project:
  // while a Label Studio is away, who asks later goes on with what is known. A foreign project is
  // logged once.
  boost::asio::awaitable<Whose> Of(NamedProject project);
  // The same, as far as it is known by now; asks nobody.
  Whose KnownOf(const NamedProject& project);
  // Whether it is an address or a name of the operator's Label Studio.
  bool IsItsUrl(const std::string& url) const;
  // As far as it is known by now; asks nobody. Only what is told by its time of creation.
  bool IsForeign(const std::string& id, std::int64_t created);

  // Whether the model was made of this project's annotations, as far as anybody says. If not, that
  // is logged once a project. `whose`: what Of has said of the project.
  bool IsModelOf(const backends::ModelOwner& owner, const NamedProject& project, Whose whose);

 private:
  using Timer = std::shared_ptr<boost::asio::steady_timer>;
  // What the operator's Label Studio has said of a project.
  struct Known {
    bool asking = false;
    std::optional<std::int64_t> created;  // 0: there is no such project
    absl::Time told = absl::InfinitePast();
    absl::Time ask_again = absl::InfinitePast();
    std::optional<std::chrono::steady_clock::time_point> give_up;  // the wait for the first answer
    std::vector<Timer> waiting;
    std::set<std::string> reported;  // events
  };

  bool HasToken() const { return site_.token != nullptr && !site_.token->value().empty(); }
  bool IsByName(const label_studio_api::SetupSite& setup) const;
  // Asks if that is due. True if the first answer is outstanding: then the timer is set, and ends
  // when it has come.
  bool AskIfDue(const NamedProject& project, const Timer& timer);
  boost::asio::awaitable<void> Ask(std::string id);
  Whose Decide(const NamedProject& project);
  // Logs an event about a project once.
  void Report(const std::string& event, const NamedProject& project, const std::string& meaning);

  const boost::asio::any_io_executor executor_;
  const label_studio_api::OperatorSite& site_;
  label_studio_api::LabelStudioApi& api_;
  std::mutex mutex_;
  containers::Lru<Known> known_{/*max_entries=*/10'000, /*max_bytes=*/4 << 20};
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_OWN_PROJECTS_H_
