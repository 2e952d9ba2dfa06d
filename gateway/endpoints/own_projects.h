// Which projects are the operator's. A fine-tuned model belongs to a project of one Label Studio,
// the one that --label_studio_url names, and is called by the project's number, "project-7".
// Another Label Studio may have a project 7, too, and must never get that model.
//
// Label Studio says with each request when the project was created, and tells everybody who has a
// token the same. So the operator's Label Studio is asked once about a project whose number has a
// model. Where it can't tell, or a request doesn't say, the name that Label Studio gave itself in
// /setup decides: it must be --label_studio_url, or one of --label_studio_alias, or missing.
#ifndef DUET_GATEWAY_ENDPOINTS_OWN_PROJECTS_H_
#define DUET_GATEWAY_ENDPOINTS_OWN_PROJECTS_H_

#include <absl/time/time.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "containers/lru.h"
#include "label_studio_api/label_studio_api.h"
#include "label_studio_api/label_studio_choice.h"

namespace gateway::endpoints {

// The name of a project's models, in every service: "project-7".
std::string ModelNameOf(const std::string& project_id);

// A project as a request names it.
struct NamedProject {
  std::string id;
  std::int64_t created = 0;  // seconds since 1970; 0: the request doesn't say
  label_studio_api::SetupSite setup = {};
};

// The executor's context must not be run any more at destruction; `site` and `api` outlive this.
// Thread-safe.
class OwnProjects {
 public:
  OwnProjects(boost::asio::any_io_executor executor, const label_studio_api::OperatorSite& site,
              label_studio_api::LabelStudioApi& api);

  // Waits for a second at most, since /setup may. Logs once a project if it is another Label
  // Studio's.
  boost::asio::awaitable<bool> Has(NamedProject project);

 private:
  // What the operator's Label Studio has said of a project.
  struct Known {
    bool asking = false;
    std::optional<std::int64_t> created;        // 0: there is no such project
    absl::Time until = absl::InfiniteFuture();  // then it is asked again
    bool reported = false;
  };

  bool HasItsName(const label_studio_api::SetupSite& setup) const;
  // When the project was created, if that is known now. `*asking`: it may be known soon.
  std::optional<std::int64_t> Find(const std::string& id, bool* asking);
  boost::asio::awaitable<void> Ask(std::string id);
  void Report(const NamedProject& project);

  const boost::asio::any_io_executor executor_;
  const label_studio_api::OperatorSite& site_;
  label_studio_api::LabelStudioApi& api_;
  std::mutex mutex_;
  containers::Lru<Known> known_{/*max_entries=*/10'000,
                                /*max_bytes=*/16 << 20};  // guarded by mutex_
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_OWN_PROJECTS_H_
