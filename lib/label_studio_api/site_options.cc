#include "label_studio_api/site_options.h"

#include <absl/status/status.h>

#include <memory>
#include <utility>

#include "text/str_cat.h"

namespace label_studio_api {
namespace {

absl::Status OfFlag(std::string_view flag, const absl::Status& status) {
  return absl::InvalidArgumentError(text::StrCat("--", flag, ": ", status.message()));
}

}  // namespace

absl::StatusOr<LabelStudioSite> ReadSite(const SiteOptions& options) {
  LabelStudioSite site{.url = {}, .aliases = {}, .token = nullptr, .trusted = true};
  absl::StatusOr<std::string> url = ParseSiteUrl(options.url);
  if (!url.ok()) return OfFlag("label_studio_url", url.status());
  site.url = *std::move(url);
  for (const std::string& text : options.aliases) {
    absl::StatusOr<std::string> alias = ParseSiteUrl(text);
    if (!alias.ok()) return OfFlag("label_studio_alias", alias.status());
    site.aliases.push_back(*std::move(alias));
  }
  if (!options.api_key.empty() && !options.api_key_file.empty()) {
    return absl::InvalidArgumentError(
        "--label_studio_api_key and --label_studio_api_key_file are both given; needed: one of "
        "them");
  }
  if (!options.api_key.empty()) {
    site.token = std::make_shared<const serving::Secret>(options.api_key);
  } else if (!options.api_key_file.empty()) {
    auto secret = serving::Secret::FromFile(options.api_key_file);
    if (!secret.ok()) return OfFlag("label_studio_api_key_file", secret.status());
    site.token = *std::move(secret);
  }
  return site;
}

}  // namespace label_studio_api
