#include "gateway/endpoints/route_policy.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>

#include <algorithm>
#include <limits>

#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

using boost::beast::http::verb;

// Ids and names.
constexpr std::size_t kSmall = 64 << 10;
// Twice the largest label config (label_config.h): in JSON its quotes are escaped.
constexpr std::size_t kLabelConfig = 8 << 20;
// An event carries the project, whose label config comes twice (as text and parsed), and the task
// with its annotation. A mask of 12 megapixels is 40 to 200 KB of run lengths in JSON, so there is
// room for a hundred. A longer list of imported tasks is refused, which costs nothing: nobody here
// needs it.
constexpr std::size_t kEvent = 16 << 20;
// Of the page at /ui: clicks and boxes; and masks of some hundred objects as run lengths.
constexpr std::size_t kPrompts = 1 << 20;
constexpr std::size_t kObjects = 32 << 20;
// As much as --max_body_mb: tasks may carry their images (data:), and an older /train all
// annotations of a project.
constexpr std::size_t kLargest = std::numeric_limits<std::size_t>::max();

constexpr RoutePolicy Read(std::string_view pattern) { return {verb::get, pattern}; }
// Probes and scrapers carry no credentials.
constexpr RoutePolicy ReadByAnybody(std::string_view pattern) {
  return {verb::get, pattern, /*needs_credentials=*/false};
}
constexpr RoutePolicy Post(std::string_view pattern, std::size_t max_body_bytes) {
  return {verb::post, pattern, true, /*changes_state=*/true, /*takes_json=*/true, max_body_bytes};
}

constexpr RoutePolicy Trains(std::string_view pattern, std::size_t max_body_bytes) {
  RoutePolicy policy = Post(pattern, max_body_bytes);
  policy.trains = true;
  return policy;
}

constexpr RoutePolicy Embeds(RoutePolicy policy) {
  policy.embeds = true;
  return policy;
}

// The models work for it, so it isn't only read.
constexpr RoutePolicy Reviews(std::string_view pattern) {
  RoutePolicy policy = Read(pattern);
  policy.changes_state = true;
  policy.tells_annotations = true;
  return policy;
}

constexpr RoutePolicy ForOperator(RoutePolicy policy) {
  policy.for_operator = true;
  return policy;
}

constexpr RoutePolicy kPolicies[] = {
    Post("/predict", kLargest),
    Post("/setup", kLabelConfig),
    // Label Studio sends event webhooks without credentials. START_TRAINING comes with them, and
    // the handler asks the training door: what an event is says its body.
    {verb::post, "/webhook", /*needs_credentials=*/false, true, true, kEvent},
    Read("/versions"),
    Read("/health"),
    ReadByAnybody("/livez"),
    ReadByAnybody("/readyz"),
    ReadByAnybody("/metrics"),
    Read("/"),
    Read("/label-config"),
    Read("/openapi.json"),
    ForOperator(Read("/jobs")),
    ForOperator({verb::delete_, "/jobs/{id}", true, /*changes_state=*/true}),
    ForOperator(Read("/train/{project}")),
    Trains("/train/{project}/cancel", kSmall),
    Trains("/train/{project}/forget", kSmall),
    Reviews("/review/{project}"),
    Embeds(Post("/embed/{project}", kSmall)),
    Embeds(Post("/embed/{project}/cancel", kSmall)),
    ForOperator(Read("/embed/{project}")),
    // Label Studio before 1.5.
    Post("/versions", kSmall),
    Post("/validate", kLabelConfig),
    Post("/delete", kSmall),
    Post("/duplicate_model", kSmall),
    Trains("/train", kLargest),
    Trains("/job_status", kSmall),
    Read("/is_training"),
    // The page at /ui. What it asks makes the models work as /predict does, so the same people may.
    Read("/ui"),
    Read("/ui/models"),
    Read("/ui/requests"),
    ForOperator(Read("/ui/projects")),
    ForOperator(Read("/ui/trainings")),
    ForOperator(Post("/ui/rollback", kSmall)),
    Read("/ui/{file}"),
    Post("/ui/images", kLargest),
    Post("/ui/detect", kSmall),
    Post("/ui/embed", kSmall),
    Post("/ui/segment", kPrompts),
    Post("/ui/hover", kPrompts),
    Post("/ui/export", kObjects),
    Post("/ui/config", kLabelConfig),
};

bool IsJson(std::string_view content_type) {
  const absl::string_view type =
      absl::StripAsciiWhitespace(text::View(content_type.substr(0, content_type.find(';'))));
  return absl::EqualsIgnoreCase(type, "application/json");
}

}  // namespace

absl::Span<const RoutePolicy> RoutePolicies() { return kPolicies; }

const RoutePolicy* PolicyOf(verb method, std::string_view pattern) {
  if (method == verb::head) method = verb::get;
  const auto* const found =
      std::find_if(std::begin(kPolicies), std::end(kPolicies), [&](const RoutePolicy& policy) {
        return policy.method == method && policy.pattern == pattern;
      });
  return found == std::end(kPolicies) ? nullptr : found;
}

std::optional<http::Response> RefuseCrossSite(const RoutePolicy& policy,
                                              const http::Request& request,
                                              const http::OwnNames& own) {
  if (!policy.changes_state) return std::nullopt;
  const std::optional<std::string> fault = http::CrossSiteFault(request, own);
  if (!fault) return std::nullopt;
  return http::ErrorResponse(403, *fault);
}

std::optional<http::Response> RefuseContentType(const RoutePolicy& policy,
                                                const http::Request& request) {
  if (!policy.takes_json) return std::nullopt;
  // Programs that leave it out mean JSON. A browser's form has one of three other types, and what a
  // script sends without a type carries an Origin.
  const auto found = request.headers.find("Content-Type");
  if (found == request.headers.end()) return std::nullopt;
  const std::string_view type(found->value().data(), found->value().size());
  if (IsJson(type)) return std::nullopt;
  return http::ErrorResponse(415, text::StrCat("The request's Content-Type is \"",
                                               absl::CHexEscape(text::View(type.substr(0, 100))),
                                               "\"; needed: application/json."));
}

}  // namespace gateway::endpoints
