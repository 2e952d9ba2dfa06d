// A project of the operator's Label Studio that a path names, with all that it takes to work for
// it: for routes that read it with the operator's token, whoever asks.
#ifndef DUET_GATEWAY_ENDPOINTS_OPERATOR_PROJECT_H_
#define DUET_GATEWAY_ENDPOINTS_OPERATOR_PROJECT_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/endpoints/application.h"

namespace gateway::endpoints {

struct OperatorProject {
  const prelabel::Profile& profile;
  std::string id;
  label_studio_api::LabelStudioSite site;
  label_studio_api::ProjectInfo info;
  Application::ResolvedSetup setup;
  std::shared_ptr<prelabel::Project> project;
  prelabel::ServedModels models;  // that answer for it now
};

// Waits for models that are being loaded. `what` is what Label Studio is needed for, "tasks are
// listed". FailedPrecondition if it isn't named or refuses the token, NotFound if it has no such
// project, Unavailable if models haven't been heard of.
boost::asio::awaitable<absl::StatusOr<OperatorProject>> FindOperatorProject(Application& app,
                                                                            std::string project_id,
                                                                            std::string_view what,
                                                                            http::Context& context);

// What stands for the project in "/review/7", and in "/embed/7/cancel" before `action`.
std::string ProjectIn(const http::Request& request, std::string_view action = "");
// 404, for what is no number.
http::Response NoProject();

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_OPERATOR_PROJECT_H_
