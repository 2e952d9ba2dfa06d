// A project of a running Label Studio: where a bulk run's images come from, and where its
// predictions go to. Calls wait for the answer.
#ifndef DUET_BULK_LABEL_STUDIO_PROJECT_H_
#define DUET_BULK_LABEL_STUDIO_PROJECT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulk/listing.h"
#include "bulk/patience.h"
#include "http_client/network.h"
#include "label_studio_api/label_studio_api.h"
#include "label_studio_api/label_studio_site.h"

namespace bulk {

inline constexpr std::string_view kProjectScheme = "label-studio:";

class LabelStudioProject {
 public:
  // `view`: of the data manager, whose tasks are listed; 0: all are. REQUIRES: IsProjectId(id).
  static absl::StatusOr<std::unique_ptr<LabelStudioProject>> Make(
      label_studio_api::LabelStudioSite site, std::string id, std::int64_t view,
      std::shared_ptr<http_client::Network> network = nullptr);

  const label_studio_api::LabelStudioSite& site() const { return site_; }
  // What tells it from other projects and views: "label-studio:7 of http://host:8080, view 3".
  std::string Describe() const;

  // What fails for a reason that may pass is repeated within `patience`.

  // The label config, XML, as the project has it.
  absl::StatusOr<std::string> LabelConfig(const Patience& patience);

  // Calls `add` for the image of each task, with the task's id. InvalidArgument for a label config
  // that hasn't just one image, and a task that lacks it.
  absl::Status List(const Patience& patience, AddImage add);

  // Stores predictions ({"result": …, "model_version": `version`}) by task, but for tasks that
  // have one of this version, since Label Studio itself would store it again; each attempt begins
  // with a look at what is there. At most 100 at a time. Returns those that Label Studio doesn't
  // take, such as those of tasks that were deleted meanwhile, with a sentence each; the others are
  // stored.
  using Predictions = std::vector<std::pair<std::int64_t, std::string>>;
  using Refused = std::vector<std::pair<std::int64_t, std::string>>;
  absl::StatusOr<Refused> Store(const Predictions& predictions, const std::string& version,
                                const Patience& patience);

 private:
  LabelStudioProject(label_studio_api::LabelStudioSite site, std::string id, std::int64_t view)
      : site_(std::move(site)), id_(std::move(id)), view_(view) {}

  using Some = absl::Span<const Predictions::value_type>;

  absl::Status ListPages(const std::string& label_config, const Patience& patience, AddImage add);
  // The ids of those tasks that lack a prediction of this version.
  absl::StatusOr<std::vector<std::int64_t>> Lacking(Some predictions, const std::string& version);
  absl::Status StoreSome(Some predictions, const std::string& version, const Patience& patience,
                         Refused* refused);

  const label_studio_api::LabelStudioSite site_;
  const std::string id_;
  const std::int64_t view_;
  std::unique_ptr<label_studio_api::LabelStudioApi> api_;
};

}  // namespace bulk

#endif  // DUET_BULK_LABEL_STUDIO_PROJECT_H_
