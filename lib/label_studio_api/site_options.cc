#include "label_studio_api/site_options.h"

#include <absl/status/status.h>

#include <utility>

#include "text/str_cat.h"

namespace label_studio_api {
namespace {

absl::Status OfFlag(std::string_view flag, const absl::Status& status) {
  return absl::InvalidArgumentError(text::StrCat("--", flag, ": ", status.message()));
}

}  // namespace

void AddFlags(SiteOptions* options, serving::FlagTable* flags) {
  flags->Add(
      "label_studio_alias", &options->aliases,
      "What Label Studio calls itself, if that differs: images that tasks have below it "
      "(http://localhost:8080/data/...) are fetched at --label_studio_url. What /setup says "
      "to a gateway is taken, too; there this is for clicks that come before the first one.");
  flags->Add("label_studio_api_key", &options->api_key,
             "A personal access token (or a legacy token) of Label Studio; better given by the "
             "file or the variable. It goes to --label_studio_url alone.");
  flags->Add("label_studio_api_key_file", &options->api_key_file,
             "The file that holds the token; read again when it changes.");
}

absl::StatusOr<std::shared_ptr<const serving::Secret>> ReadSecret(std::string_view flag,
                                                                  const std::string& value,
                                                                  const std::string& file) {
  if (!value.empty() && !file.empty()) {
    return absl::InvalidArgumentError(
        text::StrCat("--", flag, " and --", flag, "_file are both given; needed: one of them"));
  }
  if (!value.empty()) return std::make_shared<const serving::Secret>(value);
  if (file.empty()) return nullptr;
  auto secret = serving::Secret::FromFile(file);
  if (!secret.ok()) return OfFlag(text::StrCat(flag, "_file"), secret.status());
  return secret;
}

absl::StatusOr<OperatorSite> ReadOperatorSite(const SiteOptions& options) {
  OperatorSite site;
  auto token = ReadSecret("label_studio_api_key", options.api_key, options.api_key_file);
  if (!token.ok()) return token.status();
  site.token = *std::move(token);
  if (options.url.empty()) {
    // It would go nowhere: to an address that only /setup names it must not go.
    if (site.token != nullptr) {
      return absl::InvalidArgumentError(
          "--label_studio_api_key is given without --label_studio_url, the only address that it "
          "goes to");
    }
    if (!options.aliases.empty()) {
      return absl::InvalidArgumentError(
          "--label_studio_alias is given without --label_studio_url, where its images would be "
          "fetched");
    }
    return site;
  }
  absl::StatusOr<std::string> url = ParseSiteUrl(options.url);
  if (!url.ok()) return OfFlag("label_studio_url", url.status());
  site.url = *std::move(url);
  for (const std::string& text : options.aliases) {
    absl::StatusOr<std::string> alias = ParseSiteUrl(text);
    if (!alias.ok()) return OfFlag("label_studio_alias", alias.status());
    site.aliases.push_back(*std::move(alias));
  }
  return site;
}

absl::StatusOr<LabelStudioSite> ReadSite(const SiteOptions& options) {
  if (options.url.empty()) {
    return absl::InvalidArgumentError("--label_studio_url is missing; needed: http(s)://HOST");
  }
  const absl::StatusOr<OperatorSite> site = ReadOperatorSite(options);
  if (!site.ok()) return site.status();
  return ChooseSite(*site, {});
}

}  // namespace label_studio_api
